#include "run/proof/database_verification.hpp"

#include <algorithm>
#include <future>

#include <fmt/format.h>

#include "catalog/reader.hpp"
#include "catalog/state.hpp"
#include "run/facts.hpp"
#include "run/proof/across_repair.hpp"
#include "run/proof/continuation.hpp"

namespace pgcarve::run {

using base::Error;
using base::Exit;
using cutover::Phase;
using sql::Sql;

namespace {

// One database: a session, and what its catalog says. Position and state were read before that, so that nothing of what
// it says is younger without its showing.
struct OneSide {
    pg::Session session;
    base::Lsn as_of;
    std::string state;
    model::Catalog catalog;
};

OneSide read_side(pg::SessionSettings const& settings) {
    pg::Session session{settings};
    auto const as_of = base::Lsn::parse(session.one(Sql{"SELECT pg_current_wal_insert_lsn()::text AS lsn"}).text("lsn")).value();
    auto state = catalog::catalog_state(session);
    auto catalog = catalog::read_catalog(session);
    return {std::move(session), as_of, std::move(state), std::move(catalog)};
}

struct Pair {
    Route route;
    OneSide shared;
    OneSide other;
    sync::Mapping mapping;
    std::vector<model::TablePair> roots;
    [[nodiscard]] OneSide& target() { return route.back ? shared : other; }
};

// A comparison may have taken hours meanwhile.
void keep_open(pg::Session& session, pg::SessionSettings const& settings) {
    try {
        session.query(Sql{"SELECT 1"});
    } catch (Error const&) {
        session = pg::Session{settings};
    }
}

Pair open_pair(Context& context, control::ServiceState const& state, std::vector<std::string> const& tables) {
    auto const no = [&](std::string why, std::string hint) { return Error{Exit::not_proven, "not-proven", std::move(why), std::move(hint)}; };
    if (state.phase == Phase::copying)
        throw no(fmt::format("service {} is still being copied", state.name), fmt::format("let `pgcarve sync {}` get to syncing first", state.name));
    bool const back = state.authority == cutover::Authority::database;
    auto made = route(context, state.name, *state.setup->database, back);
    auto reading = std::async(std::launch::async, [&] { return read_side(other_database(context, state.name, "verify")); });
    auto shared = read_side(context.shared("verify"));
    auto other = reading.get();
    if (auto const open = control::Store{shared.session}.open_attempt(state.name); open && open->verb != "verify" && open->verb != "repair")
        throw no(fmt::format("a {} of {} is half done", open->verb, state.name), fmt::format("`pgcarve doctor {}` says how to finish it", state.name));
    auto& leads = back ? other : shared;
    auto mapping = mapping_of(made, leads.session, (back ? shared : other).session, leads.catalog, leads.as_of);
    std::vector<model::TablePair> all;
    std::ranges::copy_if(made.tables, std::back_inserter(all), [](auto const& pair) { return !pair.is_partition; });
    std::vector<model::TablePair> chosen;
    for (auto const i : verify::choose_pairs(tables, all))
        chosen.push_back(all[i]);
    return {std::move(made), std::move(shared), std::move(other), std::move(mapping), std::move(chosen)};
}

// What those have in common that may share one verification: of the same rows, in the same direction, by the same stream.
std::string subject(Pair& pair, control::ServiceState const& state, std::string const& signature, std::string const& where) {
    auto const stream = pair.target().session.maybe_one(Sql{"SELECT system_id::text AS system, timeline::text AS timeline FROM pgcarve.stream WHERE name = "}.bind(pair.route.name));
    auto text = fmt::format("{} {} {} {} {}", cutover::text(state.authority), signature, pair.route.name, stream ? stream->maybe("system").value_or("?") : "?",
                            stream ? stream->maybe("timeline").value_or("?") : "?");
    for (auto const& root : pair.roots)
        text += " " + root.source.quoted();
    return where.empty() ? text : text + " WHERE " + where;
}

// Whether the tables are still what the pair and its signature say.
bool altered(Context& context, control::ServiceState const& state, Pair& pair, std::string const& signature) {
    auto const same = [](OneSide& side, pg::SessionSettings const& settings) {
        keep_open(side.session, settings);
        return catalog::catalog_state(side.session) == side.state;
    };
    auto const settings = other_database(context, state.name, "verify");
    auto looking = std::async(std::launch::async, [&] { return same(pair.other, settings); });
    bool const same_here = same(pair.shared, context.shared("verify"));
    if (looking.get() && same_here)
        return false;
    auto reading = std::async(std::launch::async, [&] { return catalog::read_catalog(pair.other.session); });
    auto const here = catalog::read_catalog(pair.shared.session);
    return database_signature(*state.setup, here, reading.get()) != signature;
}

} // namespace

model::Verification verify_database(Context& context, control::ServiceState const& state, bool incremental, verify::CompareOptions const& options,
                                    verify::CompareEvents const& events) {
    auto pair = open_pair(context, state, options.tables);
    bool const whole = options.tables.empty() && options.where.empty();
    AcrossOptions across;
    across.compare = options;
    across.snapshot_limit = options.snapshot_limit;
    if (!pair.route.back)
        across.scan_dsn = context.map.replica_dsn;
    auto const schemas = database_signature(*state.setup, pair.shared.catalog, pair.other.catalog);
    auto& session = pair.shared.session;
    if (incremental && whole) {
        auto continuation = continue_from_last(session, context, state, schemas);
        across.since = continuation.since;
        across.share = continuation.share;
        across.turns = std::move(continuation.turns);
    }
    // A share is small, and forgotten when it is not finished.
    std::optional<control::VerifyRun> shared;
    if (!across.since)
        across.shared = &shared.emplace(context.shared("verify"), state.name, subject(pair, state, schemas, options.where));
    auto outcome = verify_across(context, pair.route, pair.mapping, pair.roots, across, events);
    auto& verification = outcome.verification;
    if (altered(context, state, pair, schemas))
        throw Error{Exit::not_proven, "not-proven", fmt::format("tables of service {} were altered while they were compared", state.name), "run it again"};
    keep(session, state, shared ? &*shared : nullptr, verification, whole, schemas, outcome.turns);
    if (whole && verification.verdict == model::Verdict::clean)
        sync::prune_touched(pair.target().session, pair.route.name, verification.proven_lsn);
    return verification;
}

verify::RepairReport plan_database_repair(Context& context, control::ServiceState const& state, std::vector<std::string> const& tables,
                                          verify::RepairEvents const& events) {
    auto const pair = open_pair(context, state, tables);
    return plan_across_repair(context, pair.route, pair.mapping, pair.roots, events);
}

verify::RepairReport repair_database(Context& context, control::ServiceState const& state, std::vector<std::string> const& tables,
                                     verify::RepairEvents const& events) {
    auto const pair = open_pair(context, state, tables);
    return repair_across(context, pair.route, pair.mapping, pair.roots, events);
}

} // namespace pgcarve::run
