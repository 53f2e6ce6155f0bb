#include "run/verification.hpp"

#include <fmt/format.h>

#include "catalog/reader.hpp"
#include "control/migrations.hpp"
#include "plan/machinery.hpp"
#include "run/database_verification.hpp"
#include "run/facts.hpp"

namespace pgcarve::run {

using base::Error;
using base::Exit;
using cutover::Authority;
using cutover::Phase;

model::Setup current_names(control::ServiceState const& state) {
    auto setup = state.setup.value_or(model::Setup{});
    bool const behind = state.authority == Authority::schema || (state.authority == Authority::database && state.base_phase == Phase::schema_live);
    bool const aside = setup.legacy == model::Legacy::view && setup.strategy == model::Strategy::copy && behind;
    return aside ? plan::with_held_names(std::move(setup)) : setup;
}

std::vector<model::TablePair> oriented_pairs(control::ServiceState const& state) {
    std::vector<model::TablePair> pairs;
    for (auto pair : current_names(state).tables) {
        if (pair.is_partition)
            continue;
        if (state.authority != Authority::shared)
            std::swap(pair.source, pair.target);
        pairs.push_back(std::move(pair));
    }
    return pairs;
}

namespace {

bool two_copies(control::ServiceState const& state) {
    return state.setup && state.setup->strategy == model::Strategy::copy &&
           (state.phase == Phase::dual_writing || state.phase == Phase::schema_live);
}

bool in_two_databases(control::ServiceState const& state) {
    return state.setup && state.setup->database && state.phase != Phase::completed;
}

} // namespace

std::vector<std::string> services_in_flight(Context& context) {
    pg::Session session{context.shared("verify")};
    control::require_current(session, control::embedded_migrations());
    std::vector<std::string> names;
    for (auto const& state : control::Store{session}.services()) {
        if (two_copies(state) || state.phase == Phase::backfilling || in_two_databases(state))
            names.push_back(state.name);
    }
    return names;
}

model::Verification verify_service(Context& context, std::string const& service, bool incremental, verify::CompareOptions const& options,
                                   verify::CompareEvents const& events) {
    pg::Session session{context.shared("verify")};
    control::require_current(session, control::embedded_migrations());
    control::Store store{session};
    auto const state = store.service(service);
    if (!state)
        (void)context.service(service); // a name that nobody knows is told from one that was never split
    if (state && state->phase == Phase::backfilling)
        throw Error{Exit::not_proven, "not-proven", fmt::format("service {} is still being copied", service),
                    fmt::format("let `pgcarve split {}` finish first", service)};
    if (state && in_two_databases(*state))
        return verify_database(context, *state, incremental, options, events);
    if (!state || !two_copies(*state))
        throw Error{Exit::usage, "nothing-to-verify",
                    fmt::format("service {} has one copy of its rows (phase {})", service,
                                state ? cutover::text(state->phase) : "planned"),
                    fmt::format("look with `pgcarve status {}`", service)};
    auto const signature = service_signature(current_names(*state), catalog::read_catalog(session));
    auto verification = verify::compare(context.shared("verify"), service, oriented_pairs(*state), options, events);
    bool const whole = options.tables.empty() && options.where.empty();
    verification.id = store.record(verification, whole, std::string{cutover::text(state->authority)}, signature);
    return verification;
}

namespace {

control::ServiceState repairable(pg::Session& session, std::string const& service) {
    control::require_current(session, control::embedded_migrations());
    auto const state = control::Store{session}.service(service);
    if (!state || !(two_copies(*state) || in_two_databases(*state)))
        throw Error{Exit::usage, "nothing-to-repair",
                    fmt::format("service {} has one copy of its rows (phase {})", service,
                                state ? cutover::text(state->phase) : "planned"),
                    fmt::format("look with `pgcarve status {}`", service)};
    return *state;
}

verify::RepairOptions repair_options(RepairRequest const& request) {
    verify::RepairOptions options;
    options.compare.tables = request.tables;
    return options;
}

verify::RepairEvents repair_events(Context& context) {
    verify::RepairEvents events;
    events.compare.interrupted = [&context] { return context.interrupt.requested(); };
    events.on_wait = [&context](int attempt, std::vector<pg::Blocker> const& blockers) {
        context.events.warn(fmt::format("repair waits for a lock (try {}){}", attempt,
                                        blockers.empty() ? "" : "; held by " + blockers.front().describe()));
    };
    return events;
}

} // namespace

verify::RepairReport repair_plan(Context& context, RepairRequest const& request,
                                 std::function<void(verify::RepairStatement const&)> const& statement) {
    pg::Session session{context.shared("repair")};
    auto const state = repairable(session, request.service);
    auto events = repair_events(context);
    events.statement = statement;
    if (in_two_databases(state))
        return plan_database_repair(context, state, request.tables, events);
    return verify::print_repairs(context.shared("repair"), request.service, oriented_pairs(state), repair_options(request), events);
}

namespace {

// Beside a running sync, which holds the lease: the source's locks keep it in order with the stream.
verify::RepairReport repair_beside_sync(Context& context, RepairRequest const& request, control::ServiceState const& state) {
    auto report = repair_database(context, state, request.tables, repair_events(context));
    pg::Session session{context.shared("repair")};
    pg::Transaction transaction{session};
    control::Store store{session};
    for (auto const& table : report.tables) {
        store.note(request.service, context.operator_name, "repair", table.target.quoted(),
                   {{"inserted", table.inserted}, {"updated", table.updated}, {"deleted", table.deleted}, {"remaining", table.remaining}});
        if (table.remaining == 0)
            store.resolve_findings(request.service, table.source.quoted(), "repair");
    }
    transaction.commit();
    if (report.interrupted)
        context.interrupt.check();
    return report;
}

} // namespace

verify::RepairReport repair_service(Context& context, RepairRequest const& request) {
    pg::Session session{context.shared("repair")};
    if (auto const now = repairable(session, request.service); in_two_databases(now))
        return repair_beside_sync(context, request, now);
    control::Lease const lease{context.shared("lease"), request.service, "repair", context.operator_name};
    auto const state = repairable(session, request.service);
    auto report = verify::repair(context.shared("repair"), request.service, oriented_pairs(state), repair_options(request), repair_events(context));
    pg::Transaction transaction{session};
    control::Store store{session};
    store.check_lease(lease);
    for (auto const& table : report.tables) {
        store.note(lease, "repair", table.target.quoted(),
                   {{"inserted", table.inserted}, {"updated", table.updated}, {"deleted", table.deleted}, {"remaining", table.remaining}});
        if (table.remaining == 0)
            store.resolve_findings(request.service, table.source.quoted(), "repair");
    }
    transaction.commit();
    if (report.interrupted)
        context.interrupt.check();
    return report;
}

} // namespace pgcarve::run
