#include "plan/database.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "base/error.hpp"
#include "ddl/target.hpp"
#include "plan/loose.hpp"
#include "plan/merge.hpp"
#include "plan/publication.hpp"
#include "plan/retire.hpp"
#include "sql/builder.hpp"

namespace pgcarve::plan {

using model::Catalog;
using model::Plan;
using model::Setup;
using model::Step;
using model::TablePair;
using sql::QName;
using sql::Sql;
using Statements = std::vector<std::string>;

namespace {

void append(Statements& to, Statements const& more) { to.insert(to.end(), more.begin(), more.end()); }

model::Table const& known(Catalog const& catalog, QName const& name) {
    auto const* const table = catalog.find(name);
    if (table == nullptr)
        throw base::Error{base::Exit::needs_decision, "table-gone", fmt::format("table {} is not there any more", name.display()),
                          "it was dropped or renamed under the sync: rename it back"};
    return *table;
}

// A write that changes nothing, made as the stream will make it, and taken back at once.
void canaries(Statements& out, std::vector<TablePair> const& pairs, Catalog const& catalog) {
    out.emplace_back("SAVEPOINT pgcarve_canary");
    out.emplace_back("SET LOCAL pgcarve.mirror = 'on'");
    for (auto const& pair : pairs) {
        auto const& table = known(catalog, pair.source);
        auto const settable = std::ranges::find_if(table.columns, [&](model::Column const& c) {
            return c.generated == 0 && c.identity != 'a' && std::ranges::find(pair.key, c.name) == pair.key.end();
        });
        if (pair.is_partition || settable == table.columns.end())
            continue;
        std::string key;
        for (auto const& name : pair.key)
            key += (key.empty() ? "" : ", ") + sql::quote_ident(name);
        out.push_back(fmt::format("UPDATE {0} SET {1} = {1} WHERE ({2}) IN (SELECT {2} FROM {0} LIMIT 1)", pair.source.quoted(),
                                  sql::quote_ident(settable->name), key));
    }
    out.emplace_back("ROLLBACK TO SAVEPOINT pgcarve_canary");
}

std::string notify(std::string const& service, char const* phase) {
    return fmt::format("SELECT pg_catalog.pg_notify('pgcarve', {})", sql::literal(service + " " + phase));
}

std::vector<mirrorgen::Machinery> locks(Catalog const& catalog, std::vector<QName> const& roots, auto const& message, std::string const& hint) {
    std::vector<mirrorgen::Machinery> all;
    for (auto const& name : roots)
        all.push_back(mirrorgen::write_lock(mirrorgen::write_lock_of(known(catalog, name), catalog, message(name), hint)));
    return all;
}

std::vector<QName> roots_of(std::vector<TablePair> const& pairs, QName TablePair::*side) {
    std::vector<QName> roots;
    for (auto const& pair : pairs) {
        if (!pair.is_partition)
            roots.push_back(pair.*side);
    }
    return roots;
}

Statements all_of(std::vector<mirrorgen::Machinery> const& machinery, auto const& what) {
    Statements out;
    for (auto const& one : machinery)
        append(out, what(one));
    return out;
}

std::vector<Step> at_other(std::vector<Step> steps) {
    for (auto& step : steps)
        step.id = "other:" + step.id;
    return steps;
}

void add_steps(Plan& plan, std::vector<Step> steps) {
    for (auto& step : steps)
        plan.steps.push_back(std::move(step));
}

Step code_step(std::string id, std::string why) { return {.id = std::move(id), .sql = {}, .lock = "", .why = std::move(why), .undo = {}}; }

} // namespace

std::string record_authority(model::DatabaseSetup const& database, std::string const& service, cutover::Authority authority) {
    return fmt::format("INSERT INTO pgcarve.authority (stream, service, authority) VALUES ({}, {}, {}) ON CONFLICT (stream) DO UPDATE"
                       " SET authority = EXCLUDED.authority, since = pg_catalog.clock_timestamp()",
                       sql::literal(database.name), sql::literal(service), sql::literal(std::string{cutover::text(authority)}));
}

std::vector<TablePair> turned(std::vector<TablePair> pairs) {
    for (auto& pair : pairs)
        std::swap(pair.source, pair.target);
    return pairs;
}

std::vector<CrossingKey> crossing_keys(Setup const& setup, Catalog const& shared) {
    // A service that took the schema hop first has its tables twice in the shared database.
    std::map<QName, QName> original;
    for (auto const& pair : setup.tables) {
        original.emplace(pair.source, pair.source);
        original.emplace(held_name(pair.source), pair.source); // while a view stands at its name
        original.emplace(pair.target, pair.source);
    }
    for (auto const& pair : setup.database->tables)
        original.emplace(pair.source, pair.source);
    auto const name_of = [&](QName const& name) {
        auto const at = original.find(name);
        return at == original.end() ? name : at->second;
    };
    std::vector<CrossingKey> found;
    for (auto const& table : shared.tables) {
        for (auto const& constraint : table.constraints) {
            if (constraint.type == 'f' && !constraint.inherited && original.contains(table.name) != original.contains(constraint.referenced))
                found.push_back({severed_key(table.name, constraint, original.contains(constraint.referenced)), &constraint, name_of(table.name),
                                 name_of(constraint.referenced)});
        }
    }
    return found;
}

std::vector<mirrorgen::Machinery> shared_locks(std::string const& service, Setup const& setup, Catalog const& shared) {
    return locks(shared, roots_of(setup.database->tables, &TablePair::source),
                 [&](QName const& name) { return fmt::format("table {} moved to service {}", name.quoted(), service); },
                 fmt::format("write to schema {} of the service's own database", sql::display_ident(setup.database->schema)));
}

std::vector<mirrorgen::Machinery> other_locks(std::string const& service, Setup const& setup, Catalog const& other) {
    return locks(other, roots_of(setup.database->tables, &TablePair::target),
                 [&](QName const& name) { return fmt::format("table {} is not in use yet: service {} is fed from the shared database", name.quoted(), service); },
                 "write to the shared database until the cutover");
}

Plan plan_database_cutover(std::string const& service, Setup const& setup, DatabaseSides const& sides, std::vector<model::SeveredKey> const& severed) {
    auto const& database = *setup.database;
    auto const& pairs = database.tables;
    Plan plan{service, "cutover", pairs, {}, {}, {}};
    plan.steps.push_back({.id = "other:publication",
                          .sql = {drop_publication(database.back_name()), create_publication(database.back_name(), pairs, &TablePair::target, sides.other.server_version)},
                          .lock = "SHARE UPDATE EXCLUSIVE on each table of the other database",
                          .why = "what the stream will carry back",
                          .undo = {drop_publication(database.back_name())}});
    auto const here = shared_locks(service, setup, sides.shared);
    auto const there = other_locks(service, setup, sides.other);
    for (auto const& lock : here)
        plan.steps.push_back({.id = "lock:" + lock.triggers.front().table.display(),
                              .sql = mirrorgen::install(lock, false),
                              .lock = "SHARE ROW EXCLUSIVE on " + lock.triggers.front().table.display(),
                              .why = fmt::format("what will refuse writes to {}, disarmed; it stays so when the cutover is undone", lock.triggers.front().table.display()),
                              .undo = {}});
    plan.steps.push_back(code_step("make:back", "the way back can begin the moment the authority moves; waits for the transactions that run in the other database"));

    add_steps(plan, loose_install_steps(service, loose_keys(setup, severed), sides.shared, sides.other));

    Step move{.id = "switch", .sql = {}, .lock = "SHARE ROW EXCLUSIVE on the service's tables, for milliseconds: readers go on",
              .why = "writers wait; what they committed is applied; the other database becomes the authority", .undo = {}};
    append(move.sql, merged(ddl::disarm_triggers(sides.shared, pairs, false)));
    append(move.sql, all_of(here, mirrorgen::enable));
    canaries(move.sql, pairs, sides.shared);
    move.sql.push_back(notify(service, "database_live"));
    plan.steps.push_back(std::move(move));

    auto keys = ddl::foreign_key_steps(sides.shared, sides.other, pairs);
    Step open{.id = "other:open", .sql = {}, .lock = "SHARE ROW EXCLUSIVE on the tables of the other database, which nobody writes yet",
              .why = "the other database takes writes: its triggers and foreign keys hold from here on", .undo = {}};
    append(open.sql, merged(ddl::arm_triggers(sides.shared, pairs, true)));
    append(open.sql, ddl::force_row_security(sides.shared, pairs, true));
    append(open.sql, keys.add);
    append(open.sql, all_of(there, mirrorgen::disable));
    open.sql.push_back(record_authority(database, service, cutover::Authority::database));
    open.sql.push_back(notify(service, "database_live"));
    plan.steps.push_back(std::move(open));
    plan.steps.push_back(code_step("hook:on_cutover", "runs the operator's hook, if there is one"));
    add_steps(plan, at_other(std::move(keys.validate)));
    // Before the stream comes back: a follower's keys would judge the order of arrival.
    for (auto const& key : severed)
        plan.steps.push_back({.id = fmt::format("sever:{}.{}", key.child.display(), sql::display_ident(key.name)),
                              .sql = {fmt::format("ALTER TABLE IF EXISTS {} DROP CONSTRAINT IF EXISTS {}", key.child.quoted(), sql::quote_ident(key.name))},
                              .lock = "ACCESS EXCLUSIVE on " + key.child.display() + " and on what it refers to",
                              .why = "two databases cannot hold a foreign key; `rollback` makes it again",
                              .undo = {}});
    auto identity = pairs;
    for (auto& pair : identity)
        pair.target = pair.source;
    add_steps(plan, ddl::foreign_keys_inside(sides.shared, identity).drop_each);
    plan.steps.push_back(code_step("drop:forward", "the former direction's slot keeps the shared database's log no longer"));
    return plan;
}

Plan plan_database_rollback(std::string const& service, Setup const& setup, DatabaseSides const& sides) {
    auto const& database = *setup.database;
    auto const& pairs = database.tables;
    auto const back = turned(pairs);
    Plan plan{service, "rollback", pairs, {}, {}, {}};
    plan.steps.push_back(code_step("make:forward", "the stream can begin again the moment the authority moves; waits for the transactions that run in the shared database"));
    auto const here = shared_locks(service, setup, sides.shared);
    auto const there = other_locks(service, setup, sides.other);

    Step close{.id = "other:close", .sql = {}, .lock = "SHARE ROW EXCLUSIVE on the tables of the other database, for milliseconds: readers go on",
               .why = "writers there wait; what they committed is applied in the shared database; then the other database refuses writes", .undo = {}};
    append(close.sql, merged(ddl::disarm_triggers(sides.other, pairs, true)));
    append(close.sql, ddl::force_row_security(sides.shared, pairs, false));
    append(close.sql, all_of(there, mirrorgen::enable));
    canaries(close.sql, back, sides.other);
    close.sql.push_back(record_authority(database, service, cutover::Authority::shared));
    close.sql.push_back(notify(service, "syncing"));
    plan.steps.push_back(std::move(close));

    auto keys = ddl::foreign_key_steps(sides.other, sides.shared, back);
    Step move{.id = "switch", .sql = {}, .lock = "SHARE ROW EXCLUSIVE on the service's tables, which nobody writes",
              .why = "the shared database is the authority again", .undo = {}};
    append(move.sql, merged(ddl::arm_triggers(sides.other, back, true)));
    append(move.sql, keys.add);
    append(move.sql, all_of(here, mirrorgen::disable));
    move.sql.push_back(notify(service, "syncing"));
    plan.steps.push_back(std::move(move));
    plan.steps.push_back(code_step("hook:on_rollback", "runs the operator's hook, if there is one"));
    add_steps(plan, std::move(keys.validate));
    auto const name = [](model::SeveredKey const& key) { return fmt::format("{}.{}", key.child.display(), sql::display_ident(key.name)); };
    // A partitioned table cannot have a key that is NOT VALID before version 18: there it is proven at once.
    auto const proven = [&](model::SeveredKey const& key) {
        auto const* const child = sides.shared.find(key.child);
        return !key.definition.ends_with(" NOT VALID") && (child == nullptr || child->kind != 'p');
    };
    for (auto const& key : database.severed)
        plan.steps.push_back({.id = "join-again:" + name(key),
                              .sql = {fmt::format("ALTER TABLE {} ADD CONSTRAINT {} {}{}", key.child.quoted(), sql::quote_ident(key.name), key.definition,
                                                  proven(key) ? " NOT VALID" : "")},
                              .lock = "SHARE ROW EXCLUSIVE on " + key.child.display() + " and on what it refers to",
                              .why = "the foreign key that the cutover severed holds again for what is written from here on",
                              .undo = {}});
    auto const loose = loose_keys(setup, database.severed);
    add_steps(plan, loose_remove_steps(service, loose, sides.shared, sides.other));
    if (!loose.empty())
        plan.steps.push_back(code_step("drain:loose", "what is noted still is worked off, since the keys are real again"));
    for (auto const& key : database.severed) {
        if (proven(key))
            plan.steps.push_back(code_step("prove-again:" + name(key), "every row is held against it; rows that have lost their parent meanwhile are named"));
    }
    auto identity = pairs;
    for (auto& pair : identity)
        pair.source = pair.target;
    add_steps(plan, at_other(ddl::foreign_keys_inside(sides.other, identity).drop_each));
    plan.steps.push_back(code_step("drop:back", "the former direction's slot keeps the other database's log no longer"));
    plan.steps.push_back({.id = "other:drop-publication", .sql = {drop_publication(database.back_name())},
                          .lock = "ACCESS EXCLUSIVE on the publication alone", .why = "nothing reads it any more", .undo = {}});
    return plan;
}

std::vector<QName> database_tables_to_lock(model::DatabaseSetup const& setup, Catalog const& catalog, bool other_side) {
    auto const side = other_side ? &TablePair::target : &TablePair::source;
    auto const roots = roots_of(setup.tables, side);
    std::vector<QName> tables;
    std::set<QName> seen;
    auto const parents_first = [&](auto const& self, QName const& name) -> void {
        auto const* const table = catalog.find(name);
        if (table == nullptr || !seen.insert(name).second)
            return;
        for (auto const& constraint : table->constraints) {
            if (constraint.type == 'f' && std::ranges::find(roots, constraint.referenced) != roots.end())
                self(self, constraint.referenced);
        }
        tables.push_back(name);
    };
    for (auto const& root : roots)
        parents_first(parents_first, root);
    return tables;
}

} // namespace pgcarve::plan
