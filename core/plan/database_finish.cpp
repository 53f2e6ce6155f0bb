#include "plan/database_finish.hpp"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "plan/loose.hpp"
#include "plan/machinery.hpp"
#include "plan/publication.hpp"
#include "plan/reference.hpp"
#include "plan/retire.hpp"
#include "sql/builder.hpp"

namespace pgcarve::plan {

using model::Notice;
using model::Plan;
using model::Setup;
using model::Step;
using sql::QName;
using sql::Sql;

namespace {

void append(std::vector<std::string>& to, std::vector<std::string> const& more) { to.insert(to.end(), more.begin(), more.end()); }

// All that the service has in the shared database: after a schema hop every table twice.
std::vector<QName> old_tables(Setup const& setup, model::Catalog const& shared) {
    std::vector<QName> tables;
    std::set<QName> seen;
    auto const add = [&](QName const& name) {
        if (shared.find(name) != nullptr && seen.insert(name).second)
            tables.push_back(name);
    };
    for (auto const& pair : setup.database->tables)
        add(pair.source);
    for (auto const& pair : setup.tables)
        add(pair.source);
    return tables;
}

bool is_old(std::vector<QName> const& tables, QName const& name) { return std::ranges::find(tables, name) != tables.end(); }

// Where a schema cutover may have left a view.
QName old_name(model::TablePair const& pair) { return {pair.source.schema, pair.target.name}; }

bool is_legacy_view(Setup const& setup, QName const& name) {
    return setup.legacy == model::Legacy::view && std::ranges::any_of(setup.tables, [&](model::TablePair const& pair) { return old_name(pair) == name; });
}

std::vector<Notice> readers(Setup const& setup, model::Catalog const& shared, std::vector<QName> const& tables) {
    static std::set<std::string> const bound{"view", "materialized_view", "function", "rule", "policy", "type"};
    std::vector<Notice> notices;
    std::set<std::string> told;
    for (auto const& d : shared.dependencies) {
        if (!bound.contains(d.kind) || !d.to || !is_old(tables, *d.to) || (d.from && is_old(tables, *d.from)) || is_legacy_view(setup, d.object))
            continue;
        if (d.kind == "type" && d.detail != "the row type of a table")
            continue;
        bool const by_text = d.kind == "function" && !d.certain;
        if (told.insert(d.kind + d.name).second)
            notices.push_back({!by_text, d.name, fmt::format("{} {} reads {}, whose rows are in another database now", d.kind, d.name, d.to->display()),
                               by_text ? "look at its text" : "drop it, or let it read something else"});
    }
    for (auto const& table : shared.tables) {
        for (auto const& key : table.constraints) {
            if (key.type == 'f' && !key.inherited && !is_old(tables, table.name) && is_old(tables, key.referenced))
                notices.push_back({true, table.name.display(), fmt::format("foreign key {} refers to {}, whose rows are in another database now", key.name, key.referenced.display()),
                                   fmt::format("ALTER TABLE {} DROP CONSTRAINT {};", table.name.quoted(), sql::quote_ident(key.name))});
        }
    }
    return notices;
}

Step code_step(std::string id, std::string why) { return {.id = std::move(id), .sql = {}, .lock = "", .why = std::move(why), .undo = {}}; }

// The names under which the old tables are held; those that stand aside already keep theirs.
QName held(Setup const& setup, QName const& table) {
    auto const pair = std::ranges::find(setup.tables, table, &model::TablePair::source);
    return pair == setup.tables.end() ? held_name(table) : retired_name(setup, *pair);
}

} // namespace

std::vector<Step> drop_lock_steps(std::vector<mirrorgen::Machinery> const& locks) {
    std::vector<Step> steps;
    for (auto const& lock : locks) {
        auto const& table = lock.triggers.front().table;
        steps.push_back({.id = "drop-lock:" + table.display(), .sql = mirrorgen::drop(lock), .lock = "ACCESS EXCLUSIVE on " + table.display(),
                         .why = fmt::format("nothing refuses writes to {} any more", table.display()), .undo = {}});
    }
    return steps;
}

Plan plan_complete_database(std::string const& service, Setup const& setup, DatabaseSides const& sides) {
    auto const& database = *setup.database;
    Plan plan{service, "complete", database.tables, {}, {}, {}};
    auto const tables = old_tables(setup, sides.shared);
    plan.notices = readers(setup, sides.shared, tables);
    Step retire{.id = "retire", .sql = {}, .lock = "ACCESS EXCLUSIVE on the old tables",
                .why = "the old tables are renamed and held: from here on there is no way back", .undo = {}};
    std::string locks;
    for (auto const& table : tables)
        locks += (locks.empty() ? "" : ", ") + table.quoted();
    if (!locks.empty())
        retire.sql.push_back(fmt::format("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", locks));
    for (auto const& step : drop_steps(existing_machinery(service, setup, sides.shared)))
        append(retire.sql, step.sql);
    for (auto const& step : drop_lock_steps(shared_locks(service, setup, sides.shared)))
        append(retire.sql, step.sql);
    for (auto const& pair : setup.tables) {
        if (setup.legacy == model::Legacy::view && !pair.is_partition && sides.shared.find(old_name(pair)) == nullptr)
            retire.sql.push_back("DROP VIEW IF EXISTS " + old_name(pair).quoted());
    }
    for (auto const& table : tables) {
        auto const name = held(setup, table);
        if (name != table)
            retire.sql.push_back(fmt::format("ALTER TABLE {} RENAME TO {}", table.quoted(), sql::quote_ident(name.name)));
    }
    plan.steps.push_back(std::move(retire));
    plan.steps.push_back(code_step("drop:back", "the slot of the way back goes: the other database keeps its log no longer"));
    plan.steps.push_back({.id = "drop-publication", .sql = {drop_publication(database.name)}, .lock = "ACCESS EXCLUSIVE on the publication alone",
                          .why = "nothing reads it any more", .undo = {}});
    plan.steps.push_back({.id = "other:drop-publication", .sql = {drop_publication(database.back_name())}, .lock = "ACCESS EXCLUSIVE on the publication alone",
                          .why = "nothing reads it any more", .undo = {}});
    for (auto& step : drop_lock_steps(other_locks(service, setup, sides.other))) {
        step.id = "other:" + step.id;
        plan.steps.push_back(std::move(step));
    }
    if (!database.reference.empty()) {
        plan.steps.push_back(code_step("drop:reference", "nothing feeds the reference tables any more: they become ordinary ones"));
        plan.steps.push_back({.id = "drop-publication:reference", .sql = {drop_publication(database.reference_name())},
                              .lock = "ACCESS EXCLUSIVE on the publication alone", .why = "nothing reads it any more", .undo = {}});
        for (auto& step : drop_lock_steps(reference_locks(database, sides.other))) {
            step.id = "other:" + step.id;
            plan.steps.push_back(std::move(step));
        }
    }
    auto const loose = loose_keys(setup, database.severed);
    for (auto& step : loose_remove_steps(service, loose, sides.shared, sides.other))
        plan.steps.push_back(std::move(step));
    if (!loose.empty())
        plan.steps.push_back(code_step("drain:loose", "what is noted still is worked off; from here on the application looks after these keys"));
    plan.steps.push_back(code_step("forget", "what the other database kept of the stream goes; the service's tables are its own"));
    return plan;
}

Plan plan_purge_database(std::string const& service, Setup const& setup, model::Catalog const& shared) {
    Plan plan{service, "purge", setup.database->tables, {}, {}, {}};
    std::string tables;
    std::set<QName> seen;
    auto const add = [&](model::TablePair const& pair) {
        auto const name = held_name(pair.source);
        if (!pair.is_partition && shared.find(name) != nullptr && seen.insert(name).second)
            tables += (tables.empty() ? "" : ", ") + name.quoted();
    };
    std::ranges::for_each(setup.database->tables, add);
    std::ranges::for_each(setup.tables, add);
    if (!tables.empty())
        plan.steps.push_back({"drop:held", {"DROP TABLE " + tables}, "ACCESS EXCLUSIVE on the held tables", "the held tables are dropped for good", {}});
    if (setup.created_schema)
        plan.steps.push_back({"drop:schema",
                              {fmt::format("DO {}", sql::literal(fmt::format("BEGIN DROP SCHEMA IF EXISTS {}; EXCEPTION WHEN dependent_objects_still_exist THEN NULL; END",
                                                                             sql::quote_ident(setup.schema))))},
                              "", fmt::format("schema {}, which `split` made, is dropped when nothing else is in it", setup.schema), {}});
    return plan;
}

} // namespace pgcarve::plan
