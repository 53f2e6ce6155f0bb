#include "verify/snapshot.hpp"

namespace pgcarve::verify {

namespace {

// No timeout of the server's own ends this session while it waits.
pg::Session patient(pg::SessionSettings const& settings) {
    pg::Session session{settings};
    session.query(sql::Sql{"SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN ('idle_in_transaction_session_timeout',"
                           " 'idle_session_timeout', 'transaction_timeout')"});
    return session;
}

} // namespace

Snapshot::Snapshot(pg::SessionSettings const& settings)
    : session_{patient(settings)}
    , transaction_{session_, pg::Isolation::repeatable_read, pg::Access::read_only} {
    auto const row = session_.one(
        sql::Sql{"SELECT pg_export_snapshot() AS snapshot, to_char(clock_timestamp() AT TIME ZONE 'UTC',"
                 " 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') AS time, CASE WHEN pg_is_in_recovery()"
                 " THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END AS lsn,"
                 " pg_snapshot_xmin(pg_current_snapshot()) AS horizon, pg_snapshot_xmax(pg_current_snapshot()) AS next"});
    id = row.text("snapshot");
    time = row.text("time");
    auto const position = base::Lsn::parse(row.text("lsn"));
    if (!position)
        base::bug("the server printed a position that is none: " + row.text("lsn"));
    lsn = *position;
    horizon = std::stoull(row.text("horizon"));
    next = std::stoull(row.text("next"));
    taken = std::chrono::steady_clock::now();
}

} // namespace pgcarve::verify
