// What the server has said about relations, for reading the changes that name them by number.
//
// Every Relation message replaces what was known. Those inside a streamed transaction hold for that transaction alone
// until it commits, since it may be aborted and the table it created or altered with it; then they hold for
// everybody, unless a later message has said something else. That is how the server keeps books of what it has to
// say again (src/backend/replication/pgoutput/pgoutput.c, cleanup_rel_sync_cache).
//
// Entries own their strings and are shared: a change that waits keeps the shape it was made with.
// Errors: base::Error "protocol" for a number nobody has explained, and for a row of another width.
// Threads: one at a time.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "wire/message.hpp"

namespace pgcarve::wire {

struct RelationShape {
    struct Column {
        bool key = false;
        std::string name;
        base::Oid type;
        std::int32_t typmod = -1;
        bool operator==(Column const&) const = default;
    };
    base::Oid id;
    std::string schema;
    std::string name;
    ReplicaIdentity identity = ReplicaIdentity::by_default;
    std::vector<Column> columns;
    bool operator==(RelationShape const&) const = default;

    // Throws when the tuple has another number of columns: then nothing in it can be trusted.
    void check(Tuple tuple) const;
};

class Relations {
public:
    using Shape = std::shared_ptr<RelationShape const>;

    // `stream`: Decoder::stream(), the top-level transaction of the open stream block, 0 outside of one. It is not
    // Relation::xid, which may be a subtransaction.
    Shape const& replace(Relation const& message, TransactionId stream);
    // Good until the next call that changes this object; copy the pointer to keep the shape. Inside a stream block
    // only what was said in that transaction counts: the server says it again for each.
    [[nodiscard]] Shape const& find(base::Oid id, TransactionId stream) const;

    // At StreamCommit (or StreamPrepare), and at StreamAbort of a whole transaction. The abort of a
    // subtransaction needs no call: the server says everything again after it.
    void stream_committed(TransactionId stream);
    void stream_aborted(TransactionId stream);

private:
    struct Entry {
        Shape shape;
        std::uint64_t heard = 0; // the number of the Relation message
    };
    using Table = std::unordered_map<std::uint32_t, Entry>;

    Table known_;
    std::unordered_map<std::uint32_t, Table> streamed_; // by top-level transaction
    std::uint64_t messages_ = 0;
};

} // namespace pgcarve::wire
