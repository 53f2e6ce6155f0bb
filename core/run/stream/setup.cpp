#include "run/stream/setup.hpp"

#include <algorithm>
#include <array>
#include <map>

#include <fmt/format.h>

#include "catalog/foundation.hpp"
#include "catalog/reader.hpp"
#include "config/names.hpp"
#include "ddl/target.hpp"
#include "pg/wake.hpp"
#include "plan/crossings.hpp"
#include "plan/database.hpp"
#include "plan/ownership.hpp"
#include "plan/reference.hpp"
#include "plan/split.hpp"
#include "plan/sync.hpp"
#include "run/crossings.hpp"
#include "run/executor.hpp"
#include "run/stream/copy_throttle.hpp"
#include "run/stream/patience.hpp"
#include "run/stream/reference.hpp"
#include "run/stream/route.hpp"
#include "run/stream/target.hpp"
#include "run/stream/touched_bound.hpp"
#include "run/stream/wal_guard.hpp"
#include "sync/copy.hpp"
#include "sync/stream.hpp"

namespace pgcarve::run {

using base::Error;
using base::Exit;
using cutover::Event;
using cutover::Phase;
using sql::Sql;

namespace {

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

auto pair_of(Route const& way, sql::QName const& source) { return std::ranges::find(way.tables, source, &model::TablePair::source); }

// A heal mends what has been copied once. Before that, there is less to lose by beginning anew.
[[noreturn]] void rethrow_from_copy(Error const& e, std::string const& service) {
    constexpr std::array without_a_slot{"slot-lost", "slot-ahead", "source-changed", "wal-limit"};
    if (std::ranges::find(without_a_slot, e.code()) == without_a_slot.end())
        throw;
    throw Error{e.exit(), e.code(), e.message(),
                fmt::format("the copy was not complete yet: `pgcarve cancel {0}` takes back what it has brought, then `pgcarve sync {0}` begins anew", service)};
}

long long copied_rows(pg::Session& target, std::string const& stream) {
    return target.one(Sql{"SELECT coalesce(sum(row_count), 0)::bigint AS n FROM pgcarve.chunk WHERE stream = "}.bind(stream)).integer("n");
}

// The tables are there by now: what refuses writes to them is made of what they are.
model::Step locks_step(model::Step step, std::string const& service, model::Setup const& setup, pg::Session& other) {
    step.sql.push_back(plan::record_authority(*setup.database, service, cutover::Authority::shared));
    auto const there = catalog::read_catalog(other);
    auto locks = plan::other_locks(service, setup, there);
    for (auto& lock : plan::reference_locks(*setup.database, there))
        locks.push_back(std::move(lock));
    for (auto const& lock : locks) {
        auto const install = mirrorgen::install(lock, true);
        auto const drop = mirrorgen::drop(lock);
        step.sql.insert(step.sql.end(), install.begin(), install.end());
        step.undo.insert(step.undo.end(), drop.begin(), drop.end());
    }
    return step;
}

// The steps that are code: what they need, but for the way, which the setup says.
struct Work {
    Context& context;
    pg::Session& session;
    SyncOptions const& options;
    SyncEvents const& events;
    SyncOutcome& outcome;
    int wake_fd;
    std::string steps_name; // of the record of steps at the target

    void set_position(Route const& way) const;
    void copy(Route const& way, model::Plan const& plan) const;
    // The steps of the plan that make keys, with the tables (leaves) that get them.
    [[nodiscard]] std::vector<sync::LateKeys> late_keys(Route const& way, model::Plan const& plan, sync::Mapping const& mapping,
                                                        model::Catalog const& catalog) const;
};

void Work::set_position(Route const& way) const {
    pg::Session target{way.target("sync")};
    sync::prepare_target(target);
    set_position_of_slot(way, session, target);
}

std::vector<sync::LateKeys> Work::late_keys(Route const& way, model::Plan const& plan, sync::Mapping const& mapping,
                                            model::Catalog const& catalog) const {
    std::map<std::string, std::vector<std::uint32_t>> by_step;
    for (std::uint32_t i = 0; i < mapping.tables().size(); ++i) {
        auto pair = pair_of(way, mapping.tables()[i].source);
        for (auto const* table = catalog.find(pair->source); table != nullptr && table->partition_of; table = catalog.find(pair->source)) {
            auto const parent = pair_of(way, *table->partition_of);
            if (parent == way.tables.end())
                break;
            pair = parent;
        }
        by_step["target:" + ddl::late_keys_step(pair->target.name)].push_back(i);
    }
    std::vector<sync::LateKeys> all;
    for (auto const& step : plan.steps) {
        auto const found = by_step.find(step.id);
        if (found == by_step.end())
            continue;
        all.push_back({found->second, [this, step, settings = way.target("keys"), stream = steps_name] {
                           TargetSteps steps{settings, stream};
                           auto const guard = context.interrupt.on_request([&steps] { steps.cancel(); });
                           steps.run(step, announce_wait(context, step.id));
                       }});
    }
    return all;
}

void Work::copy(Route const& way, model::Plan const& plan) const {
    auto const catalog = catalog::read_catalog(session);
    auto const tables = read_mapping(way, session, {}, TargetFirst::accepted);
    sync::CopySettings settings{.stream = way.name, .source = way.source("copy"), .target = way.target("copy"), .workers = options.limits().sync.workers};
    for (auto const& table : tables.tables()) {
        auto const* const found = catalog.find(table.source);
        settings.estimated_rows.push_back(found != nullptr ? found->estimated_rows : 0);
    }
    settings.late_keys = late_keys(way, plan, tables, catalog);
    sync::Copy copy{settings, tables};
    sync::Copy::Events copy_events;
    pg::Session target{way.target("sync")};
    auto const before = copied_rows(target, way.name) - outcome.rows; // by earlier runs; and what another stream's copy brought counts too
    std::unique_ptr<sync::Stream> stream;
    TouchedBound bound{context, way};
    copy_events.progress = [&](sync::CopyProgress const& progress) {
        outcome.rows = progress.rows - before;
        events.copy(progress);
        bound.look(stream->counts().touched_bytes, options.limits().sync.max_touched);
    };
    CopyThrottle throttle{context, way, options, session};
    copy_events.throttled = [&] { return throttle.reason(session); };
    copy_events.workers = [&] { return options.limits().sync.workers; };
    copy_events.after_range = [&] { context.failpoints.hit("sync/range"); };
    copy.run([&] { return open_stream(context, way, tables, wake_fd); }, stream, context.interrupt, copy_events);
    outcome.transactions += stream->counts().transactions;
    stream->stop();
}

} // namespace

PlannedSync plan_sync_now(Context& context, std::string const& name, pg::Session& source, pg::Session& target,
                          std::optional<control::ServiceState> const& state) {
    auto const& service = context.service(name);
    require_versions(source, target);
    require_logical(source);
    auto const catalog = catalog::read_catalog(source);
    auto const ownership = plan::resolve(context.map, catalog, severed_keys(source));
    PlannedSync made;
    bool const split = state && state->phase == Phase::schema_live;
    if (split) {
        made.setup = *state->setup;
    } else {
        plan::require_valid(ownership);
        made.setup = plan::setup_of(context.map, service, ownership, catalog);
    }
    auto& database = made.setup.database;
    database = plan::database_setup(service, made.setup, split ? cutover::Authority::schema : cutover::Authority::shared);
    auto const severed = plan::severance(context.map, service, ownership, made.setup, catalog);
    database->reference = plan::reference_pairs(*database, ownership, severed.keys, catalog);
    auto all = database->tables;
    all.insert(all.end(), database->reference.begin(), database->reference.end());
    std::vector<base::Oid> oids;
    for (auto const& pair : all) {
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
    made.plan.crossings = plan::database_crossings(context.map, service, ownership, made.setup, catalog);
    for (auto const& key : severed.kept)
        made.plan.notices.push_back({true, key, "is to be kept, and two databases cannot hold a foreign key", "decide for loose, replicate or drop"});
    for (auto const& key : severed.undecided)
        made.plan.notices.push_back({false, key, "is undecided, which keeps the cutover's gate closed",
                                     fmt::format("[service.{}.foreign_keys]  {} = \"loose\"  # or replicate, drop", name, config::toml_key(key))});
    for (auto const& pair : all) {
        if (there.find(pair.target) != nullptr && !target.one(ddl::is_empty_statement(pair.target)).boolean("empty"))
            made.plan.notices.push_back({true, pair.target.display(), "holds rows in the other database already",
                                         fmt::format("empty it if they are of no use: TRUNCATE {};", pair.target.quoted())});
    }
    return made;
}

void set_up_sync(Context& context, std::string const& service, SyncOptions const& options, SyncEvents const& events, pg::Session& session,
                 control::Lease const& lease, std::optional<control::Attempt> const& open, PlannedSync const& planned, Phase phase,
                 SyncOutcome& outcome) {
    control::Store store{session};
    control::Attempt attempt;
    model::Setup setup;
    if (!open) {
        setup = planned.setup;
        pg::Transaction transaction{session};
        attempt = store.begin_attempt(lease, planned.plan);
        transaction.commit();
    } else {
        attempt = *open;
        if (open->done.contains("phase:copying")) {
            setup = *store.service(service)->setup;
        } else { // it stopped before its setup was stored
            pg::Session target{other_database(context, service, "plan")};
            setup = plan_sync_now(context, service, session, target, store.service(service)).setup;
        }
    }
    auto const own = route(context, service, *setup.database, false);
    auto const reference = reference_route(context, service, *setup.database);
    auto const way = [&](model::Step const& step) -> Route const& { return step.id.ends_with(":reference") ? reference : own; };
    pg::WakeFd const wake{context.interrupt};
    Work const work{context, session, options, events, outcome, wake.get(), own.name};
    Executor executor{context, session, lease, std::move(attempt)};
    executor.inside("phase:copying", [&](model::Step const&) {
        store.advance(lease, Event::sync, phase);
        store.save_setup(lease, setup);
    });
    executor.alone("slot", [&](model::Step const& step) { make_slot(context, way(step), session); });
    executor.alone("position", [&](model::Step const& step) { work.set_position(way(step)); });
    executor.alone("target", [&](model::Step const& step) {
        context.events.info(step.id);
        TargetSteps steps{own.target("sync"), own.name};
        auto const guard = context.interrupt.on_request([&steps] { steps.cancel(); });
        steps.run(step.id == "target:locks" ? locks_step(step, service, setup, steps.session()) : step, announce_wait(context, step.id));
    });
    executor.alone("copy", [&](model::Step const& step) {
        Patience patience{context};
        WalGuard guard{context, way(step), options};
        auto const watch_log = [&] {
            if (guard.due())
                (void)guard.look(session);
            if (guard.drops())
                guard.drop(session);
            return false;
        };
        for (;;) {
            try {
                try {
                    work.copy(way(step), executor.attempt().plan);
                    return;
                } catch (Error const& e) {
                    // Without the source's session or the lease the whole run ends, and the next one goes on behind the last range.
                    if (context.interrupt.requested() || !passes(e) || !session.alive() || !lease.alive())
                        throw;
                    patience.wait(e, watch_log);
                }
            } catch (Error const& e) {
                rethrow_from_copy(e, service);
            }
        }
    });
    executor.inside("phase:syncing", [&](model::Step const&) { store.advance(lease, Event::copied, Phase::copying); });
    executor.run();
    executor.finish({{"rows", outcome.rows}});
}

} // namespace pgcarve::run
