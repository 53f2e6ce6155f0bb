// The messages of pgoutput, protocol versions 1 to 4, as plain values.
// Source of the format: PostgreSQL documentation, "Logical Replication Message Formats".
//
// Lifetime: nothing here owns memory. Every string_view points into the buffer that was decoded, every span
// into the Decoder that decoded it: both are good until that Decoder's next decode(), and the views only
// as long as the buffer lives. What must stay is to be copied (wire/relations.hpp does so for relations).
//
// `xid` in Relation … LogicalMessage: the transaction or subtransaction which the change belongs to. The server
// names it only inside a stream block; elsewhere it is 0 and the transaction is that of the last Begin.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <variant>

#include "base/types.hpp"
#include "wire/types.hpp"

namespace pgcarve::wire {

// ---- rows

enum class ColumnState : std::uint8_t {
    null,
    unchanged_toast, // the value was not sent because it is out of line and did not change: it is not NULL
    text,
    binary,
};

struct Column {
    ColumnState state = ColumnState::null;
    std::string_view value{}; // empty unless text or binary
};

// One column for each column of the relation, in its order.
using Tuple = std::span<Column const>;

enum class OldTuple : std::uint8_t {
    none, // the replica identity did not change: it is found in the new tuple
    key,  // 'K': only the columns of the replica identity; the others are padded with `null` and say nothing
    full, // 'O': the whole old row, as REPLICA IDENTITY FULL wants it
};

// ---- transactions

struct Begin {
    base::Lsn final_lsn; // of the commit record
    Timestamp commit_time;
    TransactionId xid;
};

struct Commit {
    base::Lsn commit_lsn;
    base::Lsn end_lsn; // behind the commit record: what may be confirmed, and where to resume
    Timestamp commit_time;
};

// The transaction was replayed on the server from elsewhere. May come several times in a transaction.
struct Origin {
    base::Lsn commit_lsn; // on the server it comes from; 0/0 inside a stream block
    std::string_view name;
};

// ---- what changes name

enum class ReplicaIdentity : char { by_default = 'd', nothing = 'n', full = 'f', index = 'i' };

struct RelationColumn {
    bool key = false; // part of the replica identity; with `full` every column is
    std::string_view name;
    base::Oid type;
    std::int32_t typmod = -1;
};

// Comes before the first change of a relation and again whenever its shape may have changed: it replaces what
// an earlier one said.
struct Relation {
    TransactionId xid;
    base::Oid id;
    std::string_view schema; // "pg_catalog" where the server sends nothing
    std::string_view name;
    ReplicaIdentity identity = ReplicaIdentity::by_default;
    std::span<RelationColumn const> columns;
};

// The name of a type that is not built in; with the number of a domain comes the name of its base type.
struct Type {
    TransactionId xid;
    base::Oid id;
    std::string_view schema; // "pg_catalog" where the server sends nothing
    std::string_view name;
};

// ---- changes

struct Insert {
    TransactionId xid;
    base::Oid relation;
    Tuple row; // `unchanged_toast` only where a row filter made an insert of an update
};

struct Update {
    TransactionId xid;
    base::Oid relation;
    OldTuple old_kind = OldTuple::none;
    Tuple old;
    Tuple row;
};

struct Delete {
    TransactionId xid;
    base::Oid relation;
    OldTuple old_kind = OldTuple::key; // never none
    Tuple old;
};

// One statement's truncation: all of its published relations together.
struct Truncate {
    TransactionId xid;
    bool cascade = false;
    bool restart_identity = false;
    std::span<base::Oid const> relations;
};

// pg_logical_emit_message().
struct LogicalMessage {
    TransactionId xid;
    bool transactional = false; // false: it comes alone and at once, belonging to no transaction
    base::Lsn lsn;
    std::string_view prefix;
    std::string_view content;
};

// ---- transactions sent before they end (protocol 2, `streaming`)

struct StreamStart {
    TransactionId xid; // of the top-level transaction
    bool first = false; // the first block of this transaction
};

struct StreamStop {};

struct StreamCommit {
    TransactionId xid;
    base::Lsn commit_lsn;
    base::Lsn end_lsn;
    Timestamp commit_time;
};

// `subxid` = `xid`: the whole transaction is gone; otherwise only what has `subxid`.
struct StreamAbort {
    TransactionId xid;
    TransactionId subxid;
    bool timed = false; // the two below were sent: `streaming` is `parallel` (protocol 4)
    base::Lsn abort_lsn{};
    Timestamp abort_time{};
};

// ---- two-phase commit (protocol 3, `two_phase`)

struct BeginPrepare {
    base::Lsn prepare_lsn;
    base::Lsn end_lsn;
    Timestamp prepare_time;
    TransactionId xid;
    std::string_view gid;
};

struct Prepare {
    base::Lsn prepare_lsn;
    base::Lsn end_lsn;
    Timestamp prepare_time;
    TransactionId xid;
    std::string_view gid;
};

struct CommitPrepared {
    base::Lsn commit_lsn;
    base::Lsn end_lsn;
    Timestamp commit_time;
    TransactionId xid;
    std::string_view gid;
};

struct RollbackPrepared {
    base::Lsn prepare_end_lsn;
    base::Lsn rollback_end_lsn;
    Timestamp prepare_time;
    Timestamp rollback_time;
    TransactionId xid;
    std::string_view gid;
};

// The end of a streamed transaction that was prepared.
struct StreamPrepare {
    base::Lsn prepare_lsn;
    base::Lsn end_lsn;
    Timestamp prepare_time;
    TransactionId xid;
    std::string_view gid;
};

using Message = std::variant<Begin, Commit, Origin, Relation, Type, Insert, Update, Delete, Truncate, LogicalMessage,
                             StreamStart, StreamStop, StreamCommit, StreamAbort, BeginPrepare, Prepare, CommitPrepared,
                             RollbackPrepared, StreamPrepare>;

} // namespace pgcarve::wire
