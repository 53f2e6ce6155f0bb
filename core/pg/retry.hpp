// Bounded retry of work that waits for locks: a short lock_timeout, a pause with jitter, a
// limit on tries, and between tries a look at who is in the way.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "pg/session.hpp"

namespace pgcarve::pg {

struct LockPolicy {
    base::Millis lock_timeout{200}; // below deadlock_timeout: we give way, not the application
    int tries = 40;
    base::Millis pause{250}; // grows with every try, up to 16 times, with jitter
};

// A session that holds a lock somebody waits for.
struct Blocker {
    int pid = 0;
    std::string prepared; // the identifier of a prepared transaction, which has no pid
    std::string user;
    std::string application;
    std::string state;
    double transaction_seconds = 0;
    std::string query; // first 120 characters; empty when we may not see it
    [[nodiscard]] std::string describe() const;
};

// Sessions that hold locks on one of these tables (oids), ours left out, oldest transaction first.
[[nodiscard]] std::vector<Blocker> lock_holders(Session& observer, std::vector<std::string> const& qualified_tables);

// Runs `work` in a transaction and commits it, again and again while it fails with 55P03, 40P01 or 40001
// and tries are left. `on_wait(try, blockers)` is called before each pause. When tries run out: Error
// "lock-not-acquired" (exit 4: safe to run again) naming the blockers.
void with_lock_retry(Session& session, LockPolicy const& policy, std::vector<std::string> const& tables,
                     std::function<void(Transaction&)> const& work,
                     std::function<void(int, std::vector<Blocker> const&)> const& on_wait);

} // namespace pgcarve::pg
