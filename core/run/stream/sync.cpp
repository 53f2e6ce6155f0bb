#include "run/stream/sync.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "control/migrations.hpp"
#include "run/executor.hpp"
#include "run/stream/follow.hpp"
#include "run/stream/route.hpp"
#include "run/stream/setup.hpp"

namespace pgcarve::run {

using base::Error;
using base::Exit;
using cutover::Phase;
using sql::Sql;

namespace {

// What an attempt of another verb leaves to `sync`: nothing, unless it was a cutover that has not switched.
void require_free(std::optional<control::Attempt> const& open, Phase phase, std::string const& service) {
    if (!open || open->verb == "sync" || (open->verb == "cutover" && phase == Phase::syncing))
        return;
    throw Error{Exit::needs_decision, "attempt-open", fmt::format("a {} of {} was interrupted after {} of {} steps", open->verb, service, open->done.size(), open->plan.steps.size()),
                fmt::format("run `{}` to finish it", rerun_command(open->verb, service))};
}

// What a stop request does to work in progress, or what would have been tried again without one: no decision that somebody
// has to take.
bool ended_by_request(Error const& e) {
    if (auto const* const refused = dynamic_cast<pg::SqlError const*>(&e)) {
        auto const state = refused->sqlstate();
        return state == pg::sqlstate::query_canceled || state == pg::sqlstate::lock_not_available || state == pg::sqlstate::deadlock_detected;
    }
    return e.exit() == Exit::unavailable;
}

// What was broken off comes again with the next run.
SyncOutcome stopped(Context& context, std::string const& service, SyncOutcome outcome) {
    outcome.next = fmt::format("pgcarve sync {}", service);
    try {
        pg::Session session{context.shared("sync")};
        auto const now = control::Store{session}.service(service);
        outcome.phase = cutover::text(now ? now->phase : Phase::planned);
    } catch (Error const&) {
        if (outcome.phase.empty())
            outcome.phase = "not known now"; // the server is away; that does not keep anybody from stopping
    }
    return outcome;
}

void run_sync(Context& context, std::string const& service, SyncOptions const& options, Confirm const& confirm, SyncEvents const& events, SyncOutcome& outcome) {
    auto const target_settings = other_database(context, service, "sync");
    pg::Session session{context.shared("sync")};
    control::require_current(session, control::embedded_migrations());
    auto const state = control::Store{session}.service(service);
    auto const open = control::Store{session}.open_attempt(service);
    auto const phase = state ? state->phase : Phase::planned;
    require_free(open, phase, service);
    auto const lease = [&] { return std::make_unique<control::Lease>(context.shared("lease"), service, "sync", context.operator_name); };
    bool const setting_up = open && open->verb == "sync";
    if (!setting_up && (phase == Phase::syncing || phase == Phase::database_live)) {
        follow(context, service, options, events, lease(), outcome);
        return;
    }
    if (!setting_up && phase != Phase::planned && phase != Phase::schema_live)
        throw Error{Exit::usage, "wrong-phase", fmt::format("service {} is {}", service, cutover::text(phase)),
                    fmt::format("a sync begins at planned or schema_live: `pgcarve status {}` says what comes next; nothing was touched", service)};
    PlannedSync planned;
    if (!open) {
        pg::Session target{target_settings};
        planned = plan_sync_now(context, service, session, target, state);
        refuse_if_told(planned.plan, fmt::format("service {} cannot be synced as it is", service));
    }
    if (!confirm(open ? open->plan : planned.plan)) {
        outcome.confirmed = false;
        return;
    }
    auto held = lease();
    set_up_sync(context, service, options, events, session, *held, open, planned, phase, outcome);
    follow(context, service, options, events, std::move(held), outcome);
}

} // namespace

model::Plan sync_plan(Context& context, std::string const& service) {
    pg::Session source{context.shared("plan")};
    pg::Session target{other_database(context, service, "plan")};
    control::require_current(source, control::embedded_migrations());
    return plan_sync_now(context, service, source, target, control::Store{source}.service(service)).plan;
}

SyncOutcome sync_service(Context& context, std::string const& service, SyncOptions const& options, Confirm const& confirm, SyncEvents const& events) {
    SyncOutcome outcome;
    try {
        run_sync(context, service, options, confirm, events, outcome);
    } catch (Error const& e) {
        // Not in step: whoever waits for that may not take a stop for it.
        if (!context.interrupt.requested() || options.until_caught_up || !ended_by_request(e))
            throw;
        return stopped(context, service, std::move(outcome));
    }
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
