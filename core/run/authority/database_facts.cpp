#include "run/authority/database_facts.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "plan/database.hpp"
#include "run/authority/move_parts.hpp"
#include "run/crossings.hpp"
#include "run/facts.hpp"
#include "run/stream/target.hpp"

namespace pgcarve::run {

using base::Millis;
using cutover::Authority;
using sql::Sql;

namespace {

// Of the statements of both sides and the commits, apart from the drain and the lock; measured on two slow cores.
constexpr double milliseconds_per_table = 8.0;
constexpr double milliseconds_at_least = 60.0;
constexpr double longest_lock_wait_ms = 400.0; // run/authority/switch.cpp never lets writers queue longer in one try

model::Setup of_pairs(model::Setup setup, std::vector<model::TablePair> const& pairs) {
    setup.tables = pairs;
    setup.schema = setup.database->schema;
    return setup;
}

std::vector<std::string> names_of(std::vector<model::TablePair> const& pairs, sql::QName model::TablePair::*side) {
    std::vector<std::string> names;
    for (auto const& pair : pairs)
        names.push_back((pair.*side).quoted());
    return names;
}

// What the side that takes over must be able to do, so that the stream can come back.
std::vector<std::string> source_lacks(pg::Session& session, model::Catalog const& catalog, std::vector<sql::QName> const& tables,
                                      std::string const& where, std::string const& own_slot) {
    std::vector<std::string> lacks;
    auto const row = session.one(
        Sql{"SELECT current_setting('wal_level') AS wal_level, current_setting('max_replication_slots')::int AS slots,"
            " (SELECT count(*)::int FROM pg_replication_slots WHERE slot_name <> "}
            .bind(own_slot)
            .add(") AS used, (SELECT rolsuper OR rolreplication FROM pg_roles WHERE rolname = current_user)"
                 " OR EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_replication' AND pg_has_role(current_user, oid, 'USAGE')) AS may"));
    if (row.text("wal_level") != "logical")
        lacks.push_back(fmt::format("wal_level of {} is {}: ALTER SYSTEM SET wal_level = 'logical', then restart it", where, row.text("wal_level")));
    if (row.integer("used") >= row.integer("slots"))
        lacks.push_back(fmt::format("{} has no free replication slot: raise max_replication_slots", where));
    if (!row.boolean("may"))
        lacks.push_back(fmt::format("the role that pgcarve uses in {} lacks REPLICATION", where));
    for (auto const& name : tables) {
        auto const* const table = catalog.find(name);
        if (table == nullptr)
            lacks.push_back(fmt::format("table {} is not in {} any more", name.display(), where));
        else if (table->kind != 'p' && table->replica_identity == 'n')
            lacks.push_back(fmt::format("table {} in {} has REPLICA IDENTITY NOTHING", name.display(), where));
    }
    return lacks;
}

// The switch alters these: behind its point of no return it must not meet a table of somebody else.
std::vector<std::string> not_owned(pg::Session& session, std::vector<std::string> const& quoted, std::string const& where) {
    std::vector<std::string> found;
    for (auto const row : session.query(Sql{"SELECT c.oid::regclass::text AS name, quote_ident(r.rolname) AS owner, quote_ident(current_user) AS role"
                                            " FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner WHERE NOT pg_has_role(c.relowner, 'USAGE') AND c.oid IN"
                                            " (SELECT to_regclass(t)::oid FROM unnest("}
                                            .bind(pg::format_array(quoted))
                                            .add("::text[]) AS t) ORDER BY 1")))
        found.push_back(fmt::format("table {} in {} belongs to {}: GRANT {} TO {}", row.text("name"), where, row.text("owner"), row.text("owner"), row.text("role")));
    return found;
}

std::vector<std::string> complaint(std::function<void()> const& look) {
    try {
        look();
        return {};
    } catch (base::Error const& e) {
        if (e.exit() != base::Exit::needs_decision)
            throw;
        return {e.message()};
    }
}

Millis predicted(StreamLag const& lag, Millis writer_age, std::size_t roots) {
    auto const wait = std::min(static_cast<double>(writer_age.count()), longest_lock_wait_ms);
    return Millis{static_cast<long long>(milliseconds_at_least + milliseconds_per_table * static_cast<double>(roots) + wait)} + *lag.drain;
}

} // namespace

std::vector<std::string> write_lock_drift(DatabaseView const& view) {
    std::vector<std::string> found;
    auto const& setup = *view.state.setup;
    bool const there_live = view.state.authority == Authority::database;
    auto const look = [&](pg::Session& session, std::vector<mirrorgen::Machinery> const& locks, bool armed) {
        for (auto const& lock : locks) {
            auto const differences = mirrorgen::drift(lock, armed, read_installed(session, lock));
            found.insert(found.end(), differences.begin(), differences.end());
        }
    };
    look(view.other, plan::other_locks(view.state.name, setup, view.other_catalog), !there_live);
    if (there_live) // before the first cutover there are none
        look(view.shared, plan::shared_locks(view.state.name, setup, view.shared_catalog), true);
    return found;
}

cutover::GateFacts database_facts(Context const& context, DatabaseView const& view, StreamLag const& lag, bool rollback) {
    auto const& state = view.state;
    auto const& setup = *state.setup;
    auto const& pairs = setup.database->tables;
    cutover::GateFacts facts;
    facts.service = state.name;
    auto const history = control::Store{view.shared}.history(state.name, database_signature(setup, view.shared_catalog, view.other_catalog));
    facts.window_elapsed = history.agreed_for;
    facts.clean_runs = history.clean_runs;
    facts.verification_known = true;
    facts.last_verification = history.last;
    facts.unresolved_findings = history.unresolved;
    auto const forth = route(context, state.name, *setup.database, rollback);
    auto& source = rollback ? view.other : view.shared;
    facts.drift = complaint([&] { (void)read_mapping(forth, source); });
    if (facts.drift->empty())
        facts.drift = write_lock_drift(view);
    if (!rollback)
        crossing_facts(context, view.shared, state, view.shared_catalog, facts);
    facts.unreadable_sequences = unreadable_sequences(view.shared, of_pairs(setup, pairs));
    auto const there = unreadable_sequences(view.other, of_pairs(setup, plan::turned(pairs)));
    facts.unreadable_sequences->insert(facts.unreadable_sequences->end(), there.begin(), there.end());
    facts.role_lacks = setup.role && !rollback ? role_lacks(view.other, *setup.role, of_pairs(setup, pairs)) : std::vector<std::string>{};
    std::vector<sql::QName> takes_over;
    for (auto const& pair : pairs)
        takes_over.push_back(rollback ? pair.source : pair.target);
    facts.reverse_lacks = rollback ? source_lacks(view.shared, view.shared_catalog, takes_over, "the shared database", setup.database->name)
                                   : source_lacks(view.other, view.other_catalog, takes_over, "the other database", setup.database->back_name());
    auto here = names_of(pairs, &model::TablePair::source);
    for (auto const& crossing : plan::crossing_keys(setup, view.shared_catalog))
        here.push_back(crossing.key.child.quoted());
    for (auto const& key : setup.database->severed)
        here.push_back(key.child.quoted());
    for (auto const& complaints : {not_owned(view.shared, here, "the shared database"),
                                   not_owned(view.other, names_of(pairs, &model::TablePair::target), "the other database")})
        facts.reverse_lacks->insert(facts.reverse_lacks->end(), complaints.begin(), complaints.end());
    facts.lag = lag.behind;
    facts.lag_growing = lag.growing;
    facts.slot_problem = lag.slot_problem;
    auto const written = names_of(pairs, rollback ? &model::TablePair::target : &model::TablePair::source);
    if (auto const writer = oldest_writer(source, written)) {
        facts.oldest_transaction = writer->description;
        facts.oldest_transaction_age = writer->age;
        auto const roots = static_cast<std::size_t>(std::ranges::count_if(pairs, [](auto const& pair) { return !pair.is_partition; }));
        if (lag.drain)
            facts.predicted_write_block = predicted(lag, writer->age, roots);
    }
    return facts;
}

model::Gate judge_database(Context const& context, DatabaseView const& view, StreamLag const& lag, bool rollback,
                           std::map<std::string, std::string> const& overrides, cutover::GateFacts* facts) {
    cutover::GateQuestion question;
    question.hop = cutover::Hop::database;
    question.rollback = rollback;
    question.limits = limits_of(context, view.state.name);
    question.overrides = overrides;
    auto const found = database_facts(context, view, lag, rollback);
    if (facts != nullptr)
        *facts = found;
    return evaluate(question, found);
}

} // namespace pgcarve::run
