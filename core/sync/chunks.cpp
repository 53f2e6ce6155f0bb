#include "sync/chunks.hpp"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "base/error.hpp"

namespace pgcarve::sync {

namespace {

template <class Number>
Number number(std::string_view text) {
    Number n{};
    auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
    if (error != std::errc{} || end != text.data() + text.size())
        base::bug(fmt::format("'{}' is not a number", text));
    return n;
}

} // namespace

Snapshot Snapshot::parse(std::string_view text) {
    Snapshot s;
    s.text_ = text;
    auto const first = text.find(':');
    auto const second = first == std::string_view::npos ? first : text.find(':', first + 1);
    if (second == std::string_view::npos)
        base::bug(fmt::format("'{}' is not a snapshot", text));
    s.end_ = static_cast<std::uint32_t>(number<std::uint64_t>(text.substr(first + 1, second - first - 1)));
    auto rest = text.substr(second + 1);
    while (!rest.empty()) {
        auto const comma = std::min(rest.find(','), rest.size());
        s.running_.push_back(number<std::uint64_t>(rest.substr(0, comma)));
        rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
    return s;
}

bool Snapshot::sees(wire::TransactionId xid) const {
    if (!end_ || static_cast<std::int32_t>(xid.value - *end_) >= 0) // xids go round: later is less than half of them ahead
        return false;
    return std::ranges::none_of(running_, [&](std::uint64_t x) { return static_cast<std::uint32_t>(x) == xid.value; });
}

KeyOrder key_order(MappedTable const& table) {
    auto const& type = table.columns[table.key.front()].type;
    if (type == "smallint" || type == "integer" || type == "bigint")
        return KeyOrder::integer;
    if (type == "uuid")
        return KeyOrder::uuid;
    auto const is = [&](std::string_view name) { return type == name || type.starts_with(std::string{name} + "("); };
    if (is("text") || is("character varying") || is("character"))
        return KeyOrder::source_by_collation;
    bool const time = type == "date" || is("timestamp") || type.starts_with("timestamp ");
    return time || is("numeric") || is("bytea") || is("oid") ? KeyOrder::source : KeyOrder::none;
}

std::strong_ordering TableChunks::compare(std::string_view a, std::string_view b) const {
    if (order_ == KeyOrder::integer)
        return number<std::int64_t>(a) <=> number<std::int64_t>(b);
    return a.compare(b) <=> 0; // a uuid's text, as the server prints it, sorts as its bytes do
}

void TableChunks::add(Range range, Snapshot snapshot) {
    if (only_source_compares(order_)) {
        if (range.lo != (chunks_.empty() ? std::nullopt : chunks_.back().range.hi))
            base::bug("a range that does not follow the one before it");
        chunks_.push_back({std::move(range), std::move(snapshot)});
        return;
    }
    auto const before = [&](Chunk const& c) { return c.range.hi && range.lo && compare(*c.range.hi, *range.lo) <= 0; };
    auto const at = std::ranges::find_if_not(chunks_, before);
    chunks_.insert(at, Chunk{std::move(range), std::move(snapshot)});
}

void TableChunks::clear() { chunks_.clear(); }

void TableChunks::follow() { chunks_.assign(1, Chunk{}); }

std::optional<Range> TableChunks::missing() const {
    std::optional<std::string> lo;
    for (auto const& chunk : chunks_) {
        if (chunk.range.lo != lo)
            return Range{lo, chunk.range.lo};
        if (!chunk.range.hi)
            return std::nullopt;
        lo = chunk.range.hi;
    }
    return Range{lo, std::nullopt};
}

Snapshot const* TableChunks::snapshot_of(std::string_view key) const {
    if (chunks_.empty())
        return nullptr;
    if (order_ == KeyOrder::none)
        return &chunks_.front().snapshot;
    auto const at = std::ranges::partition_point(chunks_, [&](Chunk const& c) { return c.range.hi && compare(*c.range.hi, key) < 0; });
    if (at == chunks_.end() || (at->range.lo && compare(key, *at->range.lo) <= 0))
        return nullptr;
    return &at->snapshot;
}

Snapshot const* TableChunks::snapshot_at(std::size_t place) const { return place < chunks_.size() ? &chunks_[place].snapshot : nullptr; }

std::vector<std::string> TableChunks::upper_ends() const {
    std::vector<std::string> ends;
    for (auto const& chunk : chunks_) {
        if (chunk.range.hi)
            ends.push_back(*chunk.range.hi);
    }
    return ends;
}

bool TableChunks::any_sees(wire::TransactionId xid) const {
    return std::ranges::any_of(chunks_, [&](Chunk const& c) { return c.snapshot.sees(xid); });
}

} // namespace pgcarve::sync
