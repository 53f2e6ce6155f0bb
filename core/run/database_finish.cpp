#include "run/database_finish.hpp"

#include <fmt/format.h>

#include "catalog/reader.hpp"
#include "control/throttle.hpp"
#include "plan/database_finish.hpp"
#include "run/authority/move_parts.hpp"
#include "run/executor.hpp"
#include "run/proof/verification.hpp"
#include "run/stream/loose.hpp"
#include "run/stream/route.hpp"
#include "run/stream/target.hpp"
#include "sync/stream.hpp"

namespace pgcarve::run {

using base::Error;
using base::Exit;
using cutover::Event;
using cutover::Phase;

FinishOutcome complete_database(Context& context, control::ServiceState const& state, Confirm const& confirm) {
    auto const& service = state.name;
    auto const setup = current_names(state);
    auto const& database = *setup.database;
    pg::Session session{context.shared("complete")};
    auto const guard = context.interrupt.on_request([&session] { session.cancel(); });
    control::Store store{session};
    auto const open = store.open_attempt(service);
    require_own_attempt(open, "complete", service);
    TargetSteps steps{other_database(context, service, "complete"), database.name};
    auto const plan = open ? open->plan
                           : plan::plan_complete_database(service, setup, {catalog::read_catalog(session), catalog::read_catalog(steps.session())});
    refuse_if_told(plan, "complete cannot go on yet");
    if (!confirm(plan))
        return {.confirmed = false};
    control::Lease const lease{context.shared("lease"), service, "complete", context.operator_name, control::Lease::From::sync};
    control::Attempt attempt;
    if (open) {
        attempt = *open;
    } else {
        pg::Transaction transaction{session};
        attempt = store.begin_attempt(lease, plan);
        transaction.commit();
    }
    auto const hold = limits_of(context, service).hold;
    Executor executor{context, session, lease, std::move(attempt)};
    executor.inside("retire", [&](model::Step const&) {
        store.advance(lease, Event::complete, Phase::database_live);
        store.set_hold(lease, hold);
        control::forget_throttle(session, service);
    });
    executor.alone("drain", [&](model::Step const&) { finish_loose_keys(context, service, session, steps.session()); });
    executor.alone("drop", [&](model::Step const& step) {
        if (step.id == "drop:reference") {
            drop_slot(context, session, database.reference_name());
            sync::forget(steps.session(), database.reference_name());
            return;
        }
        drop_slot(context, steps.session(), database.back_name());
        sync::forget(session, database.back_name());
    });
    executor.alone("other", [&](model::Step step) {
        step.id = fmt::format("attempt {}: {}", executor.attempt().id, step.id);
        steps.run(step, announce_wait(context, step.id));
    });
    executor.alone("forget", [&](model::Step const&) { steps.forget(); });
    executor.run();
    if (open)
        steps.forget(); // opening it for a rerun may have made its schema again
    executor.finish(nullptr);
    return {.phase = "completed", .next = fmt::format("pgcarve complete {} --purge, after {}", service, base::describe_duration(hold))};
}

model::Plan database_purge_plan(pg::Session& session, control::ServiceState const& state) {
    return plan::plan_purge_database(state.name, *state.setup, catalog::read_catalog(session));
}

} // namespace pgcarve::run
