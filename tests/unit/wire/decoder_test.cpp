// Goal: the decoder reads every message of every protocol version exactly as PostgreSQL's documentation, "Logical
// Replication Message Formats", describes it, and nothing else. Method: bytes written out by hand.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <stdexcept>
#include <vector>

#include "base/error.hpp"
#include "encode.hpp"

namespace {

using namespace pgcarve;
using namespace pgcarve::wire;
using namespace pgcarve::wire::test;
using namespace std::string_literals;

std::string text_of(Decoder& decoder, std::string_view bytes) {
    try {
        (void)decoder.decode(bytes);
    } catch (base::Error const& e) {
        EXPECT_EQ(e.code(), "protocol");
        EXPECT_EQ(e.exit(), base::Exit::needs_decision);
        EXPECT_FALSE(e.hint().empty());
        return e.message();
    }
    return "no error";
}

std::string error_of(Where where, Negotiated negotiated, std::string_view bytes) {
    auto decoder = decoder_at(where, negotiated);
    return text_of(decoder, bytes);
}

constexpr auto has = [](std::string const& text, std::string_view part) { return text.find(part) != std::string::npos; };

// One message as bytes written by hand; the same bytes are read wherever it may come.
struct Sample {
    std::string name;
    std::string bytes;
    Where where = Where::transaction;
    Negotiated negotiated = plain;
};

std::string const lsn1 = "\x00\x00\x00\x16\xB3\x74\xD8\x48"s; // 16/B374D848
std::string const lsn2 = "\x00\x00\x00\x16\xB3\x74\xD8\x78"s;
std::string const when = "\x00\x02\xAD\x5F\xA0\xBD\xC3\x40"s;
std::string const id = "\x00\x00\x40\x05"s;  // 16389
std::string const sub = "\x00\x00\x02\xBD"s; // 701
std::string const row = "\x00\x04t\x00\x00\x00\x02"s + "42n" + "ut\x00\x00\x00\x00"s;
std::string const key = "\x00\x04t\x00\x00\x00\x01"s + "7nnn";

base::Lsn const l1{0x16'B374'D848};
base::Lsn const l2{0x16'B374'D878};
Timestamp const w{0x0002'AD5F'A0BD'C340};

std::vector<Sample> samples() {
    std::vector<Sample> all{
        {"Begin", "B" + lsn1 + when + "\x00\x00\x02\xBC"s, Where::idle},
        {"Commit", "C\x00"s + lsn1 + lsn2 + when},
        {"Origin", "O" + lsn1 + "pgcarve_fwd\x00"s},
        {"Relation", "R" + id + "public\x00"s + "orders\x00"s + "d\x00\x02"s + "\x01id\x00"s +
                         "\x00\x00\x00\x14\xFF\xFF\xFF\xFF"s + "\x00"s + "code\x00"s + "\x00\x00\x04\x13\x00\x00\x00\x0E"s},
        {"Type", "Y" + id + "\x00"s + "mood\x00"s},
        {"Insert", "I" + id + "N" + row},
        {"Update", "U" + id + "N" + row},
        {"Update with K", "U" + id + "K" + key + "N" + row},
        {"Update with O", "U" + id + "O" + key + "N" + row},
        {"Delete with K", "D" + id + "K" + key},
        {"Delete with O", "D" + id + "O" + row},
        {"Truncate", "T\x00\x00\x00\x02\x03"s + id + sub},
        {"Message", "M\x01"s + lsn1 + "pgcarve\x00"s + "\x00\x00\x00\x03"s + "a\0" "b"s},
        {"Message alone", "M\x00"s + lsn1 + "\x00"s + "\x00\x00\x00\x00"s, Where::idle},
    };
    // Inside a stream block every change has a transaction's number behind its letter, Origin has not.
    for (auto const& sample : std::vector<Sample>{all.begin() + 3, all.begin() + 13})
        all.push_back({sample.name + " in a stream", sample.bytes.substr(0, 1) + sub + sample.bytes.substr(1),
                       Where::stream, streaming});
    all.push_back({"Message alone in a stream", "M" + sub + all[13].bytes.substr(1), Where::stream, streaming});
    all.push_back({"Origin in a stream", all[2].bytes, Where::stream, streaming});
    std::string const prepared = lsn1 + lsn2 + when + "\x00\x00\x02\xBC"s + "order-1\x00"s;
    all.insert(all.end(), {
        {"Stream Start", "S\x00\x00\x02\xBC\x01"s, Where::idle, streaming},
        {"Stream Start again", "S\x00\x00\x02\xBC\x00"s, Where::idle, streaming},
        {"Stream Stop", "E", Where::stream, streaming},
        {"Stream Commit", "c\x00\x00\x02\xBC\x00"s + lsn1 + lsn2 + when, Where::idle, streaming},
        {"Stream Abort", "A\x00\x00\x02\xBC"s + sub, Where::idle, streaming},
        {"Stream Abort in parallel", "A\x00\x00\x02\xBC"s + sub + lsn1 + when, Where::idle, everything},
        {"Begin Prepare", "b" + prepared, Where::idle, two_phase},
        {"Prepare", "P\x00"s + prepared, Where::prepared, two_phase},
        {"Commit Prepared", "K\x00"s + prepared, Where::idle, two_phase},
        {"Rollback Prepared", "r\x00"s + lsn1 + lsn2 + when + when + "\x00\x00\x02\xBC"s + "order-1\x00"s, Where::idle, two_phase},
        {"Stream Prepare", "p\x00"s + prepared, Where::idle, two_phase},
        {"Insert of binary", "I" + id + "N\x00\x01" "b\x00\x00\x00\x04\x00\x00\x00\x2A"s, Where::transaction,
         {.protocol = 1, .binary = true}},
        {"Insert in a prepared transaction", "I" + id + "N" + row, Where::prepared, two_phase},
    });
    return all;
}

template <typename Kind>
Kind read(Decoder& decoder, std::string_view bytes) {
    auto const message = decoder.decode(bytes);
    if (!std::holds_alternative<Kind>(message))
        throw std::runtime_error{"another kind of message"};
    return std::get<Kind>(message);
}

std::string const& bytes_of(std::string const& name) {
    static auto const all = samples();
    auto const found = std::find_if(all.begin(), all.end(), [&](auto const& s) { return s.name == name; });
    if (found == all.end())
        throw std::runtime_error{"no sample " + name};
    return found->bytes;
}

void expect_row(Tuple tuple) {
    ASSERT_EQ(tuple.size(), 4U);
    EXPECT_EQ(tuple[0].state, ColumnState::text);
    EXPECT_EQ(tuple[0].value, "42");
    EXPECT_EQ(tuple[1].state, ColumnState::null);
    EXPECT_EQ(tuple[2].state, ColumnState::unchanged_toast);
    EXPECT_EQ(tuple[3].state, ColumnState::text) << "an empty text is no NULL";
    EXPECT_EQ(tuple[3].value, "");
}

void expect_key(Tuple tuple) {
    ASSERT_EQ(tuple.size(), 4U);
    EXPECT_EQ(tuple[0].value, "7");
    for (std::size_t i = 1; i < 4; ++i)
        EXPECT_EQ(tuple[i].state, ColumnState::null);
}

TEST(Decoder, Transactions) {
    Decoder decoder{plain};
    EXPECT_FALSE(decoder.in_transaction());
    auto const begin = read<Begin>(decoder, bytes_of("Begin"));
    EXPECT_TRUE(decoder.in_transaction());
    EXPECT_EQ(begin.final_lsn, l1);
    EXPECT_EQ(begin.final_lsn.text(), "16/B374D848");
    EXPECT_EQ(begin.commit_time, w);
    EXPECT_EQ(begin.xid, TransactionId{700});
    auto const origin = read<Origin>(decoder, bytes_of("Origin"));
    EXPECT_EQ(origin.commit_lsn, l1);
    EXPECT_EQ(origin.name, "pgcarve_fwd");
    auto const commit = read<Commit>(decoder, bytes_of("Commit"));
    EXPECT_FALSE(decoder.in_transaction());
    EXPECT_EQ(commit.commit_lsn, l1);
    EXPECT_EQ(commit.end_lsn, l2);
    EXPECT_EQ(commit.commit_time, w);
}

TEST(Decoder, TimestampsCountFrom2000) {
    EXPECT_EQ(Timestamp{}.unix_micros(), 946684800000000);
    EXPECT_EQ(Timestamp::from_unix_micros(w.unix_micros()), w);
}

// Every change is read the same with and without a transaction's number.
class Changes : public testing::TestWithParam<bool> {
protected:
    bool const streamed = GetParam();
    Decoder decoder = streamed ? decoder_at(Where::stream, streaming) : decoder_at(Where::transaction, plain);
    TransactionId const want{streamed ? 701U : 0U};
    [[nodiscard]] std::string const& bytes(std::string const& name) const {
        return bytes_of(streamed ? name + " in a stream" : name);
    }
};

TEST_P(Changes, Relation) {
    auto const relation = read<Relation>(decoder, bytes("Relation"));
    EXPECT_EQ(relation.xid, want);
    EXPECT_EQ(relation.id, base::Oid{16389});
    EXPECT_EQ(relation.schema, "public");
    EXPECT_EQ(relation.name, "orders");
    EXPECT_EQ(relation.identity, ReplicaIdentity::by_default);
    ASSERT_EQ(relation.columns.size(), 2U);
    EXPECT_TRUE(relation.columns[0].key);
    EXPECT_EQ(relation.columns[0].name, "id");
    EXPECT_EQ(relation.columns[0].type, base::Oid{20});
    EXPECT_EQ(relation.columns[0].typmod, -1);
    EXPECT_FALSE(relation.columns[1].key);
    EXPECT_EQ(relation.columns[1].name, "code");
    EXPECT_EQ(relation.columns[1].type, base::Oid{1043});
    EXPECT_EQ(relation.columns[1].typmod, 14);
}

TEST_P(Changes, Type) {
    auto const type = read<Type>(decoder, bytes("Type"));
    EXPECT_EQ(type.xid, want);
    EXPECT_EQ(type.id, base::Oid{16389});
    EXPECT_EQ(type.schema, "pg_catalog") << "the server sends nothing for it";
    EXPECT_EQ(type.name, "mood");
}

TEST_P(Changes, Insert) {
    auto const insert = read<Insert>(decoder, bytes("Insert"));
    EXPECT_EQ(insert.xid, want);
    EXPECT_EQ(insert.relation, base::Oid{16389});
    expect_row(insert.row);
}

TEST_P(Changes, Update) {
    auto const bare = read<Update>(decoder, bytes("Update"));
    EXPECT_EQ(bare.xid, want);
    EXPECT_EQ(bare.relation, base::Oid{16389});
    EXPECT_EQ(bare.old_kind, OldTuple::none);
    EXPECT_TRUE(bare.old.empty());
    expect_row(bare.row);
    for (auto const kind : {OldTuple::key, OldTuple::full}) {
        auto const update = read<Update>(decoder, bytes(kind == OldTuple::key ? "Update with K" : "Update with O"));
        EXPECT_EQ(update.old_kind, kind);
        expect_key(update.old);
        expect_row(update.row);
    }
}

TEST_P(Changes, Delete) {
    auto const by_key = read<Delete>(decoder, bytes("Delete with K"));
    EXPECT_EQ(by_key.xid, want);
    EXPECT_EQ(by_key.relation, base::Oid{16389});
    EXPECT_EQ(by_key.old_kind, OldTuple::key);
    expect_key(by_key.old);
    auto const full = read<Delete>(decoder, bytes("Delete with O"));
    EXPECT_EQ(full.old_kind, OldTuple::full);
    expect_row(full.old);
}

TEST_P(Changes, Truncate) {
    auto const truncate = read<Truncate>(decoder, bytes("Truncate"));
    EXPECT_EQ(truncate.xid, want);
    EXPECT_TRUE(truncate.cascade);
    EXPECT_TRUE(truncate.restart_identity);
    ASSERT_EQ(truncate.relations.size(), 2U);
    EXPECT_EQ(truncate.relations[0], base::Oid{16389});
    EXPECT_EQ(truncate.relations[1], base::Oid{701});
}

TEST_P(Changes, Message) {
    auto const message = read<LogicalMessage>(decoder, bytes("Message"));
    EXPECT_EQ(message.xid, want);
    EXPECT_TRUE(message.transactional);
    EXPECT_EQ(message.lsn, l1);
    EXPECT_EQ(message.prefix, "pgcarve");
    EXPECT_EQ(message.content, "a\0" "b"s);
}

INSTANTIATE_TEST_SUITE_P(Wire, Changes, testing::Bool(),
                         [](auto const& param) { return param.param ? "Streamed" : "Plain"; });

TEST(Decoder, MessageOfNoTransaction) {
    Decoder decoder{plain};
    auto const message = read<LogicalMessage>(decoder, bytes_of("Message alone"));
    EXPECT_FALSE(message.transactional);
    EXPECT_EQ(message.prefix, "");
    EXPECT_EQ(message.content, "");
    EXPECT_FALSE(decoder.in_transaction());
    // It comes at once, whatever else is going on.
    auto open = decoder_at(Where::transaction, plain);
    read<LogicalMessage>(open, bytes_of("Message alone"));
    EXPECT_TRUE(open.in_transaction());
    auto stream = decoder_at(Where::stream, streaming);
    EXPECT_EQ(read<LogicalMessage>(stream, bytes_of("Message alone in a stream")).xid, TransactionId{701});
}

TEST(Decoder, Streams) {
    Decoder decoder{streaming};
    auto const start = read<StreamStart>(decoder, bytes_of("Stream Start"));
    EXPECT_EQ(start.xid, TransactionId{700});
    EXPECT_TRUE(start.first);
    EXPECT_EQ(decoder.stream(), TransactionId{700});
    EXPECT_TRUE(decoder.in_transaction());
    EXPECT_EQ(read<Origin>(decoder, bytes_of("Origin in a stream")).name, "pgcarve_fwd");
    read<StreamStop>(decoder, "E");
    EXPECT_EQ(decoder.stream(), TransactionId{});
    EXPECT_FALSE(decoder.in_transaction());
    EXPECT_FALSE(read<StreamStart>(decoder, bytes_of("Stream Start again")).first);
    read<StreamStop>(decoder, "E");
    auto const abort = read<StreamAbort>(decoder, bytes_of("Stream Abort"));
    EXPECT_EQ(abort.xid, TransactionId{700});
    EXPECT_EQ(abort.subxid, TransactionId{701});
    EXPECT_FALSE(abort.timed);
    auto const commit = read<StreamCommit>(decoder, bytes_of("Stream Commit"));
    EXPECT_EQ(commit.xid, TransactionId{700});
    EXPECT_EQ(commit.commit_lsn, l1);
    EXPECT_EQ(commit.end_lsn, l2);
    EXPECT_EQ(commit.commit_time, w);
}

TEST(Decoder, AbortHasAPlaceAndATimeOnlyInParallelStreaming) {
    Decoder parallel{everything};
    auto const abort = read<StreamAbort>(parallel, bytes_of("Stream Abort in parallel"));
    EXPECT_TRUE(abort.timed);
    EXPECT_EQ(abort.abort_lsn, l1);
    EXPECT_EQ(abort.abort_time, w);
    Decoder four{{.protocol = 4, .streaming = Streaming::on}};
    EXPECT_FALSE(read<StreamAbort>(four, bytes_of("Stream Abort")).timed);
    EXPECT_TRUE(has(text_of(four, bytes_of("Stream Abort in parallel")), "16 bytes too many"));
    EXPECT_TRUE(has(text_of(parallel, bytes_of("Stream Abort")), "8 bytes wanted, 0 there"));
}

TEST(Decoder, TwoPhase) {
    Decoder decoder{two_phase};
    auto const begin = read<BeginPrepare>(decoder, bytes_of("Begin Prepare"));
    EXPECT_EQ(begin.prepare_lsn, l1);
    EXPECT_EQ(begin.end_lsn, l2);
    EXPECT_EQ(begin.prepare_time, w);
    EXPECT_EQ(begin.xid, TransactionId{700});
    EXPECT_EQ(begin.gid, "order-1");
    EXPECT_TRUE(decoder.in_transaction());
    EXPECT_EQ(read<Insert>(decoder, bytes_of("Insert")).xid, TransactionId{});
    auto const prepare = read<Prepare>(decoder, bytes_of("Prepare"));
    EXPECT_EQ(prepare.prepare_lsn, l1);
    EXPECT_EQ(prepare.end_lsn, l2);
    EXPECT_EQ(prepare.prepare_time, w);
    EXPECT_EQ(prepare.xid, TransactionId{700});
    EXPECT_EQ(prepare.gid, "order-1");
    EXPECT_FALSE(decoder.in_transaction());
    auto const commit = read<CommitPrepared>(decoder, bytes_of("Commit Prepared"));
    EXPECT_EQ(commit.commit_lsn, l1);
    EXPECT_EQ(commit.end_lsn, l2);
    EXPECT_EQ(commit.commit_time, w);
    EXPECT_EQ(commit.xid, TransactionId{700});
    EXPECT_EQ(commit.gid, "order-1");
    auto const rollback = read<RollbackPrepared>(decoder, bytes_of("Rollback Prepared"));
    EXPECT_EQ(rollback.prepare_end_lsn, l1);
    EXPECT_EQ(rollback.rollback_end_lsn, l2);
    EXPECT_EQ(rollback.prepare_time, w);
    EXPECT_EQ(rollback.rollback_time, w);
    EXPECT_EQ(rollback.xid, TransactionId{700});
    EXPECT_EQ(rollback.gid, "order-1");
    auto const stream = read<StreamPrepare>(decoder, bytes_of("Stream Prepare"));
    EXPECT_EQ(stream.prepare_lsn, l1);
    EXPECT_EQ(stream.end_lsn, l2);
    EXPECT_EQ(stream.prepare_time, w);
    EXPECT_EQ(stream.xid, TransactionId{700});
    EXPECT_EQ(stream.gid, "order-1");
}

TEST(Decoder, BinaryValues) {
    auto decoder = decoder_at(Where::transaction, {.protocol = 1, .binary = true});
    auto const insert = read<Insert>(decoder, bytes_of("Insert of binary"));
    ASSERT_EQ(insert.row.size(), 1U);
    EXPECT_EQ(insert.row[0].state, ColumnState::binary);
    EXPECT_EQ(insert.row[0].value, "\0\0\0\x2A"s);
    EXPECT_TRUE(has(error_of(Where::transaction, plain, bytes_of("Insert of binary")), "binary value, which was not asked for"));
}

TEST(Decoder, ValuesAreViewsIntoTheBuffer) {
    auto decoder = decoder_at(Where::transaction, plain);
    auto const& bytes = bytes_of("Insert");
    auto const insert = read<Insert>(decoder, bytes);
    EXPECT_EQ(static_cast<void const*>(insert.row[0].value.data()), static_cast<void const*>(bytes.data() + 13));
}

// ---- what is refused

TEST(Decoder, EveryPrefixAndEveryByteTooManyIsAnError) {
    for (auto const& sample : samples()) {
        SCOPED_TRACE(sample.name);
        auto decoder = decoder_at(sample.where, sample.negotiated);
        for (std::size_t size = 0; size < sample.bytes.size(); ++size) {
            // In a buffer of its own, so that a sanitizer sees a read behind its end.
            std::vector<char> const exact(sample.bytes.begin(), sample.bytes.begin() + static_cast<std::ptrdiff_t>(size));
            EXPECT_TRUE(has(text_of(decoder, {exact.data(), size}), "at byte")) << size << " bytes";
        }
        for (char const extra : {'\0', 'N', '\xFF'})
            EXPECT_TRUE(has(text_of(decoder, sample.bytes + extra), "at byte"));
        // The failures have not moved the decoder: the message itself is still welcome.
        EXPECT_EQ(encode(decoder.decode(sample.bytes)), sample.bytes);
    }
}

TEST(Decoder, WhatWasNotAskedForIsAnError) {
    for (auto const& sample : samples()) {
        SCOPED_TRACE(sample.name);
        bool const two = std::string_view{"bKrp"}.find(sample.bytes[0]) != std::string_view::npos;
        bool const streams = std::string_view{"ScA"}.find(sample.bytes[0]) != std::string_view::npos;
        if (two) {
            EXPECT_TRUE(has(error_of(Where::idle, plain, sample.bytes), "two-phase commit was not asked for"));
            EXPECT_TRUE(has(error_of(Where::idle, streaming, sample.bytes), "two-phase commit was not asked for"));
        }
        if (streams) {
            EXPECT_TRUE(has(error_of(Where::idle, plain, sample.bytes), "streaming was not asked for"));
        }
    }
    EXPECT_TRUE(has(error_of(Where::idle, {.protocol = 3, .two_phase = true}, bytes_of("Stream Prepare")),
                    "streaming was not asked for"));
}

TEST(Decoder, WhatIsOutOfPlaceIsAnError) {
    std::map<Where, std::vector<std::string>> const strangers{
        {Where::idle, {"Commit", "Origin", "Relation", "Type", "Insert", "Update", "Delete with K", "Truncate", "Message",
                       "Stream Stop", "Prepare"}},
        {Where::transaction, {"Begin", "Stream Start", "Stream Stop", "Stream Commit", "Stream Abort", "Begin Prepare",
                              "Prepare", "Commit Prepared", "Rollback Prepared", "Stream Prepare"}},
        {Where::prepared, {"Begin", "Commit", "Stream Start", "Stream Stop", "Begin Prepare", "Commit Prepared"}},
        {Where::stream, {"Begin", "Commit", "Stream Start", "Stream Commit", "Stream Abort", "Begin Prepare", "Prepare",
                         "Commit Prepared", "Rollback Prepared", "Stream Prepare"}},
    };
    for (auto const& [where, names] : strangers) {
        for (auto const& name : names) {
            auto const error = error_of(where, two_phase, bytes_of(name));
            EXPECT_TRUE(has(error, "inside a") || has(error, "outside a") || has(error, "nothing that it could end"))
                << name << " at " << static_cast<int>(where) << ": " << error;
        }
    }
}

TEST(Decoder, UnknownKindsAreErrors) {
    for (int kind = 0; kind < 256; ++kind) {
        if (std::string_view{"BCORYIUDTMSEcAbPKrp"}.find(static_cast<char>(kind)) != std::string_view::npos)
            continue;
        for (auto const where : {Where::idle, Where::transaction, Where::stream})
            EXPECT_TRUE(has(error_of(where, everything, i8(static_cast<unsigned>(kind)) + i64(1)), "is unknown")) << kind;
    }
    EXPECT_TRUE(has(error_of(Where::idle, plain, "Zx"), "a message, at byte 1 of 2: its kind 'Z' is unknown"));
    EXPECT_TRUE(has(error_of(Where::idle, plain, ""), "an empty message, at byte 0 of 0: 1 bytes wanted, 0 there"));
}

TEST(Decoder, UnknownFieldsAreErrors) {
    struct Wrong {
        Where where;
        std::string bytes;
        std::string error;
    };
    std::string const none = i64(0);
    for (auto const& wrong : std::vector<Wrong>{
             {Where::idle, "B" + none + when + i32(7), "Begin, at byte 9 of 21: the final lsn is 0/0"},
             {Where::idle, "B" + lsn1 + when + i32(0), "the transaction is 0"},
             {Where::transaction, "C\x01"s + lsn1 + lsn2 + when, "Commit, at byte 2 of 26: unknown flags 1"},
             {Where::transaction, "C\x00"s + none + lsn2 + when, "the commit lsn is 0/0"},
             {Where::transaction, "C\x00"s + lsn1 + none + when, "the end lsn is 0/0"},
             {Where::transaction, "O" + lsn1 + "name", "Origin, at byte 9 of 13: the name has no end"},
             {Where::transaction, "R" + id + str("s") + str("t") + "x" + i16(0), "unknown replica identity 'x'"},
             {Where::transaction, "R" + id + str("s") + str("t") + "\x07" + i16(0), "unknown replica identity 0x07"},
             {Where::transaction, "R" + id + str("s") + str("t") + "d" + i16(0xFFFF), "the number of columns is -1"},
             {Where::transaction, "R" + id + str("s") + str("t") + "d" + i16(1) + i8(2) + str("c") + i32(23) + i32(0),
              "a column's flags is 2, neither 0 nor 1"},
             {Where::transaction, "I" + id + "K" + row, "a tuple of kind 'K' where N belongs"},
             {Where::transaction, "I" + id + "N" + i16(0xFFFF), "the number of columns is -1"},
             {Where::transaction, "I" + id + "N" + i16(2) + "nx", "column 1 has the unknown state 'x'"},
             {Where::transaction, "I" + id + "N" + i16(1) + "t" + i32(0xFFFFFFFF), "a value's length is -1"},
             {Where::transaction, "I" + id + "N" + i16(1) + "t" + i32(0x7FFFFFFF) + "abc", "2147483647 bytes wanted, 3 there"},
             {Where::transaction, "U" + id + "X" + row, "a tuple of kind 'X' where K or O belongs"},
             {Where::transaction, "U" + id + "K" + key + "K" + row, "a tuple of kind 'K' where N belongs"},
             {Where::transaction, "U" + id + "K" + i16(1) + "n" + "N" + row, "the old tuple has 1 columns, the new one 4"},
             {Where::transaction, "D" + id + "N" + row, "a tuple of kind 'N' where K or O belongs"},
             {Where::transaction, "T" + i32(0) + i8(0), "0 relations in 0 bytes"},
             {Where::transaction, "T" + i32(1) + i8(4) + id, "unknown options 4"},
             {Where::transaction, "T" + i32(0x7FFFFFFF) + i8(0) + id, "2147483647 relations in 4 bytes"},
             {Where::transaction, "T" + i32(0xFFFFFFFF) + i8(0) + id, "the number of relations is -1"},
             {Where::transaction, "M" + i8(2) + lsn1 + str("p") + i32(0), "the flags is 2"},
             {Where::transaction, "M" + i8(0) + none + str("p") + i32(0), "the lsn is 0/0"},
             {Where::transaction, "M" + i8(0) + lsn1 + str("p") + i32(0xFFFFFFFF), "the length is -1"},
             {Where::idle, "S" + i32(0) + i8(1), "the transaction is 0"},
             {Where::idle, "S" + i32(7) + i8(2), "the first segment is 2"},
             {Where::idle, "c" + i32(7) + i8(1) + lsn1 + lsn2 + when, "unknown flags 1"},
             {Where::stream, "I" + i32(0) + id + "N" + row, "the transaction is 0"},
             {Where::prepared, "P" + i8(1) + lsn1 + lsn2 + when + i32(7) + str("g"), "unknown flags 1"},
             {Where::idle, "b" + lsn1 + none + when + i32(7) + str("g"), "the end lsn is 0/0"},
             {Where::idle, "K" + i8(0) + none + lsn2 + when + i32(7) + str("g"), "the lsn is 0/0"},
             {Where::idle, "r" + i8(9) + lsn1 + lsn2 + when + when + i32(7) + str("g"), "unknown flags 9"},
         }) {
        auto const error = error_of(wrong.where, everything, wrong.bytes);
        EXPECT_TRUE(has(error, wrong.error)) << wrong.error << "\n" << error;
    }
}

TEST(Decoder, OptionsThatContradictEachOtherAreABug) {
    for (auto const& wrong : std::vector<Negotiated>{{.protocol = 0},
                                                     {.protocol = 5},
                                                     {.protocol = 1, .streaming = Streaming::on},
                                                     {.protocol = 2, .two_phase = true},
                                                     {.protocol = 3, .streaming = Streaming::parallel}}) {
        try {
            Decoder const decoder{wrong};
            FAIL() << wrong.protocol;
        } catch (base::Error const& e) {
            EXPECT_EQ(e.exit(), base::Exit::bug);
        }
    }
}

} // namespace
