// The other side of the decoder, for its tests only: writes messages as PostgreSQL's documentation, "Logical
// Replication Message Formats", describes them. It shares no code with the decoder on purpose.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "wire/decoder.hpp"

namespace pgcarve::wire::test {

inline std::string big(std::uint64_t value, int bytes) {
    std::string out;
    for (int i = bytes - 1; i >= 0; --i)
        out += static_cast<char>(static_cast<unsigned char>(value >> static_cast<unsigned>(8 * i)));
    return out;
}
inline std::string i8(std::uint64_t value) { return big(value, 1); }
inline std::string i16(std::uint64_t value) { return big(value, 2); }
inline std::string i32(std::uint64_t value) { return big(value, 4); }
inline std::string i64(std::uint64_t value) { return big(value, 8); }
inline std::string str(std::string_view text) { return std::string{text} + '\0'; }

// The number of the (sub)transaction, which only stream blocks carry.
inline std::string xid(TransactionId id) { return id.value == 0 ? std::string{} : i32(id.value); }
inline std::string time(Timestamp t) { return i64(static_cast<std::uint64_t>(t.micros)); }
inline std::string schema(std::string_view name) { return str(name == "pg_catalog" ? std::string_view{} : name); }

inline std::string encode(Tuple tuple) {
    std::string out = i16(tuple.size());
    for (auto const& column : tuple) {
        switch (column.state) {
        case ColumnState::null:
            out += 'n';
            break;
        case ColumnState::unchanged_toast:
            out += 'u';
            break;
        case ColumnState::text:
            out += 't' + i32(column.value.size()) + std::string{column.value};
            break;
        case ColumnState::binary:
            out += 'b' + i32(column.value.size()) + std::string{column.value};
            break;
        }
    }
    return out;
}

inline std::string old(OldTuple kind, Tuple tuple) {
    return kind == OldTuple::none ? std::string{} : (kind == OldTuple::key ? 'K' : 'O') + encode(tuple);
}

inline std::string encode(Begin const& m) { return 'B' + i64(m.final_lsn.value) + time(m.commit_time) + i32(m.xid.value); }
inline std::string encode(Commit const& m) {
    return 'C' + i8(0) + i64(m.commit_lsn.value) + i64(m.end_lsn.value) + time(m.commit_time);
}
inline std::string encode(Origin const& m) { return 'O' + i64(m.commit_lsn.value) + str(m.name); }
inline std::string encode(Relation const& m) {
    std::string out = 'R' + xid(m.xid) + i32(m.id.value) + schema(m.schema) + str(m.name) +
                      static_cast<char>(m.identity) + i16(m.columns.size());
    for (auto const& c : m.columns)
        out += i8(c.key ? 1 : 0) + str(c.name) + i32(c.type.value) + i32(static_cast<std::uint32_t>(c.typmod));
    return out;
}
inline std::string encode(Type const& m) { return 'Y' + xid(m.xid) + i32(m.id.value) + schema(m.schema) + str(m.name); }
inline std::string encode(Insert const& m) { return 'I' + xid(m.xid) + i32(m.relation.value) + 'N' + encode(m.row); }
inline std::string encode(Update const& m) {
    return 'U' + xid(m.xid) + i32(m.relation.value) + old(m.old_kind, m.old) + 'N' + encode(m.row);
}
inline std::string encode(Delete const& m) { return 'D' + xid(m.xid) + i32(m.relation.value) + old(m.old_kind, m.old); }
inline std::string encode(Truncate const& m) {
    std::string out = 'T' + xid(m.xid) + i32(m.relations.size()) + i8((m.cascade ? 1U : 0U) | (m.restart_identity ? 2U : 0U));
    for (auto const id : m.relations)
        out += i32(id.value);
    return out;
}
inline std::string encode(LogicalMessage const& m) {
    return 'M' + xid(m.xid) + i8(m.transactional ? 1 : 0) + i64(m.lsn.value) + str(m.prefix) + i32(m.content.size()) +
           std::string{m.content};
}
inline std::string encode(StreamStart const& m) { return 'S' + i32(m.xid.value) + i8(m.first ? 1 : 0); }
inline std::string encode(StreamStop const&) { return "E"; }
inline std::string encode(StreamCommit const& m) {
    return 'c' + i32(m.xid.value) + i8(0) + i64(m.commit_lsn.value) + i64(m.end_lsn.value) + time(m.commit_time);
}
inline std::string encode(StreamAbort const& m) {
    return 'A' + i32(m.xid.value) + i32(m.subxid.value) +
           (m.timed ? i64(m.abort_lsn.value) + time(m.abort_time) : std::string{});
}
inline std::string encode(BeginPrepare const& m) {
    return 'b' + i64(m.prepare_lsn.value) + i64(m.end_lsn.value) + time(m.prepare_time) + i32(m.xid.value) + str(m.gid);
}
inline std::string encode(Prepare const& m) {
    return 'P' + i8(0) + i64(m.prepare_lsn.value) + i64(m.end_lsn.value) + time(m.prepare_time) + i32(m.xid.value) + str(m.gid);
}
inline std::string encode(CommitPrepared const& m) {
    return 'K' + i8(0) + i64(m.commit_lsn.value) + i64(m.end_lsn.value) + time(m.commit_time) + i32(m.xid.value) + str(m.gid);
}
inline std::string encode(RollbackPrepared const& m) {
    return 'r' + i8(0) + i64(m.prepare_end_lsn.value) + i64(m.rollback_end_lsn.value) + time(m.prepare_time) +
           time(m.rollback_time) + i32(m.xid.value) + str(m.gid);
}
inline std::string encode(StreamPrepare const& m) {
    return 'p' + i8(0) + i64(m.prepare_lsn.value) + i64(m.end_lsn.value) + time(m.prepare_time) + i32(m.xid.value) + str(m.gid);
}
inline std::string encode(Message const& message) {
    return std::visit([](auto const& m) { return encode(m); }, message);
}

// ---- decoders in the place where a message may come

inline constexpr Negotiated plain{};
inline constexpr Negotiated streaming{.protocol = 2, .streaming = Streaming::on};
inline constexpr Negotiated two_phase{.protocol = 3, .streaming = Streaming::on, .two_phase = true};
inline constexpr Negotiated everything{.protocol = 4, .streaming = Streaming::parallel, .two_phase = true, .binary = true};

enum class Where { idle, transaction, prepared, stream };

inline Decoder decoder_at(Where where, Negotiated negotiated) {
    Decoder decoder{negotiated};
    switch (where) {
    case Where::idle:
        break;
    case Where::transaction:
        decoder.decode(encode(Begin{{0x1122}, {5}, {700}}));
        break;
    case Where::prepared:
        decoder.decode(encode(BeginPrepare{{0x1122}, {0x1133}, {5}, {700}, "gid"}));
        break;
    case Where::stream:
        decoder.decode(encode(StreamStart{{700}, true}));
        break;
    }
    return decoder;
}

} // namespace pgcarve::wire::test
