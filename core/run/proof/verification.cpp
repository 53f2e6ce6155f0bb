#include "run/proof/verification.hpp"

#include <fmt/format.h>

#include "catalog/reader.hpp"
#include "control/migrations.hpp"
#include "plan/machinery.hpp"
#include "run/facts.hpp"
#include "run/proof/continuation.hpp"
#include "run/proof/database_verification.hpp"
#include "run/proof/schema_verification.hpp"

namespace pgcarve::run {

using base::Error;
using base::Exit;
using cutover::Authority;
using cutover::Phase;
using sql::Sql;

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

// What those have in common that may share one verification. Numbers of transactions mean something on one timeline of one
// cluster only.
std::string subject(pg::Session& session, control::ServiceState const& state, verify::CompareOptions const& options, std::string const& signature) {
    auto const server = session.one(Sql{"SELECT (SELECT system_identifier FROM pg_control_system())::text AS system,"
                                        " CASE WHEN NOT pg_is_in_recovery() THEN substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END AS timeline"});
    auto text = fmt::format("{} {} {} {}", cutover::text(state.authority), signature, server.text("system"), server.maybe("timeline").value_or("?"));
    for (auto const& table : options.tables)
        text += " " + table;
    return options.where.empty() ? text : text + " WHERE " + options.where;
}

// Whether the role may keep what later runs go on from, in these tables.
bool may_keep(Context& context, pg::Session& session, std::vector<std::string> const& tables, std::string const& otherwise) {
    auto const missing = session.query(Sql{"SELECT t FROM unnest("}
                                           .bind(pg::format_array(tables))
                                           .add("::text[]) AS t WHERE NOT (has_table_privilege(t, 'INSERT') AND has_table_privilege(t, 'UPDATE')"
                                                " AND has_table_privilege(t, 'SELECT'))"));
    if (missing.empty())
        return true;
    context.events.info(fmt::format("{}: this role may not write {} (GRANT SELECT, INSERT, UPDATE, DELETE ON it)", otherwise, missing[0].text("t")));
    return false;
}

model::Verification verify_copies(Context& context, pg::Session& session, control::ServiceState const& state, bool incremental,
                                  verify::CompareOptions const& options, verify::CompareEvents const& events) {
    auto const signature = [&] { return service_signature(current_names(state), catalog::read_catalog(session)); };
    auto const schemas = signature();
    bool const whole = options.tables.empty() && options.where.empty();
    SchemaOptions how{.compare = options};
    if (incremental && whole && may_keep(context, session, {"pgcarve.verification_turn"}, "every row is compared")) {
        auto from = continue_from_last(session, context, state, schemas);
        how.since = from.horizon;
        how.share = from.share;
        how.turns = std::move(from.turns);
    }
    std::optional<control::VerifyRun> shared; // a share is small, and forgotten when it is not finished
    if (!how.since && may_keep(context, session, {"pgcarve.verify_run", "pgcarve.verify_range"}, "what is broken off is not taken up, nor shared"))
        how.shared = &shared.emplace(context.shared("verify"), state.name, subject(session, state, options, schemas));
    auto outcome = verify_schema(context.shared("verify"), state.name, oriented_pairs(state), how, events, context.events.info);
    auto& verification = outcome.verification;
    session = pg::Session{context.shared("verify")}; // the other one may have been idle for hours
    if (signature() != schemas)
        throw Error{Exit::not_proven, "not-proven", fmt::format("tables of service {} were altered while they were compared", state.name), "run it again"};
    keep(session, state, shared ? &*shared : nullptr, verification, whole, schemas, outcome.turns);
    return verification;
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
    return verify_copies(context, session, *state, incremental, options, events);
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
    auto const options = repair_options(request);
    auto found = locate_differences(context.shared("repair"), request.service, oriented_pairs(state), options.compare, events.compare);
    return verify::print_repairs(context.shared("repair"), std::move(found), options, events);
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
    auto const options = repair_options(request);
    auto const events = repair_events(context);
    auto found = locate_differences(context.shared("repair"), request.service, oriented_pairs(state), options.compare, events.compare);
    auto report = verify::repair(context.shared("repair"), std::move(found), options, events);
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
