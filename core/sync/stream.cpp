#include "sync/stream.hpp"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "base/error.hpp"
#include "model/mark.hpp"
#include "sql/builder.hpp"

namespace pgcarve::sync {

using sql::Sql;

namespace {
constexpr long long prepare_lock = 0x70676361727665; // "pgcarve"
}

void prepare_target(pg::Session& target) {
    pg::Transaction transaction{target};
    // Syncs of several services may begin at once, and IF NOT EXISTS and REVOKE fail when another transaction does the same.
    transaction.lock_timeout(base::Millis{10'000});
    target.query(Sql{"SELECT pg_advisory_xact_lock("}.number(prepare_lock).add(")"));
    target.run("CREATE SCHEMA IF NOT EXISTS pgcarve");
    target.run("REVOKE ALL ON SCHEMA pgcarve FROM PUBLIC");
    target.run("CREATE TABLE IF NOT EXISTS pgcarve.stream (name text PRIMARY KEY, position pg_lsn NOT NULL, system_id text NOT NULL, "
               "commit_time timestamptz, applied_at timestamptz, marker text, touched_from pg_lsn, timeline integer)");
    target.run("CREATE TABLE IF NOT EXISTS pgcarve.chunk (stream text NOT NULL REFERENCES pgcarve.stream ON DELETE CASCADE, "
               "source_table text NOT NULL, id bigint GENERATED ALWAYS AS IDENTITY, lo text, hi text, snapshot text NOT NULL, "
               "row_count bigint NOT NULL, PRIMARY KEY (stream, source_table, id))");
    target.run("CREATE TABLE IF NOT EXISTS pgcarve.touched (stream text NOT NULL REFERENCES pgcarve.stream ON DELETE CASCADE, "
               "at pg_lsn NOT NULL, id bigint GENERATED ALWAYS AS IDENTITY, source_table text NOT NULL, xids bigint[] NOT NULL, keys text)");
    target.run("CREATE INDEX IF NOT EXISTS touched_at ON pgcarve.touched (stream, at)");
    target.run("CREATE TABLE IF NOT EXISTS pgcarve.aside (stream text NOT NULL REFERENCES pgcarve.stream ON DELETE CASCADE, "
               "source_table text NOT NULL, reason text NOT NULL, comes_back boolean NOT NULL DEFAULT false, "
               "since timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (stream, source_table))");
    target.run("CREATE TABLE IF NOT EXISTS pgcarve.mark (one boolean PRIMARY KEY DEFAULT true CHECK (one), content text NOT NULL)");
    transaction.commit();
}

std::optional<base::Lsn> position(pg::Session& target, std::string const& stream) {
    auto const row = target.maybe_one(Sql{"SELECT position FROM pgcarve.stream WHERE name = "}.bind(stream));
    if (!row)
        return std::nullopt;
    return base::Lsn::parse(row->text(0));
}

void set_position(pg::Session& target, std::string const& stream, base::Lsn at, std::string const& system_id) {
    Sql sql{"INSERT INTO pgcarve.stream (name, position, system_id, touched_from) VALUES ("};
    sql.bind(stream).add(", ").bind(at.text()).add(", ").bind(system_id).add(", ").bind(at.text());
    target.query(sql.add(") ON CONFLICT (name) DO UPDATE SET position = EXCLUDED.position, system_id = EXCLUDED.system_id, "
                         "timeline = NULL, commit_time = NULL, applied_at = NULL, marker = NULL, touched_from = EXCLUDED.touched_from"));
}

void forget(pg::Session& target, std::string const& stream) {
    target.query(Sql{"DELETE FROM pgcarve.stream WHERE name = "}.bind(stream));
}

base::Lsn mark(pg::Session& source, std::string const& content) {
    Sql sql;
    if (model::streams_messages(source.server_version()))
        sql.add("SELECT pg_logical_emit_message(true, ").bind(std::string{message_prefix}).add(", ").bind(content).add(")::text AS position");
    else // RETURNING is evaluated behind the row's own record, and before the commit's
        sql.add("INSERT INTO pgcarve.mark (content) VALUES (").bind(content).add(") ON CONFLICT (one) DO UPDATE SET content = EXCLUDED.content"
                                                                                 " RETURNING pg_current_wal_insert_lsn()::text AS position");
    auto const position = base::Lsn::parse(source.one(sql).text("position"));
    if (!position)
        base::bug("a mark without a position");
    return *position;
}

long long hold_lock(std::string_view stream) {
    std::uint64_t hash = 14695981039346656037ULL; // FNV-1a: the two sides need no server to agree on it
    for (auto const c : stream)
        hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
    return static_cast<long long>(hash ^ 0x70676361727665ULL);
}

struct Stream::Impl {
    StreamSettings settings;
    pg::Bulk target;
    Applier applier;
    base::Lsn at{};
    std::optional<std::string> marker;
    bool in_pieces = false; // of a large transaction, some have been applied
    std::chrono::steady_clock::time_point moved = std::chrono::steady_clock::now(); // by move()
    std::unique_ptr<Receiver> receiver;

    Impl(StreamSettings given, Mapping const& mapping)
        : settings{std::move(given)}, target{settings.target}, applier{target, mapping, settings.name} {
        lock();
        auto const text = target.value(Sql{"SELECT position FROM pgcarve.stream WHERE name = "}.bind(settings.name));
        auto const position = text ? base::Lsn::parse(*text) : std::nullopt;
        if (!position)
            throw base::Error{base::Exit::needs_decision, "stream-unknown", fmt::format("the target knows nothing of stream {}", settings.name),
                              "this is not the database the sync was set up with, or its schema pgcarve was removed"};
        at = *position;
        check_slot();
        pg::Replication connection{settings.source};
        check_source(connection);
        pg::StreamRequest request;
        request.slot = settings.slot;
        request.publications = settings.publications;
        receiver = std::make_unique<Receiver>(std::move(connection), std::move(request), mapping, at, settings.limits);
    }

    // The server's process of a client that was killed goes on with its statement, and may even commit: until it is
    // gone, what it will have done to the position is open.
    void lock() {
        try {
            target.value(Sql{"SELECT pg_catalog.pg_advisory_lock(pg_catalog.hashtextextended("}
                             .bind("pgcarve stream " + settings.name)
                             .add(", 0))"));
        } catch (pg::SqlError const& e) {
            if (e.sqlstate() != pg::sqlstate::lock_not_available)
                throw;
            throw base::Error{base::Exit::unavailable, "stream-busy",
                              fmt::format("another session at the target applies stream {}, or did so a moment ago", settings.name),
                              "run the same command again once it has gone: it goes on where it stopped"};
        }
    }

    // The server would go on at what was confirmed and leave out, without a word, what the target lacks.
    void check_slot() const {
        pg::Session source{{.dsn = settings.source.dsn, .purpose = settings.source.purpose}};
        auto const row = source.maybe_one(
            Sql{"SELECT confirmed_flush_lsn FROM pg_catalog.pg_replication_slots WHERE slot_name = "}.bind(settings.slot));
        auto const text = row ? row->maybe(0) : std::nullopt;
        auto const confirmed = text ? base::Lsn::parse(*text) : std::nullopt;
        if (confirmed && *confirmed > at)
            throw base::Error{base::Exit::needs_decision, "slot-ahead",
                              fmt::format("slot {} goes on at {}, but the target is at {}: what lies between is missing from it", settings.slot,
                                          confirmed->text(), at.text()),
                              "the target lost what it had committed (restored from a backup, failed over), or somebody advanced the slot: "
                              "`pgcarve sync SERVICE --heal` makes a new slot and changes what differs, range by range"};
    }

    // A position says nothing about another log than the one it was taken from.
    void check_source(pg::Replication& connection) {
        auto const differs = [&](std::string const& what) {
            throw base::Error{base::Exit::needs_decision, "source-changed", what,
                              "the source was restored, replaced or failed over: its rows and the target's may differ without a trace in its log; `pgcarve sync SERVICE --heal` "
                              "makes a new slot and changes what differs, range by range"};
        };
        auto const identity = connection.identify();
        auto const known = target.value(Sql{"SELECT system_id FROM pgcarve.stream WHERE name = "}.bind(settings.name)).value_or("");
        if (identity.system_id != known)
            differs(fmt::format("stream {} is of the cluster {}, and the source is the cluster {}", settings.name, known, identity.system_id));
        if (identity.flushed < at)
            differs(fmt::format("the target is at {} of the source's log, which ends at {} now", at.text(), identity.flushed.text()));
        auto const timeline = target.value(Sql{"SELECT timeline::text FROM pgcarve.stream WHERE name = "}.bind(settings.name));
        if (timeline && std::stoi(*timeline) == identity.timeline)
            return;
        if (timeline) {
            auto const left = connection.left_timeline(std::stoi(*timeline));
            if (!left || at > *left)
                differs(fmt::format("the target is at {} of timeline {}, which the source {}", at.text(), *timeline,
                                    left ? "left at " + left->text() : "has never been on"));
        }
        Sql sql{"UPDATE pgcarve.stream SET timeline = "};
        target.value(sql.number(identity.timeline).add(" WHERE name = ").bind(settings.name));
    }

    // Somebody who asked for this by a message takes a snapshot of the target before anything else is applied: for as
    // long as his session holds the lock, but for less than a second. That he was in time he sees in his snapshot.
    void hold() {
        target.run("BEGIN; SET LOCAL lock_timeout = '900ms'");
        try {
            target.value(Sql{"SELECT pg_catalog.pg_advisory_xact_lock_shared("}.number(hold_lock(settings.name)).add(")"));
        } catch (pg::SqlError const& e) {
            if (e.sqlstate() != pg::sqlstate::lock_not_available)
                throw;
        }
        target.run("ROLLBACK");
    }

    // The log up to `to` has nothing that is not applied: said to the source only when the target will remember.
    void move(base::Lsn to) {
        auto const now = std::chrono::steady_clock::now();
        if (to <= at || now - moved < settings.limits.status_interval)
            return;
        applier.move(to);
        moved = now;
        at = to;
        receiver->durable(to);
    }
};

Stream::Stream(StreamSettings settings, Mapping const& mapping) : impl_{std::make_unique<Impl>(std::move(settings), mapping)} {}
Stream::~Stream() = default;

void Stream::filter(Applier::Filter wanted, Applier::Look look) { impl_->applier.filter(std::move(wanted), std::move(look)); }

bool Stream::run_until(base::Lsn until, base::Millis limit, base::Interrupt& interrupt) {
    auto const deadline = std::chrono::steady_clock::now() + limit;
    for (;;) {
        auto const state = impl_->receiver->state();
        if (state.idle && !impl_->in_pieces) {
            impl_->move(state.passed);
            if (state.passed >= until)
                return true;
        }
        if (interrupt.requested() || std::chrono::steady_clock::now() >= deadline)
            return false;
        auto const batch = impl_->receiver->next(base::Millis{50});
        if (!batch) {
            impl_->receiver->ask();
            continue;
        }
        impl_->applier.apply(*batch);
        impl_->in_pieces = !batch->complete;
        if (batch->complete) {
            impl_->at = batch->end;
            if (batch->marker)
                impl_->marker = batch->marker;
            impl_->receiver->durable(batch->end);
            if (batch->marker && batch->marker->starts_with(hold_message))
                impl_->hold();
        }
    }
}

ReceiverState Stream::state() const { return impl_->receiver->state(); }
base::Lsn Stream::applied() const noexcept { return impl_->at; }
Applied const& Stream::counts() const noexcept { return impl_->applier.applied(); }
std::optional<std::string> const& Stream::marker() const noexcept { return impl_->marker; }
void Stream::stop() {
    impl_->applier.abandon();
    if (impl_->target.alive()) // nothing will be committed any more: the next one may begin
        impl_->target.run("SELECT pg_catalog.pg_advisory_unlock_all()");
    impl_->receiver->stop();
}

} // namespace pgcarve::sync
