// The database hop: what both servers must allow for a stream in either direction, and what a sync would refuse.
#include <algorithm>

#include <fmt/format.h>

#include "pg/replication.hpp"
#include "plan/sync.hpp"
#include "run/doctor/parts.hpp"
#include "run/stream/route.hpp"
#include "run/stream/sync.hpp"
#include "sync/touched.hpp"

namespace pgcarve::run::doctor {

using model::DoctorLevel;
using sql::Ident;
using sql::Sql;

namespace {

// One end of the stream.
struct End {
    pg::Session& session;
    std::string where;  // for messages
    std::string dsn_key;
    bool shared = false;
    int slots = 1;   // that the service needs here at most
};

struct Replication {
    std::string wal_level;
    long long slots = 0;
    long long slots_used = 0; // by others than this service
    long long senders = 0;
    long long senders_used = 0;
    long long keep_mb = -1;
    std::string role;
    bool may_replicate = false;
    std::string database;
};

Replication read(End const& end, std::string const& own) {
    auto const row = end.session.one(
        Sql{"SELECT current_setting('wal_level') AS wal, current_setting('max_replication_slots')::bigint AS slots,"
            " current_setting('max_wal_senders')::bigint AS senders, (SELECT setting::bigint FROM pg_settings WHERE name = 'max_slot_wal_keep_size') AS keep,"
            " (SELECT count(*) FROM pg_replication_slots WHERE slot_name <> ALL ("}
            .bind(pg::format_array({own, own + "_back", own + "_ref"}))
            .add("::text[])) AS used, (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender' AND application_name NOT LIKE 'pgcarve %') AS sending,"
                 " current_user AS role, current_database() AS database, (SELECT rolsuper OR rolreplication FROM pg_roles WHERE rolname = current_user)"
                 " OR EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_replication' AND pg_has_role(current_user, oid, 'USAGE')) AS may"));
    return {row.text("wal"),     row.integer("slots"), row.integer("used"),   row.integer("senders"), row.integer("sending"),
            row.integer("keep"), row.text("role"),     row.boolean("may"), row.text("database")};
}

void setting(Examination& exam, std::string const& id, std::string const& object, std::string const& message, long long observed, long long wanted, Sql sql) {
    exam.add({.level = DoctorLevel::problem,
              .id = id,
              .object = object,
              .message = message,
              .observed = std::to_string(observed),
              .wanted = fmt::format("{} or more", wanted),
              .sql = {sql.number(wanted).text()},
              .hint = "run it as a superuser, then restart the server"});
}

void check_end(Examination& exam, Case const& one, End const& end) {
    auto const own = plan::stream_name(one.service->name);
    auto const now = read(end, own);
    auto const& service = one.service->name;
    if (!end.shared) // the shared database's is looked at with its other settings
        exam.check("wal-level", end.where, "the way back can be decoded", [&] {
            if (now.wal_level == "logical")
                return;
            exam.add({.level = DoctorLevel::problem,
                      .id = "wal-level",
                      .object = end.where,
                      .message = fmt::format("a cutover of {} starts the stream back from here, which needs logical decoding", service),
                      .observed = now.wal_level,
                      .wanted = "logical",
                      .sql = {"ALTER SYSTEM SET wal_level = 'logical'"},
                      .hint = "run it there as a superuser, then restart that server"});
        });
    exam.check("replication-slots", end.where, "a replication slot is free", [&] {
        if (now.slots - now.slots_used < end.slots)
            setting(exam, "replication-slots", end.where, fmt::format("service {} needs {} replication slot(s) here, {} of {} are taken by others", service, end.slots, now.slots_used, now.slots),
                    now.slots, now.slots_used + end.slots, Sql{"ALTER SYSTEM SET max_replication_slots = "});
    });
    exam.check("wal-senders", end.where, "a WAL sender is free", [&] {
        auto const needed = end.slots + 1; // and one while a slot is being made
        if (now.senders - now.senders_used < needed)
            setting(exam, "wal-senders", end.where, fmt::format("service {} needs {} WAL senders here, {} of {} are taken by others", service, needed, now.senders_used, now.senders),
                    now.senders, now.senders_used + needed, Sql{"ALTER SYSTEM SET max_wal_senders = "});
    });
    exam.check("slot-wal-limit", end.where, "a slot that nobody reads cannot fill the disk", [&] {
        if (now.keep_mb >= 0)
            return;
        exam.add({.level = DoctorLevel::advice,
                  .id = "slot-wal-limit",
                  .object = end.where,
                  .message = "while a sync is stopped the server keeps its log for the slot, without a limit: in the end the disk is full",
                  .observed = "max_slot_wal_keep_size = -1",
                  .wanted = "what the disk can hold; a slot that needs more is lost, and the sync begins anew",
                  .sql = {"ALTER SYSTEM SET max_slot_wal_keep_size = '100GB'", "SELECT pg_reload_conf()"},
                  .hint = "run it as a superuser, with a size that fits the disk"});
    });
    exam.check("replication-role", end.where, "the role may make slots", [&] {
        if (now.may_replicate)
            return;
        exam.add({.level = DoctorLevel::problem,
                  .id = "replication-role",
                  .object = end.where,
                  .message = fmt::format("{} lacks REPLICATION, which PostgreSQL asks for slots and for reading them", sql::display_ident(now.role)),
                  .sql = {Sql{"ALTER ROLE "}.add(Ident{now.role}).add(" REPLICATION").text()},
                  .hint = "run it as a superuser; on a managed server grant the provider's replication role"});
    });
    if (!now.may_replicate)
        return; // the server would say the same
    exam.check("replication-connection", end.where, "a replication connection is let in", [&] {
        try {
            (void)pg::Replication{{.dsn = end.session.dsn(), .purpose = "doctor"}}.identify();
        } catch (base::Error const& e) {
            exam.add({.level = DoctorLevel::problem,
                      .id = "replication-connection",
                      .object = end.where,
                      .message = fmt::format("a replication connection fails: {}", e.message()),
                      .observed = {},
                      .wanted = "an entry in pg_hba.conf that lets it in: for this database, as for an ordinary connection",
                      .sql = {"SELECT pg_reload_conf()"},
                      .hint = fmt::format("pg_hba.conf: hostssl {} {} <address> scram-sha-256; a pooler between cannot pass replication on: name the server itself in {}",
                                          sql::display_ident(now.database), sql::display_ident(now.role), end.dsn_key)});
        }
    });
}

void check_versions(Examination& exam, Case const& one, pg::Session& other) {
    exam.check("target-version", one.service->name, "its own database runs the same version or a later one", [&] {
        auto const here = exam.session.server_version() / 10'000;
        auto const there = other.server_version() / 10'000;
        if (there < here)
            exam.add({.level = DoctorLevel::problem,
                      .id = "target-version",
                      .object = one.service->name,
                      .message = "the service's own database runs an older version of PostgreSQL than the shared one",
                      .observed = std::to_string(there),
                      .wanted = fmt::format("{} or later", here),
                      .sql = {},
                      .hint = "upgrade that server"});
    });
}

// pgcarve cannot see how much a server's disk has free.
void check_size(Examination& exam, Case const& one) {
    std::int64_t bytes = 0;
    for (auto const* const table : one.tables)
        bytes += table->kind == 'p' ? 0 : table->bytes;
    exam.check("disk", one.service->name,
               fmt::format("a copy takes about {} of disk in its own database, and as much of log there; what is free cannot be seen from here", bytes_text(bytes)), [] {});
}

// What `sync` would say, before it is run.
void check_plan(Examination& exam, Case const& one) {
    auto const fresh = !one.state || one.state->phase == cutover::Phase::planned || one.state->phase == cutover::Phase::schema_live;
    if (!fresh || one.attempt_open || !exam.control_readable)
        return;
    exam.check("sync-refused", one.service->name, "nothing stands in the way of a sync", [&] {
        try {
            for (auto const& notice : sync_plan(exam.context, one.service->name).notices) {
                bool const told = std::ranges::any_of(exam.report.findings, [&](model::DoctorFinding const& f) { return f.id == "table-key" && f.object == notice.object; });
                if (notice.refuses && told) // with the statements that mend it
                    continue;
                exam.add({.level = notice.refuses ? DoctorLevel::problem : DoctorLevel::advice,
                          .id = "sync-refused",
                          .object = notice.object,
                          .message = notice.text,
                          .observed = {},
                          .wanted = {},
                          .sql = {},
                          .hint = notice.hint});
            }
        } catch (base::Error const& e) {
            if (e.code() == "config") // told with the boundary map
                return;
            exam.add({.level = DoctorLevel::problem, .id = "sync-refused", .object = one.service->name, .message = e.message(), .observed = {}, .wanted = {}, .sql = {}, .hint = e.hint()});
        }
    });
}

// Whether an incremental verification can go on from the last clean one.
void check_touched(Examination& exam, Case const& one, pg::Session& other) {
    if (!one.streams() || !exam.control_readable || (one.state->phase != cutover::Phase::syncing && one.state->phase != cutover::Phase::database_live))
        return;
    auto const& name = one.service->name;
    auto const row = exam.session.maybe_one(Sql{"SELECT proven_lsn::text AS lsn FROM pgcarve.verification WHERE whole AND verdict = 'clean' AND proven_lsn IS NOT NULL AND service = "}
                                                .bind(name)
                                                .add(" AND authority = ")
                                                .bind(std::string{cutover::text(one.state->authority)})
                                                .add(" ORDER BY id DESC LIMIT 1"));
    auto const since = row ? base::Lsn::parse(row->text("lsn")) : std::nullopt;
    if (!since) // the gate says so
        return;
    exam.check("touched-record", name, "what was written since the last clean verification is on record", [&] {
        bool const back = one.state->phase == cutover::Phase::database_live;
        auto const& setup = *one.state->setup->database;
        std::optional<base::Lsn> from;
        try {
            from = sync::touched_from(back ? exam.session : other, back ? setup.back_name() : setup.name);
        } catch (pg::SqlError const& e) {
            exam.add({.level = DoctorLevel::problem,
                      .id = "touched-record",
                      .object = name,
                      .message = fmt::format("the stream's record at its target cannot be read: {}", e.message()),
                      .observed = {},
                      .wanted = {},
                      .sql = {},
                      .hint = "look with the role that `sync` runs as"});
            return;
        }
        if (from && *from <= *since)
            return;
        exam.add({.level = DoctorLevel::advice,
                  .id = "touched-record",
                  .object = name,
                  .message = "of what was written since the last clean verification, the oldest part is not on record any more: the next incremental one compares every row",
                  .observed = from ? "on record from " + from->text() : "none",
                  .wanted = "from " + since->text(),
                  .sql = {},
                  .hint = fmt::format("pgcarve verify {}; then more often, or with a larger max_touched in [sync]", name)});
    });
}

} // namespace

void check_streams(Examination& exam, Case const& one) {
    if (!one.service->database || (one.state && one.state->phase == cutover::Phase::completed))
        return;
    std::optional<pg::Session> other;
    exam.check("database-reachable", one.service->name, "its own database answers", [&] {
        try {
            other.emplace(other_database(exam.context, one.service->name, "doctor"));
        } catch (base::Error const& e) {
            exam.add({.level = DoctorLevel::problem,
                      .id = "database-reachable",
                      .object = one.service->name,
                      .message = fmt::format("its own database: {}", e.message()),
                      .observed = {},
                      .wanted = {},
                      .sql = {},
                      .hint = fmt::format("look at [service.{}.database] dsn; passwords come from PGPASSFILE or a service file", one.service->name)});
        }
    });
    // Reference tables have a slot of their own; so has the way back, while the way there still has one.
    int const reference = exam.ownership.reference.empty() ? 0 : 1;
    check_end(exam, one, {exam.session, exam.catalog.database + " (shared)", "[shared]", true, 1 + reference});
    if (!other)
        return;
    check_versions(exam, one, *other);
    check_end(exam, one, {*other, other->describe(), fmt::format("[service.{}.database]", one.service->name), false, 1});
    check_size(exam, one);
    check_touched(exam, one, *other);
    check_plan(exam, one);
}

} // namespace pgcarve::run::doctor
