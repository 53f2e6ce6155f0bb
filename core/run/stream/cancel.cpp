#include <fmt/format.h>

#include "catalog/reader.hpp"
#include "control/throttle.hpp"
#include "plan/database.hpp"
#include "plan/database_finish.hpp"
#include "plan/sync.hpp"
#include "run/crossings.hpp"
#include "run/executor.hpp"
#include "run/facts.hpp"
#include "run/stream/route.hpp"
#include "run/stream/sync.hpp"
#include "run/stream/target.hpp"
#include "sync/stream.hpp"

namespace pgcarve::run {

using cutover::Event;
using cutover::Phase;

namespace {

model::Plan plan_now(pg::Session& session, std::string const& service, model::Setup const& setup) {
    auto locks = plan::shared_locks(service, setup, catalog::read_catalog(session));
    std::erase_if(locks, [&](mirrorgen::Machinery const& lock) { return read_installed(session, lock).empty(); });
    auto drops = plan::drop_lock_steps(locks);
    for (auto& step : drop_loose_steps(session, service))
        drops.push_back(std::move(step));
    return plan::plan_cancel_sync(service, *setup.database, drops);
}

// Of the other database: also the slot of a way back that an interrupted cutover had made.
void drop_target(Context& context, std::string const& service, model::DatabaseSetup const& setup) {
    TargetSteps steps{other_database(context, service, "cancel"), setup.name};
    drop_slot(context, steps.session(), setup.back_name());
    sync::forget(steps.session(), setup.reference_name());
    steps.undo();
}

} // namespace

CancelSyncOutcome cancel_sync(Context& context, std::string const& service, Confirm const& confirm) {
    pg::Session session{context.shared("cancel")};
    control::Store store{session};
    auto const state = store.service(service);
    if (!state || !state->setup || !state->setup->database)
        base::bug("a database hop to cancel of a service that has none");
    auto const setup = *state->setup->database;
    auto open = store.open_attempt(service);
    auto const plan = open && open->verb == "cancel" ? open->plan : plan_now(session, service, *state->setup);
    if (!confirm(plan))
        return {.confirmed = false};
    // A sync that follows gives way; one that copies does not.
    auto const from = state->phase == Phase::syncing ? control::Lease::From::sync : control::Lease::From::nobody;
    control::Lease const lease{context.shared("lease"), service, "cancel", context.operator_name, from};
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
        drop_slot(context, session, setup.name);
        drop_slot(context, session, setup.reference_name());
    });
    executor.alone("drop-target", [&](model::Step const&) { drop_target(context, service, setup); });
    executor.run();
    CancelSyncOutcome outcome;
    executor.finish(nullptr, false, [&] {
        if (session.one(sql::Sql{"SELECT pg_catalog.to_regclass('pgcarve.stream') IS NOT NULL AS there"}).boolean("there"))
            sync::forget(session, setup.back_name());
        control::forget_throttle(session, service);
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

} // namespace pgcarve::run
