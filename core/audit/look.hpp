// A snapshot of the shared database that is kept for some seconds, to look up rows as they were at a moment that is known.
//
// The rows are read inside savepoints that are rolled back, so that no lock on a table outlives a question: a lock that did
// would hold up an ALTER TABLE, and behind that every writer.
//
// Errors: as a pg::Session's; base::Error "tables-renamed" when a name no longer stands for the table of the plan.
// Threads: one at a time.
#pragma once

#include <chrono>
#include <optional>
#include <unordered_map>
#include <vector>

#include "audit/ledger.hpp"
#include "pg/session.hpp"
#include "sync/chunks.hpp"

namespace pgcarve::audit {

// Rows by their key, with the columns asked for; a key that is not there has no row.
using Shown = std::unordered_map<Key, std::vector<Digest>>;

class Look {
public:
    explicit Look(pg::SessionSettings settings);

    // A new snapshot, for the same connection.
    void renew();

    [[nodiscard]] sync::Snapshot const& snapshot() const { return *snapshot_; }
    // Everything that the snapshot sees was committed before this position.
    [[nodiscard]] base::Lsn position() const noexcept { return position_; }
    [[nodiscard]] std::chrono::steady_clock::time_point taken() const noexcept { return taken_; }

    // nullopt: the snapshot no longer shows the table, which was truncated or rewritten, or whose partitions have changed.
    [[nodiscard]] std::optional<Shown> rows(TablePlan const& table, Side side, std::vector<Key> const& keys, std::vector<bool> const& columns);

    // Whether `side` has a row that the other side has not.
    [[nodiscard]] bool has_more(TablePlan const& table, Side side);

    // The first of the transactions taken into the ledger that the snapshot does not see; what it shows is as of just before that.
    Ledger::Number hidden_from = 0;

private:
    [[nodiscard]] bool still_shows(TablePlan const& table, Side side);

    pg::Session session_;
    std::optional<pg::Transaction> transaction_;
    std::optional<sync::Snapshot> snapshot_;
    base::Lsn position_{};
    std::chrono::steady_clock::time_point taken_{};
};

} // namespace pgcarve::audit
