// Moves authority between two sides of one database: one transaction that locks writers out,
// flips fences, mirrors and triggers, proves the other direction with a canary, records the
// new authority, and commits.
//
// Readers are never blocked (SHARE ROW EXCLUSIVE) unless a table changes its name. Writers
// wait from the moment the lock is asked for to the commit; that time is measured, and a
// switch that would take longer than `max_write_block` is rolled back.
//
// The lock: first SHARE UPDATE EXCLUSIVE, which conflicts with no writer but makes autovacuum
// yield; then the real one with a lock_timeout of a few milliseconds that doubles from try to
// try, so that a busy table never sees a long queue behind us.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "model/plan.hpp"
#include "run/context.hpp"

namespace pgcarve::run {

struct Switch {
    std::vector<sql::QName> tables;      // to lock: roots that exist; LOCK TABLE reaches their partitions
    bool renames = false;                // ACCESS EXCLUSIVE is needed
    std::vector<std::string> statements; // run in order, in one round trip
    base::Millis max_write_block{2000};
};

struct SwitchTiming {
    double write_block_ms = 0; // of the try that succeeded
    double worst_try_ms = 0;   // the longest that any try kept writers waiting
    int tries = 0;
};

// `record` runs inside the transaction, last: phase, journal. Throws "write-block-exceeded" or "lock-not-acquired" (exit 4),
// "switch-refused" (exit 5: a statement or the canary failed); nothing has changed then.
SwitchTiming perform_switch(Context& context, pg::Session& session, Switch const& what, std::string const& verb,
                            std::function<void(SwitchTiming const&)> const& record);

// --- the parts of it, for a switch between two servers (run/authority/database_switch.hpp)

using SwitchClock = std::chrono::steady_clock;

// Locks writers out in the open transaction. `asked`: when they began to wait. False: the lock was not free within
// `lock_timeout`, and the transaction is of no use any more.
[[nodiscard]] bool lock_writers(pg::Transaction& transaction, std::vector<sql::QName> const& tables, bool renames,
                                base::Millis lock_timeout, SwitchClock::time_point& asked);

// Calls `attempt` with a growing lock_timeout until it says true. Throws "lock-not-acquired" (exit 4) naming who is in the way.
// `observer`: a session of the server where the lock is.
SwitchTiming keep_trying(Context& context, pg::Session& observer, std::vector<sql::QName> const& tables, base::Millis max_write_block,
                         std::string const& verb, std::function<bool(base::Millis lock_timeout, SwitchTiming& timing)> const& attempt);

// Runs the statements in one round trip: writers wait meanwhile. False: a lock beyond the tables' own was not free, and the
// transaction is of no use any more. Throws "write-block-exceeded", "switch-refused". `asked`: when writers began to wait.
[[nodiscard]] bool flip(Context& context, pg::Session& session, std::vector<std::string> const& statements, base::Millis max_write_block,
                        SwitchClock::time_point asked);

[[nodiscard]] double milliseconds_since(SwitchClock::time_point start);
[[noreturn]] void write_block_exceeded(double so_far_ms, base::Millis limit);

} // namespace pgcarve::run
