// Settings of the server and of the roles, prepared transactions, the right to see other sessions.
#include <algorithm>

#include <fmt/format.h>

#include "run/doctor/parts.hpp"

namespace pgcarve::run::doctor {

using model::DoctorLevel;
using sql::Ident;
using sql::Sql;

namespace {

// run/authority/switch.hpp gives up a lock after 400 ms, pg/retry.hpp after 500 ms: before the server looks for deadlocks, so that
// the victim is never the application. Autovacuum yields after deadlock_timeout, for which the switch waits 5 s.
constexpr long long longest_lock_wait_ms = 500;
constexpr long long longest_wait_for_autovacuum_ms = 5000;

struct Settings {
    long long locks_per_transaction = 0;
    long long connections = 0;
    long long prepared = 0;
    long long deadlock_ms = 0;
    long long idle_in_transaction_ms = 0; // as a session of this role begins with
    long long lock_ms = 0;                // likewise
    std::string wal_level;
    std::string replication_role;
    bool standby = false;
    long long locks_in_use = 0;
};

Settings read_settings(pg::Session& session) {
    auto const row = session.one(
        Sql{"SELECT current_setting('max_locks_per_transaction')::bigint AS locks,"
            " current_setting('max_connections')::bigint AS connections,"
            " current_setting('max_prepared_transactions')::bigint AS prepared,"
            " (SELECT setting::bigint FROM pg_settings WHERE name = 'deadlock_timeout') AS deadlock,"
            " (SELECT reset_val::bigint FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout') AS idle,"
            " (SELECT reset_val::bigint FROM pg_settings WHERE name = 'lock_timeout') AS lock,"
            " current_setting('wal_level') AS wal, current_setting('session_replication_role') AS replication,"
            " pg_is_in_recovery() AS standby, (SELECT count(*) FROM pg_locks WHERE NOT fastpath) AS in_use"});
    return {row.integer("locks"), row.integer("connections"), row.integer("prepared"),     row.integer("deadlock"),
            row.integer("idle"),  row.integer("lock"),        row.text("wal"),             row.text("replication"),
            row.boolean("standby"), row.integer("in_use")};
}

// Every table on both sides at a switch; tables, indexes and TOAST at the purge.
long long locks_needed(Case const& one) {
    long long indexes = 0;
    for (auto const* const table : one.tables)
        indexes += static_cast<long long>(table->indexes.size());
    auto const tables = static_cast<long long>(one.tables.size());
    return 2 * tables + indexes;
}

void lock_space(Examination& exam, Settings const& now) {
    auto const processes = now.connections + now.prepared;
    auto const capacity = now.locks_per_transaction * processes;
    for (auto const& one : exam.cases) {
        exam.check("max-locks", one.service->name, "the lock table has room for a switch of all tables", [&] {
            auto const needed = locks_needed(one);
            bool const short_now = needed + now.locks_in_use > capacity;
            if (!short_now && needed * 2 <= capacity)
                return;
            auto const per_transaction = (4 * needed / std::max(processes, 1LL) / 64 + 1) * 64;
            exam.add({.level = short_now ? DoctorLevel::problem : DoctorLevel::advice,
                      .id = "max-locks",
                      .object = one.service->name,
                      .message = fmt::format("a switch or a purge of {} tables and partitions locks up to {} objects at once; the"
                                             " server's table of locks holds {} for all sessions, {} are taken now",
                                             one.tables.size(), needed, capacity, now.locks_in_use),
                      .observed = fmt::format("max_locks_per_transaction = {}", now.locks_per_transaction),
                      .wanted = fmt::format("{} or more", per_transaction),
                      .sql = {Sql{"ALTER SYSTEM SET max_locks_per_transaction = "}.number(per_transaction).text()},
                      .hint = "run it as a superuser, then restart the server"});
        });
    }
}

void timeouts(Examination& exam, Settings const& now) {
    exam.check("deadlock-timeout", "deadlock_timeout", "pgcarve gives way before the server looks for deadlocks", [&] {
        bool const low = now.deadlock_ms <= longest_lock_wait_ms;
        if (!low && now.deadlock_ms < longest_wait_for_autovacuum_ms)
            return;
        exam.add({.level = DoctorLevel::advice,
                  .id = "deadlock-timeout",
                  .object = "deadlock_timeout",
                  .message = low ? fmt::format("pgcarve waits up to {} ms for a lock; with a deadlock_timeout below that the server may"
                                               " cancel a transaction of the application instead of pgcarve's",
                                               longest_lock_wait_ms)
                                 : "autovacuum gives way to a cutover only after deadlock_timeout, and pgcarve does not wait so long",
                  .observed = fmt::format("{} ms", now.deadlock_ms),
                  .wanted = fmt::format("more than {} ms, less than {} ms", longest_lock_wait_ms, longest_wait_for_autovacuum_ms),
                  .sql = {"ALTER SYSTEM SET deadlock_timeout = '1s'", "SELECT pg_reload_conf()"},
                  .hint = "run it as a superuser"});
    });
    exam.check("idle-in-transaction", "idle_in_transaction_session_timeout", "forgotten transactions are ended", [&] {
        if (now.idle_in_transaction_ms != 0)
            return;
        exam.add({.level = DoctorLevel::advice,
                  .id = "idle-in-transaction",
                  .object = "idle_in_transaction_session_timeout",
                  .message = "a transaction that an application forgot to end holds up a cutover for as long as it lives",
                  .observed = "0 (never)",
                  .wanted = "for instance 5min (pgcarve's own sessions set it off)",
                  .sql = {Sql{"ALTER DATABASE "}
                              .add(Ident{exam.catalog.database})
                              .add(" SET idle_in_transaction_session_timeout = '5min'")
                              .text()},
                  .hint = "run it as the owner of the database; it holds for new connections"});
    });
    exam.check("lock-timeout", "lock_timeout", "writers can wait for a switch", [&] {
        for (auto const& one : exam.cases) {
            auto const wanted = one.service->limits.max_write_block.count();
            if (now.lock_ms == 0 || now.lock_ms >= wanted)
                continue;
            exam.add({.level = DoctorLevel::advice,
                      .id = "lock-timeout",
                      .object = one.service->name,
                      .message = "writers wait while a switch holds their tables; with a lock_timeout shorter than max_write_block"
                                 " they fail instead",
                      .observed = fmt::format("{} ms", now.lock_ms),
                      .wanted = fmt::format("0, or {} ms and more", wanted),
                      .sql = {Sql{"ALTER DATABASE "}.add(Ident{exam.catalog.database}).add(" SET lock_timeout = 0").text()},
                      .hint = "run it as the owner of the database; or lower max_write_block in pgcarve.toml"});
        }
    });
}

// Sessions in which ordinary triggers do not fire write past the mirror and past the fence.
void replication_role(Examination& exam, Settings const& now) {
    exam.check("session-replication-role", "session_replication_role", "triggers fire in every session by default", [&] {
        auto const rows = exam.session.query(
            Sql{"SELECT r.rolname, d.datname, c AS setting FROM pg_db_role_setting s CROSS JOIN unnest(s.setconfig) AS c"
                " LEFT JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase"
                " WHERE c LIKE 'session_replication_role=%' AND c <> 'session_replication_role=origin'"
                " AND (s.setdatabase = 0 OR d.datname = current_database()) ORDER BY 1, 2"});
        for (auto const row : rows) {
            auto const role = row.maybe("rolname");
            auto const database = row.maybe("datname");
            Sql mend;
            if (role) {
                mend.add("ALTER ROLE ").add(Ident{*role});
                if (database)
                    mend.add(" IN DATABASE ").add(Ident{*database});
            } else {
                mend.add("ALTER DATABASE ").add(Ident{database.value_or(exam.catalog.database)});
            }
            exam.add({.level = DoctorLevel::problem,
                      .id = "session-replication-role",
                      .object = role ? sql::display_ident(*role) : "every role",
                      .message = "its sessions begin with triggers off: what they write is not mirrored, and no fence stops them",
                      .observed = row.text("setting"),
                      .wanted = "session_replication_role=origin",
                      .sql = {mend.add(" RESET session_replication_role").text()},
                      .hint = "run it as a superuser; it holds for new connections"});
        }
        if (now.replication_role != "origin" && rows.empty())
            exam.add({.level = DoctorLevel::problem,
                      .id = "session-replication-role",
                      .object = "the server",
                      .message = "sessions begin with triggers off: what they write is not mirrored, and no fence stops them",
                      .observed = now.replication_role,
                      .wanted = "origin",
                      .sql = {"ALTER SYSTEM RESET session_replication_role", "SELECT pg_reload_conf()"},
                      .hint = "run it as a superuser; look into postgresql.conf and the connection string too"});
    });
}

void wal(Examination& exam, Settings const& now) {
    auto const wants = std::ranges::any_of(exam.cases, [](Case const& one) { return one.service->database.has_value(); });
    if (!wants)
        return;
    exam.check("wal-level", "wal_level", "the stream to a service's own database can be decoded", [&] {
        if (now.wal_level == "logical")
            return;
        exam.add({.level = DoctorLevel::advice,
                  .id = "wal-level",
                  .object = "wal_level",
                  .message = "the hop into a service's own database needs logical decoding; the hop into its schema does not",
                  .observed = now.wal_level,
                  .wanted = "logical",
                  .sql = {"ALTER SYSTEM SET wal_level = 'logical'"},
                  .hint = "run it as a superuser, then restart the server"});
    });
}

void prepared_transactions(Examination& exam) {
    exam.check("prepared-transaction", exam.catalog.database, "no prepared transaction lies around", [&] {
        for (auto const row : exam.session.query(
                 Sql{"SELECT p.gid, p.owner, extract(epoch FROM clock_timestamp() - p.prepared)::float8 AS seconds,"
                     // A prepared transaction keeps its session's virtual id until the server restarts.
                     " coalesce((SELECT array_agg(DISTINCT l.relation::text) FROM pg_locks x JOIN pg_locks l"
                     "  ON l.virtualtransaction = x.virtualtransaction WHERE x.pid IS NULL AND x.locktype = 'transactionid'"
                     "  AND x.transactionid = p.transaction AND l.pid IS NULL AND l.granted AND l.locktype = 'relation'"
                     "  AND l.mode <> 'AccessShareLock'), '{}') AS relations"
                     " FROM pg_prepared_xacts p WHERE p.database = current_database() ORDER BY p.prepared"})) {
            auto const relations = row.array("relations");
            std::vector<std::string> held;
            for (auto const& one : exam.cases) {
                for (auto const* const table : one.tables) {
                    if (std::ranges::find(relations, std::to_string(table->oid.value)) != relations.end())
                        held.push_back(table->name.display());
                }
            }
            exam.add({.level = held.empty() ? DoctorLevel::advice : DoctorLevel::problem,
                      .id = "prepared-transaction",
                      .object = sql::literal(row.text("gid")),
                      .message = held.empty() ? "a prepared transaction keeps its locks, and old row versions, until somebody ends it"
                                              : fmt::format("a prepared transaction has locked {}: no verb that changes these tables"
                                                            " can go on until it is ended",
                                                            listed(held)),
                      .observed = fmt::format("prepared {} ago by {}",
                                              base::describe_duration(base::Millis{
                                                  static_cast<long long>(std::max(row.real("seconds"), 0.0) * 1000)}),
                                              sql::display_ident(row.text("owner"))),
                      .wanted = "committed or rolled back by its transaction manager",
                      .sql = {Sql{"ROLLBACK PREPARED "}.literal(row.text("gid")).text()},
                      .hint = "or COMMIT PREPARED: only its transaction manager knows which; run it as its owner"});
        }
    });
}

void sight(Examination& exam) {
    exam.check("pg-read-all-stats", exam.me(), "other sessions can be seen", [&] {
        auto const row = exam.session.one(Sql{"SELECT pg_has_role('pg_read_all_stats', 'USAGE') AS sees,"
                                              " pg_has_role('pg_monitor', 'USAGE') AS monitors,"
                                              " EXISTS (SELECT FROM pg_stat_replication) AS standbys"});
        if (!row.boolean("sees"))
            exam.add({.level = DoctorLevel::advice,
                      .id = "pg-read-all-stats",
                      .object = exam.me(),
                      .message = "cannot see how old other roles' transactions are: while one of them writes to the service's tables,"
                                 " the gate's condition \"transactions\" is unknown, and stays closed",
                      .sql = {Sql{"GRANT pg_read_all_stats TO "}.add(Ident{exam.catalog.role.name}).text()},
                      .hint = "run it as a superuser"});
        else if (row.boolean("standbys") && !row.boolean("monitors"))
            exam.add({.level = DoctorLevel::advice,
                      .id = "pg-monitor",
                      .object = exam.me(),
                      .message = "cannot see how far standbys are behind, so a backfill cannot be throttled by them",
                      .sql = {Sql{"GRANT pg_monitor TO "}.add(Ident{exam.catalog.role.name}).text()},
                      .hint = "run it as a superuser"});
    });
}

} // namespace

void check_server(Examination& exam) {
    auto const now = read_settings(exam.session);
    exam.check("standby", exam.catalog.database, "the server takes writes", [&] {
        if (now.standby)
            exam.add({.level = DoctorLevel::problem,
                      .id = "standby",
                      .object = exam.session.describe(),
                      .message = "this server is a standby: nothing can be changed here",
                      .hint = "let [shared] dsn name the primary (target_session_attrs=read-write chooses it)"});
    });
    lock_space(exam, now);
    timeouts(exam, now);
    replication_role(exam, now);
    wal(exam, now);
    prepared_transactions(exam);
    sight(exam);
}

} // namespace pgcarve::run::doctor
