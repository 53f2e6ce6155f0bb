// Makes the follower's rows equal to the authority's where a fresh comparison found differences.
//
// Never writes to the source. The statements are the smallest that do it: INSERT … SELECT
// of a missing row, UPDATE of the columns that differ, DELETE of an extra row.
//
// Under live writers: each batch of keys is one READ COMMITTED transaction. It locks the
// source's rows FOR SHARE, then the target's FOR UPDATE (the mirror's order), and only then
// looks, in a new statement and so with a new snapshot, at what differs: nothing it copies
// can change before it commits, and what has become equal is left alone. The key of an extra
// row may be inserted at the source at any time: a writer who reached the target first is waited
// for and then seen; the mirror of any other waits for us and inserts after our delete.
//
// Unique values that rows exchange, and foreign keys between rows: what fails in its own
// batch is tried row by row and, at the end, in one transaction for all such rows, with
// constraints deferred and replacement (delete and insert in one statement). Rows are
// not replaced or deleted where a foreign key's CASCADE or SET would change other rows.
//
// Needs SELECT and UPDATE (for the row locks) on the source, and all rights on the target.
//
// Errors: "unreachable", "server-lost"; "lock-not-acquired" (exit 4); pg::SqlError for what is wrong
// with a whole table, such as a missing right. Threads: one at a time.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "pg/retry.hpp"
#include "verify/compare.hpp"
#include "verify/pair_ranges.hpp"

namespace pgcarve::verify {

struct RepairOptions {
    CompareOptions compare{};
    std::size_t batch_rows = 200; // rows locked at a time
    pg::LockPolicy locks{.lock_timeout = base::Millis{250}};
    std::size_t max_stuck = 10'000; // rows kept for the final transaction
};

struct RepairStatement {
    model::TablePair pair;
    model::FindingKind kind = model::FindingKind::different;
    std::string sql; // ends with a semicolon; shows the row's key and no other value
};

struct RepairEvents {
    CompareEvents compare{};
    std::function<void(RepairStatement const&)> statement{}; // of print_repairs
    std::function<void(std::string const& table, std::int64_t done)> progress{};
    std::function<void(int, std::vector<pg::Blocker> const&)> on_wait{};
};

struct Changes {
    std::int64_t inserted = 0;
    std::int64_t updated = 0; // replaced rows too
    std::int64_t deleted = 0;
};

struct TableRepair : Changes {
    sql::QName source;
    sql::QName target;
    std::int64_t found_equal = 0; // differed in the comparison, and no longer when locked
    std::int64_t remaining = 0;   // of the keys handled: still differ after the commit
    std::vector<model::Finding> remaining_samples;
    std::vector<std::string> reasons; // why rows remain, as the server says it; bounded

    void add(Changes const& more) {
        inserted += more.inserted;
        updated += more.updated;
        deleted += more.deleted;
    }
};

struct RepairReport {
    model::Verification before;      // the fresh comparison
    std::vector<TableRepair> tables; // those that differed
    bool interrupted = false;
    [[nodiscard]] std::int64_t remaining() const;
};

// What the comparison found.
struct Located {
    model::Verification verification;
    std::vector<DirtyPair> dirty;
    bool interrupted = false;
};

// Hands out every statement that repair() would begin with. Changes nothing.
RepairReport print_repairs(pg::SessionSettings const& settings, Located found, RepairOptions const& options, RepairEvents const& events);

// Repairs all differences that are in these places now (not only the samples), and verifies exactly the keys it handled.
RepairReport repair(pg::SessionSettings const& settings, Located found, RepairOptions const& options, RepairEvents const& events);

} // namespace pgcarve::verify
