// Copies the rows that exist already to the follower, under the running mirror.
//
// Chunks of one key range each: INSERT … SELECT … FOR KEY SHARE … ON CONFLICT (key) DO NOTHING.
// The row lock keeps a concurrent DELETE or key change waiting until the copy of its row is
// committed (so no ghost stays behind), while plain updates go on and the mirror corrects
// what was copied. A chunk and its mark commit together, so a kill costs at most one chunk.
//
// The lock timeout lies far below deadlock_timeout: in a deadlock it is the backfill that
// gives way, never the application.
//
// Errors: "disk-full" (exit 4), "backfill-refused" (the follower refuses a row: exit 5),
// "interrupted"; all leave a state from which a rerun goes on. REQUIRES: the mirror of the
// table is installed and active (or the application writes both sides).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/interrupt.hpp"
#include "control/store.hpp"
#include "model/boundary.hpp"
#include "model/plan.hpp"
#include "pg/session.hpp"

namespace pgcarve::mirror {

struct BackfillColumn {
    std::string name;
    std::string type; // as format_type prints it
    bool generated = false;
};

struct BackfillTable {
    model::TablePair pair;
    std::vector<BackfillColumn> columns;
    double estimated_rows = 0;
};

struct BackfillProgress {
    std::string table;
    long long rows_done = 0; // of this table
    double rows_estimated = 0;
    double rows_per_second = 0;
    std::string throttled; // why it waits; empty when it does not
};

struct BackfillEvents {
    std::function<void(BackfillProgress const&)> progress = [](BackfillProgress const&) {};
    std::function<void(std::string const&)> after_chunk = [](std::string const&) {}; // the source table's name
};

// Copies what is missing of one table, from its mark on; returns the rows copied by this call.
long long backfill_table(pg::Session& session, control::Lease const& lease, BackfillTable const& table,
                         model::Throttle const& throttle, base::Interrupt& interrupt, BackfillEvents const& events);

} // namespace pgcarve::mirror
