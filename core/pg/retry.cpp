#include "pg/retry.hpp"

#include <algorithm>
#include <random>
#include <thread>

#include <fmt/format.h>

namespace pgcarve::pg {

std::string Blocker::describe() const {
    if (!prepared.empty())
        return fmt::format("prepared transaction {0} ({1}), prepared {2} ago: COMMIT PREPARED {0} or ROLLBACK PREPARED {0} ends it",
                           sql::literal(prepared), user, base::describe_duration(base::Millis{static_cast<long>(transaction_seconds * 1000)}));
    auto const who = fmt::format("pid {} ({}{}{})", pid, user, application.empty() ? "" : " ", application);
    if (state.empty()) // hidden from roles without pg_read_all_stats
        return who + ", which this role may not look at: GRANT pg_read_all_stats would show its age and statement";
    return fmt::format("{}, {}, transaction open for {}{}{}", who, state,
                       base::describe_duration(base::Millis{static_cast<long>(transaction_seconds * 1000)}),
                       query.empty() ? "" : ": ", query);
}

std::vector<Blocker> lock_holders(Session& observer, std::vector<std::string> const& qualified_tables) {
    auto const rows = observer.query(
        sql::Sql{"SELECT DISTINCT ON (1, 2) coalesce(l.pid, 0) AS pid, coalesce(p.gid, '') AS gid,"
                 " coalesce(a.usename, p.owner, '') AS usename, coalesce(a.application_name, '') AS application_name,"
                 " coalesce(a.state, CASE WHEN a.backend_type = 'autovacuum worker' THEN 'autovacuum' END, '') AS state,"
                 " coalesce(extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, p.prepared)), 0)::float8 AS seconds,"
                 " coalesce(left(a.query, 120), '') AS query"
                 " FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid"
                 // A prepared transaction keeps its session's virtual id until the server restarts.
                 " LEFT JOIN (pg_prepared_xacts p JOIN pg_locks x ON x.locktype = 'transactionid' AND x.pid IS NULL"
                 "  AND x.transactionid = p.transaction) ON l.pid IS NULL AND x.virtualtransaction = l.virtualtransaction"
                 " WHERE l.locktype = 'relation' AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()"
                 " AND (a.pid IS NOT NULL OR p.gid IS NOT NULL) AND l.mode <> 'AccessShareLock'"
                 " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
                 " AND l.relation = ANY (SELECT to_regclass(t)::oid FROM unnest("}
            .bind(format_array(qualified_tables))
            .add("::text[]) AS t)"));
    std::vector<Blocker> found;
    for (auto const row : rows) {
        found.push_back({static_cast<int>(row.integer("pid")), row.text("gid"), row.text("usename"), row.text("application_name"),
                         row.text("state"), row.real("seconds"), row.text("query")});
    }
    std::ranges::sort(found, std::ranges::greater{}, &Blocker::transaction_seconds);
    return found;
}

void with_lock_retry(Session& session, LockPolicy const& policy, std::vector<std::string> const& tables,
                     std::function<void(Transaction&)> const& work,
                     std::function<void(int, std::vector<Blocker> const&)> const& on_wait) {
    static constexpr auto retryable = {sqlstate::lock_not_available, sqlstate::deadlock_detected,
                                       sqlstate::serialization_failure};
    std::minstd_rand random{std::random_device{}()};
    for (int attempt = 1;; ++attempt) {
        try {
            Transaction transaction{session};
            transaction.lock_timeout(policy.lock_timeout);
            work(transaction);
            transaction.commit();
            return;
        } catch (SqlError const& e) {
            if (std::ranges::find(retryable, e.sqlstate()) == retryable.end())
                throw;
        }
        auto const blockers = lock_holders(session, tables);
        if (attempt >= policy.tries) {
            base::Error error{base::Exit::unavailable, "lock-not-acquired",
                              fmt::format("a lock was not acquired in {} tries of {} each", policy.tries,
                                          base::format_duration(policy.lock_timeout)),
                              "nothing was changed; end the sessions named above or wait for them, then run the "
                              "same command again"};
            for (auto const& blocker : blockers)
                error.with("held by " + blocker.describe());
            throw std::move(error);
        }
        on_wait(attempt, blockers);
        auto const base_pause = policy.pause * std::min(1 << std::min(attempt - 1, 4), 16);
        std::uniform_int_distribution<long> jitter{base_pause.count() / 2, base_pause.count()};
        std::this_thread::sleep_for(base::Millis{jitter(random)});
    }
}

} // namespace pgcarve::pg
