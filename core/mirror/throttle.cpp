#include "mirror/throttle.hpp"

#include <fmt/format.h>

namespace pgcarve::mirror {

using sql::Sql;

std::string throttle_reason(pg::Session& session, model::Throttle const& throttle) {
    auto const row = session.one(
        Sql{"SELECT (SELECT coalesce(max(extract(epoch FROM replay_lag)), 0)::float8 FROM pg_stat_replication"
            "        WHERE application_name NOT LIKE 'pgcarve%') AS replica_lag,"
            " (SELECT count(*) FROM pg_stat_replication WHERE state IS NULL) AS hidden_replicas,"
            " (SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid()"
            "        AND backend_type = 'client backend') AS active,"
            " (SELECT count(*) FROM pg_locks w WHERE NOT w.granted AND pg_backend_pid() = ANY (pg_blocking_pids(w.pid)))"
            "        AS waiters"});
    auto const lag = base::Millis{static_cast<long long>(row.real("replica_lag") * 1000)};
    if (row.integer("hidden_replicas") > 0)
        return "a standby's lag cannot be read: grant pg_monitor to the role that runs pgcarve";
    if (lag > throttle.max_replica_lag)
        return fmt::format("a standby is {} behind, limit {}", base::describe_duration(lag),
                           base::format_duration(throttle.max_replica_lag));
    if (throttle.max_active_sessions > 0 && row.integer("active") > throttle.max_active_sessions)
        return fmt::format("{} active sessions, limit {}", row.integer("active"), throttle.max_active_sessions);
    if (row.integer("waiters") > throttle.max_lock_waiters)
        return fmt::format("{} sessions wait for locks of the backfill, limit {}", row.integer("waiters"),
                           throttle.max_lock_waiters);
    return {};
}

} // namespace pgcarve::mirror
