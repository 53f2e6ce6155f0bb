#include "run/database_verification.hpp"

#include <algorithm>
#include <future>

#include <fmt/format.h>

#include "catalog/reader.hpp"
#include "run/across_repair.hpp"
#include "run/facts.hpp"

namespace pgcarve::run {

using base::Error;
using base::Exit;
using cutover::Phase;
using sql::Sql;

namespace {

// Rows are to be compared within the window; the share is counted on less of it, so that a late night does no harm.
constexpr double part_of_window = 0.8;

struct Pair {
    Route route;
    sync::Mapping mapping;
    std::vector<model::TablePair> roots;
};

Pair open_pair(Context& context, control::ServiceState const& state, std::vector<std::string> const& tables) {
    auto const no = [&](std::string why, std::string hint) { return Error{Exit::not_proven, "not-proven", std::move(why), std::move(hint)}; };
    if (state.phase == Phase::copying)
        throw no(fmt::format("service {} is still being copied", state.name), fmt::format("let `pgcarve sync {}` get to syncing first", state.name));
    pg::Session shared{context.shared("verify")};
    if (auto const open = control::Store{shared}.open_attempt(state.name); open && open->verb != "verify" && open->verb != "repair")
        throw no(fmt::format("a {} of {} is half done", open->verb, state.name), fmt::format("`pgcarve doctor {}` says how to finish it", state.name));
    bool const back = state.authority == cutover::Authority::database;
    auto made = route(context, state.name, *state.setup->database, back);
    pg::Session source{made.source("verify")};
    auto mapping = read_mapping(made, source);
    std::vector<model::TablePair> all;
    std::ranges::copy_if(made.tables, std::back_inserter(all), [](auto const& pair) { return !pair.is_partition; });
    std::vector<model::TablePair> chosen;
    for (auto const i : verify::choose_pairs(tables, all))
        chosen.push_back(all[i]);
    return {std::move(made), std::move(mapping), std::move(chosen)};
}

// What those have in common that may share one verification: of the same rows, in the same direction, by the same stream.
std::string subject(Pair const& pair, control::ServiceState const& state, std::string const& signature, std::string const& where) {
    pg::Session target{pair.route.target("verify")};
    auto const stream = target.maybe_one(Sql{"SELECT system_id::text AS system, timeline::text AS timeline FROM pgcarve.stream WHERE name = "}.bind(pair.route.name));
    auto text = fmt::format("{} {} {} {} {}", cutover::text(state.authority), signature, pair.route.name, stream ? stream->maybe("system").value_or("?") : "?",
                            stream ? stream->maybe("timeline").value_or("?") : "?");
    for (auto const& root : pair.roots)
        text += " " + root.source.quoted();
    return where.empty() ? text : text + " WHERE " + where;
}

std::string signature(Context& context, control::ServiceState const& state) {
    auto const settings = other_database(context, state.name, "verify");
    auto there = std::async(std::launch::async, [&] {
        pg::Session other{settings};
        return catalog::read_catalog(other);
    });
    pg::Session shared{context.shared("verify")};
    auto const here = catalog::read_catalog(shared);
    return database_signature(*state.setup, here, there.get());
}

// The last verification of the whole service, when it was clean and of what the service is now.
void continue_from_last(pg::Session& session, Context& context, control::ServiceState const& state, std::string const& signature, AcrossOptions& options) {
    auto const authority = std::string{cutover::text(state.authority)};
    auto const last = session.maybe_one(Sql{"SELECT verdict, authority, signature, proven_lsn::text AS lsn,"
                                            " extract(epoch FROM clock_timestamp() - proven_at)::float8 AS age FROM pgcarve.verification"
                                            " WHERE whole AND verdict <> 'incomplete' AND service = "}
                                            .bind(state.name)
                                            .add(" ORDER BY id DESC LIMIT 1"));
    if (!last || last->text("verdict") != "clean" || last->text("authority") != authority || last->text("signature") != signature || !last->maybe("lsn"))
        return;
    options.since = base::Lsn::parse(last->text("lsn"));
    double const window = static_cast<double>(context.service(state.name).limits.window.count()) / 1000.0;
    options.share = window <= 0 ? 1.0 : std::min(1.0, std::max(last->real("age"), 1.0) / (part_of_window * window));
    if (options.share >= 1.0) { // every row's turn has come
        options.since.reset();
        return;
    }
    for (auto const row : session.query(Sql{"SELECT source_table, next FROM pgcarve.verification_turn WHERE service = "}
                                            .bind(state.name)
                                            .add(" AND authority = ")
                                            .bind(authority)))
        options.turns[row.text("source_table")] = row.text("next");
}

void keep_turns(pg::Session& session, control::ServiceState const& state, std::map<std::string, std::string> const& turns) {
    for (auto const& [table, next] : turns)
        session.query(Sql{"INSERT INTO pgcarve.verification_turn (service, authority, source_table, next) VALUES ("}
                          .bind(state.name)
                          .add(", ")
                          .bind(std::string{cutover::text(state.authority)})
                          .add(", ")
                          .bind(table)
                          .add(", ")
                          .bind(next)
                          .add(") ON CONFLICT (service, authority, source_table) DO UPDATE SET next = EXCLUDED.next"));
}

} // namespace

model::Verification verify_database(Context& context, control::ServiceState const& state, bool incremental, verify::CompareOptions const& options,
                                    verify::CompareEvents const& events) {
    auto const pair = open_pair(context, state, options.tables);
    bool const whole = options.tables.empty() && options.where.empty();
    AcrossOptions across;
    across.compare = options;
    if (!pair.route.back)
        across.scan_dsn = context.map.replica_dsn;
    auto const schemas = signature(context, state);
    pg::Session session{context.shared("verify")};
    if (incremental && whole)
        continue_from_last(session, context, state, schemas, across);
    // A share is small, and forgotten when it is not finished.
    std::optional<control::VerifyRun> shared;
    if (!across.since)
        across.shared = &shared.emplace(context.shared("verify"), state.name, subject(pair, state, schemas, options.where));
    auto outcome = verify_across(context, pair.route, pair.mapping, pair.roots, across, events);
    auto& verification = outcome.verification;
    if (signature(context, state) != schemas)
        throw Error{Exit::not_proven, "not-proven", fmt::format("tables of service {} were altered while they were compared", state.name), "run it again"};
    if (!session.alive())
        session = pg::Session{context.shared("verify")};
    // What several processes proved together counts once.
    bool recorded = false;
    auto const record = [&] {
        recorded = true;
        return control::Store{session}.record(verification, whole, std::string{cutover::text(state.authority)}, schemas);
    };
    if (shared && verification.verdict != model::Verdict::incomplete)
        verification.id = shared->finish(record);
    if (!recorded && (!shared || verification.verdict != model::Verdict::clean))
        verification.id = record();
    keep_turns(session, state, outcome.turns);
    if (whole && verification.verdict == model::Verdict::clean) {
        pg::Session target{pair.route.target("verify")};
        sync::prune_touched(target, pair.route.name, verification.proven_lsn);
    }
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
