// Goal: whatever the server could send is read back as it was meant, and whatever else comes is an error and nothing
// worse. Method: RapidCheck against an encoder of its own; a seeded flood of broken messages.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <deque>
#include <random>

#include "base/error.hpp"
#include "encode.hpp"
#include "wire/frame.hpp"

namespace {

using namespace pgcarve;
using namespace pgcarve::wire;
using namespace pgcarve::wire::test;

// Random messages, with what their views point to.
class Maker {
public:
    explicit Maker(std::mt19937_64& random) : random_{random} {}

    Message message(Where where, bool binary) {
        columns_.clear();
        switch (where) {
        case Where::idle:
            return idle();
        case Where::prepared:
        case Where::transaction:
        case Where::stream:
            return inside(where, binary);
        }
        throw std::logic_error{"where?"};
    }

private:
    std::uint64_t below(std::uint64_t limit) { return random_() % limit; }
    base::Lsn lsn() { return {below(2) == 0 ? 1 + below(1000) : (random_() | 1U)}; }
    Timestamp time() { return {static_cast<std::int64_t>(random_())}; }
    TransactionId xid() { return {static_cast<std::uint32_t>(random_()) | 1U}; }
    base::Oid oid() { return {static_cast<std::uint32_t>(random_())}; }

    std::string_view bytes(bool zeros) {
        std::string text(below(8) == 0 ? below(3000) : below(12), ' ');
        for (auto& c : text) {
            c = static_cast<char>(random_());
            if (c == '\0' && !zeros)
                c = 'x';
        }
        return texts_.emplace_back(std::move(text));
    }
    std::string_view name() { return bytes(false); }
    std::string_view schema() {
        auto const text = name();
        return text.empty() ? "pg_catalog" : text;
    }

    Tuple tuple(std::size_t width, bool binary) {
        auto& columns = columns_.emplace_back();
        for (std::size_t i = 0; i < width; ++i) {
            switch (below(binary ? 4 : 3)) {
            case 0:
                columns.push_back({ColumnState::null});
                break;
            case 1:
                columns.push_back({ColumnState::unchanged_toast});
                break;
            case 2:
                columns.push_back({ColumnState::text, bytes(true)});
                break;
            default:
                columns.push_back({ColumnState::binary, bytes(true)});
                break;
            }
        }
        return columns;
    }

    Message idle() {
        switch (below(10)) {
        case 0:
            return Begin{lsn(), time(), xid()};
        case 1:
            return StreamStart{xid(), below(2) == 0};
        case 2:
            return StreamCommit{xid(), lsn(), lsn(), time()};
        case 3:
            return StreamAbort{xid(), xid(), true, {below(2) == 0 ? 0 : random_()}, time()};
        case 4:
            return BeginPrepare{lsn(), lsn(), time(), xid(), name()};
        case 5:
            return CommitPrepared{lsn(), lsn(), time(), xid(), name()};
        case 6:
            return RollbackPrepared{lsn(), lsn(), time(), time(), xid(), name()};
        case 7:
            return StreamPrepare{lsn(), lsn(), time(), xid(), name()};
        default:
            return LogicalMessage{{}, false, lsn(), name(), bytes(true)};
        }
    }

    Message inside(Where where, bool binary) {
        auto const mine = where == Where::stream ? xid() : TransactionId{};
        auto const width = below(200) == 0 ? below(1600) : below(8);
        switch (below(10)) {
        case 0:
            switch (where) {
            case Where::stream:
                return StreamStop{};
            case Where::prepared:
                return Prepare{lsn(), lsn(), time(), xid(), name()};
            default:
                return Commit{lsn(), lsn(), time()};
            }
        case 1:
            return Origin{{random_()}, name()};
        case 2: {
            relation_.clear();
            for (std::size_t i = 0; i < width; ++i)
                relation_.push_back({below(2) == 0, name(), oid(), static_cast<std::int32_t>(random_())});
            return Relation{mine, oid(), schema(), name(), static_cast<ReplicaIdentity>("dnfi"[below(4)]), relation_};
        }
        case 3:
            return Type{mine, oid(), schema(), name()};
        case 4:
            return Insert{mine, oid(), tuple(width, binary)};
        case 5:
        case 6: {
            auto const kind = static_cast<OldTuple>(below(3));
            return Update{mine, oid(), kind, kind == OldTuple::none ? Tuple{} : tuple(width, binary), tuple(width, binary)};
        }
        case 7:
            return Delete{mine, oid(), below(2) == 0 ? OldTuple::key : OldTuple::full, tuple(width, binary)};
        case 8:
            oids_.assign(1 + below(5), oid());
            return Truncate{mine, below(2) == 0, below(2) == 0, oids_};
        default:
            return LogicalMessage{mine, below(2) == 0, lsn(), name(), bytes(true)};
        }
    }

    std::mt19937_64& random_;
    std::deque<std::string> texts_;
    std::deque<std::vector<Column>> columns_;
    std::vector<RelationColumn> relation_;
    std::vector<base::Oid> oids_;
};

// ---- equality, deep

bool same(Tuple a, Tuple b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](auto const& x, auto const& y) { return x.state == y.state && x.value == y.value; });
}
bool same(Begin const& a, Begin const& b) {
    return a.final_lsn == b.final_lsn && a.commit_time == b.commit_time && a.xid == b.xid;
}
bool same(Commit const& a, Commit const& b) {
    return a.commit_lsn == b.commit_lsn && a.end_lsn == b.end_lsn && a.commit_time == b.commit_time;
}
bool same(Origin const& a, Origin const& b) { return a.commit_lsn == b.commit_lsn && a.name == b.name; }
bool same(Relation const& a, Relation const& b) {
    return a.xid == b.xid && a.id == b.id && a.schema == b.schema && a.name == b.name && a.identity == b.identity &&
           std::equal(a.columns.begin(), a.columns.end(), b.columns.begin(), b.columns.end(), [](auto const& x, auto const& y) {
               return x.key == y.key && x.name == y.name && x.type == y.type && x.typmod == y.typmod;
           });
}
bool same(Type const& a, Type const& b) {
    return a.xid == b.xid && a.id == b.id && a.schema == b.schema && a.name == b.name;
}
bool same(Insert const& a, Insert const& b) { return a.xid == b.xid && a.relation == b.relation && same(a.row, b.row); }
bool same(Update const& a, Update const& b) {
    return a.xid == b.xid && a.relation == b.relation && a.old_kind == b.old_kind && same(a.old, b.old) && same(a.row, b.row);
}
bool same(Delete const& a, Delete const& b) {
    return a.xid == b.xid && a.relation == b.relation && a.old_kind == b.old_kind && same(a.old, b.old);
}
bool same(Truncate const& a, Truncate const& b) {
    return a.xid == b.xid && a.cascade == b.cascade && a.restart_identity == b.restart_identity &&
           std::equal(a.relations.begin(), a.relations.end(), b.relations.begin(), b.relations.end());
}
bool same(LogicalMessage const& a, LogicalMessage const& b) {
    return a.xid == b.xid && a.transactional == b.transactional && a.lsn == b.lsn && a.prefix == b.prefix && a.content == b.content;
}
bool same(StreamStart const& a, StreamStart const& b) { return a.xid == b.xid && a.first == b.first; }
bool same(StreamStop const&, StreamStop const&) { return true; }
bool same(StreamCommit const& a, StreamCommit const& b) {
    return a.xid == b.xid && a.commit_lsn == b.commit_lsn && a.end_lsn == b.end_lsn && a.commit_time == b.commit_time;
}
bool same(StreamAbort const& a, StreamAbort const& b) {
    return a.xid == b.xid && a.subxid == b.subxid && a.timed == b.timed && a.abort_lsn == b.abort_lsn && a.abort_time == b.abort_time;
}
bool same(CommitPrepared const& a, CommitPrepared const& b) {
    return a.commit_lsn == b.commit_lsn && a.end_lsn == b.end_lsn && a.commit_time == b.commit_time && a.xid == b.xid && a.gid == b.gid;
}
bool same(RollbackPrepared const& a, RollbackPrepared const& b) {
    return a.prepare_end_lsn == b.prepare_end_lsn && a.rollback_end_lsn == b.rollback_end_lsn && a.prepare_time == b.prepare_time &&
           a.rollback_time == b.rollback_time && a.xid == b.xid && a.gid == b.gid;
}
template <typename Prepared>
bool same(Prepared const& a, Prepared const& b) { // BeginPrepare, Prepare, StreamPrepare
    return a.prepare_lsn == b.prepare_lsn && a.end_lsn == b.end_lsn && a.prepare_time == b.prepare_time && a.xid == b.xid && a.gid == b.gid;
}
bool same_message(Message const& a, Message const& b) {
    return std::visit(
        [&](auto const& x) {
            auto const* const y = std::get_if<std::decay_t<decltype(x)>>(&b);
            return y != nullptr && same(x, *y);
        },
        a);
}

RC_GTEST_PROP(DecoderProperty, ReadsBackWhatWasWritten, ()) {
    std::mt19937_64 random{*rc::gen::arbitrary<std::uint64_t>()};
    auto const where = *rc::gen::element(Where::idle, Where::transaction, Where::prepared, Where::stream);
    auto decoder = decoder_at(where, everything);
    Maker maker{random};
    auto const message = maker.message(where, true);
    auto const bytes = encode(message);
    auto const read = decoder.decode(bytes);
    RC_ASSERT(same_message(message, read));
    RC_ASSERT(encode(read) == bytes);
}

// A whole conversation through one decoder, so that a vector it reuses shows nothing of the message before.
RC_GTEST_PROP(DecoderProperty, ReadsAConversation, ()) {
    std::mt19937_64 random{*rc::gen::arbitrary<std::uint64_t>()};
    Decoder decoder{everything};
    auto where = Where::idle;
    for (int i = 0; i < 60; ++i) {
        Maker maker{random};
        auto const message = maker.message(where, true);
        auto const bytes = encode(message);
        RC_ASSERT(same_message(message, decoder.decode(bytes)));
        if (std::holds_alternative<Begin>(message))
            where = Where::transaction;
        else if (std::holds_alternative<BeginPrepare>(message))
            where = Where::prepared;
        else if (std::holds_alternative<StreamStart>(message))
            where = Where::stream;
        else if (std::holds_alternative<Commit>(message) || std::holds_alternative<Prepare>(message) ||
                 std::holds_alternative<StreamStop>(message))
            where = Where::idle;
        RC_ASSERT(decoder.in_transaction() == (where != Where::idle));
    }
}

std::string broken(std::string bytes, std::string const& other, std::mt19937_64& random) {
    auto const below = [&](std::size_t limit) { return limit == 0 ? 0 : random() % limit; };
    for (auto times = 1 + below(3); times > 0; --times) {
        switch (below(5)) {
        case 0:
            if (!bytes.empty())
                bytes[below(bytes.size())] ^= static_cast<char>(1U << below(8));
            break;
        case 1:
            bytes.resize(below(bytes.size() + 1));
            break;
        case 2: // the head of one, the tail of another
            bytes = bytes.substr(0, below(bytes.size() + 1)) + other.substr(below(other.size() + 1));
            break;
        case 3:
            bytes.erase(below(bytes.size() + 1), below(8));
            break;
        default:
            if (!bytes.empty())
                bytes[below(bytes.size())] = static_cast<char>("\0\1\x7F\x80\xFF"[below(5)]);
            break;
        }
    }
    return bytes;
}

TEST(DecoderFlood, BrokenMessagesAreMessagesOrErrors) {
    std::mt19937_64 random{20'000'101};
    int messages = 0;
    int errors = 0;
    std::string other = "I";
    for (int i = 0; i < 200'000; ++i) {
        auto const where = static_cast<Where>(random() % 4);
        auto decoder = decoder_at(where, everything);
        Maker maker{random};
        auto const whole = encode(maker.message(where, random() % 2 == 0));
        auto const bytes = broken(whole, other, random);
        // In a buffer of exactly its size, so that a sanitizer sees a read behind its end.
        std::vector<char> const exact(bytes.begin(), bytes.end());
        try {
            auto const message = decoder.decode({exact.data(), exact.size()});
            // Taken for a message: then all of its bytes meant something, and it means the same bytes again.
            // (`pg_catalog` is the one schema that can be written in two ways.)
            if (!std::holds_alternative<Relation>(message) && !std::holds_alternative<Type>(message)) {
                ASSERT_EQ(encode(message), bytes) << "message " << i;
            }
            ++messages;
        } catch (base::Error const& e) {
            ASSERT_EQ(e.code(), "protocol") << e.what();
            ++errors;
        }
        try {
            (void)parse_frame(std::string_view{exact.data(), exact.size()});
        } catch (base::Error const& e) {
            ASSERT_EQ(e.code(), "protocol") << e.what();
        }
        other = whole;
    }
    EXPECT_GT(messages, 5'000) << "some stay messages";
    EXPECT_GT(errors, 50'000) << "most are broken";
}

} // namespace
