#include "run/sync.hpp"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "catalog/foundation.hpp"
#include "catalog/reader.hpp"
#include "control/migrations.hpp"
#include "ddl/target.hpp"
#include "mirror/throttle.hpp"
#include "pg/wake.hpp"
#include "plan/ownership.hpp"
#include "plan/split.hpp"
#include "plan/sync.hpp"
#include "run/executor.hpp"
#include "run/sync_target.hpp"
#include "sync/stream.hpp"

namespace pgcarve::run {

using base::Error;
using base::Exit;
using cutover::Event;
using cutover::Phase;
using sql::Sql;

namespace {

using Clock = std::chrono::steady_clock;

pg::SessionSettings other(model::Service const& service, std::string purpose) {
    if (!service.database)
        throw Error{Exit::usage, "config", fmt::format("service {} has no database in pgcarve.toml", service.name),
                    fmt::format("add [service.{}.database] with dsn and schema; nothing was touched", service.name)};
    return {.dsn = service.database->dsn, .purpose = std::move(purpose)};
}

void require_versions(pg::Session const& source, pg::Session const& target) {
    if (target.server_version() / 10000 < source.server_version() / 10000)
        throw Error{Exit::needs_decision, "target-too-old",
                    fmt::format("the target runs PostgreSQL {}, the source {}", target.server_version() / 10000, source.server_version() / 10000),
                    "the target has to be of the same version or a later one"};
}

void require_logical(pg::Session& source) {
    auto const level = source.one(Sql{"SELECT current_setting('wal_level') AS v"}).text("v");
    if (level != "logical")
        throw Error{Exit::needs_decision, "wal-level", fmt::format("wal_level of the source is {}", level),
                    "ALTER SYSTEM SET wal_level = 'logical', then restart the source; nothing was touched"};
}

struct Planned {
    model::Plan plan;
    model::Setup setup; // with its database
};

Planned make_plan(Context& context, std::string const& name, pg::Session& source, pg::Session& target, std::optional<control::ServiceState> const& state) {
    auto const& service = context.service(name);
    require_versions(source, target);
    require_logical(source);
    auto const catalog = catalog::read_catalog(source);
    Planned made;
    bool const split = state && state->phase == Phase::schema_live;
    if (split) {
        made.setup = *state->setup;
    } else {
        auto const ownership = plan::resolve(context.map, catalog);
        plan::require_valid(ownership);
        made.setup = plan::setup_of(context.map, service, ownership, catalog);
    }
    made.setup.database = plan::database_setup(service, made.setup, split ? cutover::Authority::schema : cutover::Authority::shared);
    std::vector<base::Oid> oids;
    for (auto const& pair : made.setup.database->tables) {
        auto const* const table = catalog.find(pair.source);
        if (table == nullptr)
            throw Error{Exit::needs_decision, "table-gone", fmt::format("table {} is not there any more", pair.source.display()),
                        fmt::format("look with `pgcarve status {}`; nothing was touched", name)};
        oids.push_back(table->oid);
    }
    auto const foundation = catalog::read_foundation(source, oids);
    auto const there = catalog::read_catalog(target);
    auto const foundation_there = catalog::read_foundation_like(target, foundation);
    made.plan = plan::plan_sync(service, *made.setup.database, {catalog, foundation, there, foundation_there});
    for (auto const& pair : made.setup.database->tables) {
        if (there.find(pair.target) != nullptr && !target.one(ddl::is_empty_statement(pair.target)).boolean("empty"))
            made.plan.notices.push_back({true, pair.target.display(), "holds rows in the other database already",
                                         fmt::format("empty it if they are of no use: TRUNCATE {};", pair.target.quoted())});
    }
    return made;
}

class Sync {
public:
    Sync(Context& context, std::string const& name, SyncOptions const& options, Confirm const& confirm, SyncEvents const& events)
        : context_{context}, name_{name}, options_{options}, confirm_{confirm}, events_{events}, service_{context.service(name)},
          target_settings_{other(service_, "sync")}, session_{context.shared("sync")} {
        control::require_current(session_, control::embedded_migrations());
    }

    SyncOutcome run() {
        auto const state = control::Store{session_}.service(name_);
        auto const open = control::Store{session_}.open_attempt(name_);
        if (open && open->verb != "sync")
            throw Error{Exit::needs_decision, "attempt-open", fmt::format("a {} of {} was interrupted after {} of {} steps", open->verb, name_, open->done.size(), open->plan.steps.size()),
                        fmt::format("run `{}` to finish it", rerun_command(open->verb, name_))};
        auto const phase = state ? state->phase : Phase::planned;
        if (!open && phase != Phase::planned && phase != Phase::schema_live && phase != Phase::syncing)
            throw Error{Exit::usage, "wrong-phase", fmt::format("service {} is {}", name_, cutover::text(phase)),
                        fmt::format("a sync begins at planned or schema_live: `pgcarve status {}` says what comes next; nothing was touched", name_)};
        SyncOutcome outcome;
        if (!open && phase == Phase::syncing) {
            control::Lease const lease{context_.shared("lease"), name_, "sync", context_.operator_name};
            setup_ = *state->setup;
            follow(outcome);
            return outcome;
        }
        model::Plan plan;
        if (open) {
            plan = open->plan;
        } else {
            pg::Session target{target_settings_};
            auto made = make_plan(context_, name_, session_, target, state);
            refuse_if_told(made.plan, fmt::format("service {} cannot be synced as it is", name_));
            plan = std::move(made.plan);
            setup_ = std::move(made.setup);
        }
        if (!confirm_(plan))
            return {.confirmed = false};
        control::Lease const lease{context_.shared("lease"), name_, "sync", context_.operator_name};
        try {
            set_up(lease, open, plan, phase, outcome);
        } catch (Error const&) {
            if (!context_.interrupt.requested() || options_.until_caught_up)
                throw;
            return stopped(std::move(outcome)); // what was cancelled comes again with the next run
        }
        follow(outcome);
        return outcome;
    }

private:
    [[nodiscard]] model::DatabaseSetup const& database() const { return *setup_.database; }

    SyncOutcome stopped(SyncOutcome outcome) {
        if (!session_.alive())
            session_ = pg::Session{context_.shared("sync")};
        auto const now = control::Store{session_}.service(name_);
        outcome.phase = cutover::text(now ? now->phase : Phase::planned);
        outcome.next = fmt::format("pgcarve sync {}", name_);
        return outcome;
    }

    // ---- from nothing to syncing

    void set_up(control::Lease const& lease, std::optional<control::Attempt> const& open, model::Plan const& plan, Phase phase, SyncOutcome& outcome) {
        control::Store store{session_};
        control::Attempt attempt;
        if (open) {
            attempt = *open;
            if (open->done.contains("phase:copying"))
                setup_ = *store.service(name_)->setup;
            else
                setup_ = again();
        } else {
            pg::Transaction transaction{session_};
            attempt = store.begin_attempt(lease, plan);
            transaction.commit();
        }
        Executor executor{context_, session_, lease, std::move(attempt)};
        executor.inside("phase:copying", [&](model::Step const&) {
            store.advance(lease, Event::sync, phase);
            store.save_setup(lease, setup_);
        });
        executor.alone("slot", [&](model::Step const&) { make_slot(); });
        executor.alone("position", [&](model::Step const&) { set_position(); });
        executor.alone("target", [&](model::Step const& step) {
            context_.events.info(step.id);
            TargetSteps steps{target_settings_, database().name};
            auto const guard = context_.interrupt.on_request([&steps] { steps.cancel(); });
            steps.run(step);
        });
        executor.alone("copy", [&](model::Step const&) { copy(outcome); });
        executor.inside("phase:syncing", [&](model::Step const&) { store.advance(lease, Event::copied, Phase::copying); });
        executor.run();
        executor.finish({{"rows", outcome.rows}});
    }

    // The setup of an attempt that stopped before it was stored.
    model::Setup again() {
        pg::Session target{target_settings_};
        return make_plan(context_, name_, session_, target, control::Store{session_}.service(name_)).setup;
    }

    pg::ReplicationSettings replication(std::string purpose) const {
        return {.dsn = context_.map.dsn, .purpose = std::move(purpose), .wake_fd = wake_.get()};
    }

    // A slot of that name that nobody knows a position for is of an earlier, broken off try: it would be too old or too young.
    void make_slot() {
        context_.events.info(fmt::format("making slot {}: it waits for the transactions that run now", database().name));
        if (session_.maybe_one(Sql{"SELECT 1 AS x FROM pg_replication_slots WHERE slot_name = "}.bind(database().name)))
            session_.query(Sql{"SELECT pg_drop_replication_slot("}.bind(database().name).add(")"));
        pg::Replication{replication("slot")}.create_slot(database().name);
    }

    void set_position() {
        pg::Session target{target_settings_};
        sync::prepare_target(target);
        auto const slot = session_.maybe_one(Sql{"SELECT confirmed_flush_lsn::text AS lsn FROM pg_replication_slots WHERE slot_name = "}.bind(database().name));
        if (!slot)
            slot_lost();
        sync::set_position(target, database().name, *base::Lsn::parse(slot->text("lsn")), pg::Replication{replication("identify")}.identify().system_id);
    }

    [[noreturn]] void slot_lost() const {
        throw Error{Exit::needs_decision, "slot-lost", fmt::format("slot {} is not there any more: what was written since cannot be streamed", database().name),
                    fmt::format("`pgcarve cancel {}` and begin the sync again", name_)};
    }

    // ---- rows

    sync::Mapping mapping() {
        auto const as_of = base::Lsn::parse(session_.one(Sql{"SELECT pg_current_wal_insert_lsn()::text AS lsn"}).text("lsn"));
        auto const catalog = catalog::read_catalog(session_);
        pg::Session target{target_settings_};
        return sync::Mapping{mapped_tables(session_, target, catalog, database()), *as_of};
    }

    std::unique_ptr<sync::Stream> open_stream(sync::Mapping const& mapping) {
        for (auto const deadline = Clock::now() + std::chrono::seconds{60};;) {
            try {
                return std::make_unique<sync::Stream>(
                    sync::StreamSettings{.name = database().name, .slot = database().name, .publications = {database().name},
                                         .source = replication("stream"), .target = other(service_, "stream"), .limits = {}},
                    mapping);
            } catch (pg::SqlError const& e) {
                if (e.sqlstate() == "42704") // undefined object: the slot
                    slot_lost();
                // In use: the connection of a process that died is still being found out about.
                if (e.sqlstate() != "55006")
                    throw;
                if (Clock::now() > deadline)
                    throw Error{Exit::unavailable, "stream-busy", fmt::format("slot {} is read by another connection: {}", database().name, e.message()),
                                "run the same command again once it has gone: it goes on where it stopped"};
                context_.interrupt.check();
                context_.interrupt.wait_for(base::Millis{250});
            }
        }
    }

    void copy(SyncOutcome& outcome) {
        auto const catalog = catalog::read_catalog(session_);
        auto const tables = mapping();
        sync::CopySettings settings{.stream = database().name, .source = context_.shared("copy"), .target = other(service_, "copy"),
                                    .workers = options_.workers};
        for (auto const& table : tables.tables()) {
            auto const* const found = catalog.find(table.source);
            settings.estimated_rows.push_back(found != nullptr ? found->estimated_rows : 0);
        }
        sync::Copy copy{settings, tables};
        sync::Copy::Events events;
        auto const before = copied(); // by earlier runs
        events.progress = [&](sync::CopyProgress const& progress) {
            outcome.rows = progress.rows - before;
            events_.copy(progress);
        };
        events.throttled = [&] { return mirror::throttle_reason(session_, context_.map.throttle); };
        events.after_range = [&] { context_.failpoints.hit("sync/range"); };
        std::unique_ptr<sync::Stream> stream;
        copy.run([&] { return open_stream(tables); }, stream, context_.interrupt, events);
        outcome.transactions += stream->counts().transactions;
        stream->stop();
    }

    long long copied() {
        pg::Session target{target_settings_};
        return target.one(Sql{"SELECT coalesce(sum(row_count), 0)::bigint AS n FROM pgcarve.chunk WHERE stream = "}.bind(database().name)).integer("n");
    }

    // ---- following

    void follow(SyncOutcome& outcome) {
        outcome.phase = "syncing";
        outcome.next = fmt::format("pgcarve status {}", name_);
        base::Millis pause{1'000};
        while (!context_.interrupt.requested()) {
            try {
                follow_once(outcome, pause);
                if (outcome.caught_up)
                    return;
            } catch (Error const& e) {
                if (options_.until_caught_up && context_.interrupt.requested())
                    throw;
                // stream-busy: the server has not found out yet that our last connection is gone.
                if (e.code() != "server-lost" && e.code() != "unreachable" && e.code() != "in-doubt" && e.code() != "stream-busy") {
                    if (auto const* const refused = dynamic_cast<pg::SqlError const*>(&e))
                        explain(*refused, "sync", name_, "following the stream");
                    throw;
                }
                context_.events.warn(fmt::format("{}: trying again in {}s", e.message(), pause.count() / 1000));
                context_.interrupt.wait_for(pause);
                pause = std::min(pause * 2, base::Millis{30'000});
                if (!session_.alive())
                    reconnect();
            }
        }
        if (options_.until_caught_up)
            context_.interrupt.check(); // not in step: nobody may take it for that
    }

    void reconnect() {
        try {
            session_ = pg::Session{context_.shared("sync")};
        } catch (Error const&) { // NOLINT(bugprone-empty-catch)
            // Still away: the next round finds that out again.
        }
    }

    void follow_once(SyncOutcome& outcome, base::Millis& pause) {
        auto const tables = mapping();
        auto const stream = open_stream(tables);
        events_.ready(outcome.phase);
        auto const end = options_.until_caught_up ? sync::mark(session_) : base::Lsn{~std::uint64_t{0}};
        auto const before = outcome.transactions;
        while (!context_.interrupt.requested()) {
            bool const reached = stream->run_until(end, base::Millis{1'000}, context_.interrupt);
            pause = base::Millis{1'000};
            outcome.transactions = before + stream->counts().transactions;
            auto const state = stream->state();
            auto const behind = state.received.value > state.durable.value && !state.idle ? state.received.value - state.durable.value : 0;
            events_.tick({outcome.transactions, stream->counts().changes, static_cast<long long>(behind)});
            if (reached) {
                outcome.caught_up = true;
                break;
            }
        }
        stream->stop();
    }

    Context& context_;
    std::string const& name_;
    SyncOptions const& options_;
    Confirm const& confirm_;
    SyncEvents const& events_;
    model::Service const& service_;
    pg::SessionSettings target_settings_;
    pg::WakeFd wake_{context_.interrupt};
    pg::Session session_;
    model::Setup setup_;
};

} // namespace

model::Plan sync_plan(Context& context, std::string const& service) {
    pg::Session source{context.shared("plan")};
    pg::Session target{other(context.service(service), "plan")};
    control::require_current(source, control::embedded_migrations());
    return make_plan(context, service, source, target, control::Store{source}.service(service)).plan;
}

SyncOutcome sync_service(Context& context, std::string const& service, SyncOptions const& options, Confirm const& confirm, SyncEvents const& events) {
    return Sync{context, service, options, confirm, events}.run();
}

CancelSyncOutcome cancel_sync(Context& context, std::string const& service, Confirm const& confirm) {
    pg::Session session{context.shared("cancel")};
    control::Store store{session};
    auto const state = store.service(service);
    if (!state || !state->setup || !state->setup->database)
        base::bug("a database hop to cancel of a service that has none");
    auto const setup = *state->setup->database;
    auto open = store.open_attempt(service);
    auto const plan = open && open->verb == "cancel" ? open->plan : plan::plan_cancel_sync(service, setup);
    if (!confirm(plan))
        return {.confirmed = false};
    control::Lease const lease{context.shared("lease"), service, "cancel", context.operator_name};
    control::Attempt attempt;
    {
        pg::Transaction transaction{session};
        if (open && open->verb != "cancel")
            store.finish_attempt(lease, *open, true, {{"why", "cancelled"}});
        attempt = open && open->verb == "cancel" ? *open : store.begin_attempt(lease, plan);
        transaction.commit();
    }
    Executor executor{context, session, lease, std::move(attempt)};
    executor.alone("drop-slot", [&](model::Step const&) {
        for (auto const deadline = Clock::now() + std::chrono::seconds{60};;) {
            try {
                session.query(Sql{"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = "}.bind(setup.name));
                return;
            } catch (pg::SqlError const& e) {
                if (e.sqlstate() != "55006" || Clock::now() > deadline)
                    throw;
                context.interrupt.check();
                context.interrupt.wait_for(base::Millis{250});
            }
        }
    });
    executor.alone("drop-target", [&](model::Step const&) { TargetSteps{other(context.service(service), "cancel"), setup.name}.undo(); });
    executor.run();
    CancelSyncOutcome outcome;
    executor.finish(nullptr, false, [&] {
        store.advance(lease, Event::cancel, store.service(service)->phase);
        auto after = *store.service(service);
        outcome.phase = cutover::text(after.phase);
        if (after.phase == Phase::planned) {
            store.clear_setup(lease);
        } else {
            after.setup->database.reset();
            store.save_setup(lease, *after.setup);
        }
    });
    return outcome;
}

std::optional<SyncLag> sync_lag(pg::Session& source, std::string const& slot) {
    auto const row = source.maybe_one(Sql{"SELECT active, coalesce(pg_current_wal_lsn() - confirmed_flush_lsn, 0)::bigint AS bytes, "
                                          "coalesce(wal_status, 'unknown') AS wal_status FROM pg_replication_slots WHERE slot_name = "}
                                          .bind(slot));
    if (!row)
        return std::nullopt;
    return SyncLag{row->boolean("active"), std::max(0LL, row->integer("bytes")), row->text("wal_status")};
}

} // namespace pgcarve::run
