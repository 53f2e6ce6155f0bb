// Which rows a stream has touched: what a verification has to look at again.
//
// The applier writes one line for each table of a batch into pgcarve.touched at the target, in the transaction of the
// rows: so the lines that a snapshot of the target shows are exactly those of the changes whose rows it shows. Keys are
// kept as the source prints them; a TRUNCATE touches all rows of its tables. A verification prunes what it has proven;
// what gets too much is forgotten (run/stream/touched_bound.hpp).
//
// Who takes lines away has said so in pgcarve.stream.touched_from before, or in the same statement. So who reads lines, and
// then that nothing behind his position has gone, has read all of them.
//
// Threads: as the session.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "pg/session.hpp"
#include "sync/batch.hpp"
#include "sync/chunks.hpp"
#include "sync/mapping.hpp"

namespace pgcarve::sync {

using TouchedKey = std::vector<std::string>; // in the order of MappedTable::key

// Keys one after another, each value with its length before it. Pure.
void append_key(std::string& to, MappedTable const& table, Cells row);
// `parts`: how many columns a key has. What append_key() did not write is a bug.
[[nodiscard]] std::vector<TouchedKey> read_keys(std::string_view text, std::size_t parts);

// The keys of one table in one batch, each once. Pure.
class TouchedTable {
public:
    explicit TouchedTable(MappedTable const& table) : table_{&table} {}
    void add(Change const& change); // no truncation
    [[nodiscard]] MappedTable const& table() const noexcept { return *table_; }
    [[nodiscard]] std::string const& keys() const noexcept { return keys_; }

private:
    void add(Cells row);
    MappedTable const* table_;
    std::unordered_set<std::string> seen_;
    std::string keys_;
};

// One line of pgcarve.touched.
struct Touched {
    long long id = 0; // in the order of their writing
    base::Lsn at;     // a commit at the end of their batch
    std::string source_table;            // quoted
    std::vector<wire::TransactionId> xids; // that the batch is of
    std::optional<std::string> keys;     // read_keys(); nullopt: all rows
};

// Behind all lines at a position, or behind one of them.
struct TouchedPlace {
    base::Lsn at;
    long long id = std::numeric_limits<long long>::max();
};
// Lines of a stream behind `after`, at most `limit`, by their position: as the session's snapshot shows them. `oldest`: without
// those of which every transaction is older than this one.
[[nodiscard]] std::vector<Touched> read_touched(pg::Session& target, std::string const& stream, TouchedPlace after, int limit,
                                                std::optional<wire::TransactionId> oldest = {});
// Whether every change behind `since` has its line: false when they were pruned, or never written.
[[nodiscard]] bool touched_since(pg::Session& target, std::string const& stream, base::Lsn since);
// Every change behind this position has its line; nullopt: none is on record.
[[nodiscard]] std::optional<base::Lsn> touched_from(pg::Session& target, std::string const& stream);
// Takes away what lies at or before `proven`.
void prune_touched(pg::Session& target, std::string const& stream, base::Lsn proven);

// ---- its size, and how it is made smaller

// Bytes that a line takes at the target, or a few more: it may be compressed there.
[[nodiscard]] std::size_t line_size(std::string_view stream, std::string_view table, std::size_t xids, std::size_t keys) noexcept;
[[nodiscard]] long long touched_size(pg::Session& target, std::string const& stream);

// Where a record could be cut: what lies at or before the cut goes.
struct TouchedCut {
    std::optional<base::Lsn> excess; // the newest line beyond what is to be kept; nullopt: there is none
    std::optional<base::Lsn> unseen; // the oldest line of a transaction that the snapshot does not see; nullopt: it sees all
    // Before both. nullopt: nothing can go. Pure.
    [[nodiscard]] std::optional<base::Lsn> at() const;
};
// `keep`: bytes of the newest lines. `seen`: a snapshot of the source that is older than the session's.
[[nodiscard]] TouchedCut find_cut(pg::Session& target, std::string const& stream, long long keep, Snapshot const& seen);
// Says that lines at or before `cut` may be gone from now on.
void forget_touched(pg::Session& target, std::string const& stream, base::Lsn cut);
// Deletes some lines that were forgotten, behind the position `after`, waiting for nobody's lock. Returns where it got to; nullopt: no more of them are there.
[[nodiscard]] std::optional<base::Lsn> remove_forgotten(pg::Session& target, std::string const& stream, base::Lsn after, int lines);

} // namespace pgcarve::sync
