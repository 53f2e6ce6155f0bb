#include "audit/spill.hpp"

#include <cerrno>
#include <cstring>

#include <fmt/format.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/error.hpp"

namespace pgcarve::audit {

namespace {

constexpr std::size_t bucket_count = 64;
// A record on disk against the row that it becomes in memory.
constexpr std::size_t growth = 4;

class Writer {
public:
    template <class Number>
    Writer& number(Number value) {
        text_.append(reinterpret_cast<char const*>(&value), sizeof value);
        return *this;
    }
    Writer& text(std::string_view value) {
        number(static_cast<std::uint32_t>(value.size()));
        text_ += value;
        return *this;
    }
    Writer& values(std::vector<Digest> const& all) {
        number(static_cast<std::uint32_t>(all.size()));
        for (auto const one : all)
            number(one);
        return *this;
    }
    [[nodiscard]] std::string const& done() const { return text_; }

private:
    std::string text_;
};

class Reader {
public:
    explicit Reader(std::string_view text)
        : text_{text} {}
    template <class Number>
    Number number() {
        Number value{};
        std::memcpy(&value, take(sizeof value).data(), sizeof value);
        return value;
    }
    std::string text() { return std::string{take(number<std::uint32_t>())}; }
    std::vector<Digest> values() {
        std::vector<Digest> all(number<std::uint32_t>());
        for (auto& one : all)
            one = number<Digest>();
        return all;
    }

private:
    std::string_view take(std::size_t size) {
        if (size > text_.size())
            base::bug("a spilled record is cut");
        auto const part = text_.substr(0, size);
        text_.remove_prefix(size);
        return part;
    }
    std::string_view text_;
};

std::size_t spread(RowId const& id) { return RowIdHash{}(id); }

} // namespace

Spill::Spill(std::string folder)
    : folder_{std::move(folder)}
    , buckets_(bucket_count) {}

void Spill::fail(char const* what) const {
    throw base::Error{base::Exit::unavailable, "spill-failed", fmt::format("{} a temporary file in {}: {}", what, folder_, std::strerror(errno)),
                      "make room there or name another folder with TMPDIR, then run the same command again: it goes on where it stopped"};
}

Spill::Bucket& Spill::bucket(RowId const& id) { return buckets_[spread(id) % bucket_count]; }

void Spill::write(Bucket& to, std::string const& record) {
    if (!to.file) {
        auto name = folder_ + "/pgcarve-audit-XXXXXX";
        int const fd = mkostemp(name.data(), O_CLOEXEC);
        if (fd < 0)
            fail("cannot make");
        unlink(name.c_str());
        to.file.reset(fdopen(fd, "w+b"));
        if (!to.file) {
            close(fd);
            fail("cannot open");
        }
    }
    auto const size = static_cast<std::uint32_t>(record.size());
    if (std::fwrite(&size, sizeof size, 1, to.file.get()) != 1 || std::fwrite(record.data(), 1, record.size(), to.file.get()) != record.size())
        fail("cannot write");
    to.bytes += sizeof size + record.size();
    bytes_ += sizeof size + record.size();
}

void Spill::begin(Net const& net) {
    for (auto const& [table, truncated] : net.truncations()) {
        for (auto const side : both) {
            auto const& mark = truncated[index(side)];
            if (mark.part)
                truncate(table, side, false);
            if (mark.whole)
                truncate(table, side, true);
        }
    }
    for (auto const& [id, state] : net.rows()) {
        Writer record;
        record.number(Kind::state).number(id.table).text(id.key);
        for (auto const& side : state.sides)
            record.number(side.presence).number(side.only_later).text(side.origin).values(side.columns);
        write(bucket(id), record.done());
    }
}

void Spill::put(RowId const& id, Side side, std::vector<Digest> const& values, std::optional<Key> const& moved_from) {
    if (moved_from)
        remove({id.table, *moved_from}, side);
    Writer record;
    record.number(Kind::put).number(id.table).text(id.key).number(side).number(moved_from.has_value()).values(values);
    write(bucket(id), record.done());
}

void Spill::remove(RowId const& id, Side side) { write(bucket(id), Writer{}.number(Kind::remove).number(id.table).text(id.key).number(side).done()); }

void Spill::truncate(std::uint32_t table, Side side, bool whole) {
    auto const record = Writer{}.number(Kind::truncate).number(table).text("").number(side).number(whole).done();
    for (auto& one : buckets_)
        write(one, record);
}

void Spill::groups(std::size_t limit, std::function<void(Net&)> const& take) {
    for (auto& one : buckets_) {
        if (!one.file)
            continue;
        auto const parts = 1 + one.bytes * growth / limit;
        for (std::size_t part = 0; part < parts; ++part) {
            Net net;
            replay(one, part, parts, net);
            take(net);
        }
        bytes_ -= one.bytes;
        one = Bucket{};
    }
}

void Spill::replay(Bucket& from, std::size_t part, std::size_t parts, Net& net) {
    if (std::fflush(from.file.get()) != 0 || std::fseek(from.file.get(), 0, SEEK_SET) != 0)
        fail("cannot write");
    std::string record;
    for (std::uint32_t size = 0; std::fread(&size, sizeof size, 1, from.file.get()) == 1;) {
        record.resize(size);
        if (std::fread(record.data(), 1, size, from.file.get()) != size)
            fail("cannot read");
        Reader in{record};
        auto const kind = in.number<Kind>();
        auto const table = in.number<std::uint32_t>();
        RowId const id{table, in.text()};
        if (kind == Kind::truncate) {
            auto const side = in.number<Side>();
            net.truncate(table, side, in.number<bool>());
            continue;
        }
        if (spread(id) / bucket_count % parts != part)
            continue;
        if (kind == Kind::state) {
            auto& state = net.rows()[id];
            for (auto& side : state.sides) {
                side.presence = in.number<Presence>();
                side.only_later = in.number<bool>();
                side.origin = in.text();
                side.columns = in.values();
            }
        } else if (kind == Kind::remove) {
            net.remove(id, in.number<Side>());
        } else {
            auto const side = in.number<Side>();
            bool const moved = in.number<bool>();
            net.put(id, side, in.values(), moved ? std::optional<Key>{""} : std::nullopt, true);
        }
    }
    if (std::ferror(from.file.get()) != 0)
        fail("cannot read");
}

} // namespace pgcarve::audit
