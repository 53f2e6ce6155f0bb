#include "plan/sync.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/error.hpp"
#include "plan/publication.hpp"
#include "plan/service_role.hpp"
#include "sql/builder.hpp"

namespace pgcarve::plan {

using model::Notice;
using model::Step;
using sql::Sql;

namespace {

// The application's own UPDATE and DELETE fail on a published table without a usable identity.
void judge_identity(std::vector<Notice>& notices, model::Table const& table) {
    if (table.kind == 'p')
        return; // its leaves count
    auto const key = model::usable_key(table);
    auto const refuse = [&](std::string text) {
        notices.push_back({true, table.name.display(), std::move(text), model::identity_statement(table, *key) + "  -- or FULL"});
    };
    if (!key)
        return; // refused as such
    if (!key->immediate) {
        notices.push_back({true, table.name.display(), "has only a deferrable key, which cannot identify rows in a stream",
                           "add a unique index over NOT NULL columns that is not deferrable, and REPLICA IDENTITY USING INDEX"});
        return;
    }
    auto const by = table.replica_identity;
    if (by == 'n')
        refuse("has REPLICA IDENTITY NOTHING: once published, every UPDATE and DELETE of the application would fail");
    else if (by == 'd' && std::ranges::none_of(table.indexes, &model::Index::primary))
        refuse("has no primary key and no REPLICA IDENTITY: once published, every UPDATE and DELETE of the application would fail");
    else if (by == 'i') {
        auto const index = std::ranges::find_if(table.indexes, [](model::Index const& i) { return i.replica_identity; });
        if (index == table.indexes.end())
            refuse("has lost the index of its REPLICA IDENTITY: once published, every UPDATE and DELETE of the application would fail");
        else if (std::ranges::any_of(key->columns, [&](std::string const& c) { return std::ranges::find(index->key_columns, c) == index->key_columns.end(); }))
            refuse(fmt::format("is identified by {}, which does not have the columns of its key {}", index->name, key->index));
    }
    if (table.persistence == 'u')
        notices.push_back({true, table.name.display(), "is unlogged: its changes are not in the log that a stream reads",
                           fmt::format("ALTER TABLE {} SET LOGGED;  -- rewrites it", table.name.quoted())});
}

Step publication_step(std::string id, std::string const& name, std::vector<model::TablePair> const& pairs, int server_version) {
    return {.id = std::move(id), .sql = {create_publication(name, pairs, &model::TablePair::source, server_version)},
            .lock = "SHARE UPDATE EXCLUSIVE on each table", .why = "what the stream carries; made before the slot, which could not read it otherwise",
            .undo = {drop_publication(name)}};
}

} // namespace

// Slots allow few characters; a hash keeps names apart that would become the same.
std::string stream_name(std::string const& service) {
    std::string name;
    bool plain = true;
    for (char const c : service) {
        bool const allowed = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
        name += allowed ? c : '_';
        plain = plain && allowed;
    }
    constexpr std::size_t longest = 40;
    if (name.size() > longest) {
        name.resize(longest);
        plain = false;
    }
    if (plain)
        return "pgcarve_" + name;
    std::uint64_t hash = 14695981039346656037ULL; // FNV-1a
    for (char const c : service)
        hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
    return fmt::format("pgcarve_{}_{:08x}", name, static_cast<std::uint32_t>(hash ^ (hash >> 32)));
}

model::DatabaseSetup database_setup(model::Service const& service, model::Setup const& setup, cutover::Authority authority) {
    if (!service.database)
        throw base::Error{base::Exit::usage, "config", fmt::format("service {} has no database in pgcarve.toml", service.name),
                          fmt::format("add [service.{}.database] with dsn and schema; nothing was touched", service.name)};
    model::DatabaseSetup made{service.database->schema, stream_name(service.name), {}, {}};
    for (auto pair : setup.tables) {
        if (authority != cutover::Authority::shared)
            pair.source = pair.target;
        pair.target = {made.schema, pair.source.name};
        made.tables.push_back(std::move(pair));
    }
    return made;
}

model::Plan plan_sync(model::Service const& service, model::DatabaseSetup const& setup, Sides const& sides) {
    model::Plan plan;
    plan.service = service.name;
    plan.verb = "sync";
    plan.tables = setup.tables;
    auto all = setup.tables;
    all.insert(all.end(), setup.reference.begin(), setup.reference.end());
    for (auto const& pair : all) {
        auto const* const table = sides.source.find(pair.source);
        if (table == nullptr)
            base::bug("a table to stream is missing: " + pair.source.display());
        judge_identity(plan.notices, *table);
    }
    auto target = ddl::plan_target(sides.source, sides.foundation, sides.target, sides.target_foundation, all, setup.schema);
    for (auto& notice : target.notices)
        plan.notices.push_back(std::move(notice));
    for (auto& notice : target_role_notices(service, setup, sides.target))
        plan.notices.push_back(std::move(notice));
    if (auto role = target_role_step(service, sides.target))
        target.pre_load.insert(target.pre_load.begin(), std::move(*role));
    if (auto rights = target_rights_step(service, setup, ddl::sequence_handovers(sides.source, sides.foundation, setup.tables), sides.target))
        target.post_load.push_back(std::move(*rights));

    plan.steps.push_back({.id = "phase:copying", .sql = {}, .lock = "", .why = "what is set up is recorded before it is made", .undo = {}});
    plan.steps.push_back(publication_step("publication", setup.name, setup.tables, sides.source.server_version));
    plan.steps.push_back({.id = "slot", .sql = {}, .lock = "", .why = "from here on the source keeps its log for the stream; waits for the transactions that run now", .undo = {}});
    plan.steps.push_back({.id = "position", .sql = {}, .lock = "", .why = "where the target is in the source's log is kept at the target, with the rows", .undo = {}});
    auto const add = [&](std::vector<Step>& steps) {
        for (auto& step : steps) {
            step.id = "target:" + step.id;
            plan.steps.push_back(std::move(step));
        }
    };
    // Copying makes the keys when it is time; afterwards the steps find them made.
    std::vector<Step> keys;
    std::vector<Step> reference_keys;
    for (auto const& pair : all) {
        auto const at = std::ranges::find(target.pre_load, ddl::late_keys_step(pair.target.name), &Step::id);
        if (at == target.pre_load.end())
            continue;
        (std::ranges::find(setup.tables, pair.target, &model::TablePair::target) != setup.tables.end() ? keys : reference_keys).push_back(std::move(*at));
        target.pre_load.erase(at);
    }
    add(target.pre_load);
    plan.steps.push_back({.id = "copy", .sql = {}, .lock = "", .why = "the rows, in ranges with short snapshots, in turns with the stream", .undo = {}});
    add(keys);
    if (!setup.reference.empty()) { // a slot that nobody reads keeps the log: so not before the long copy
        plan.steps.push_back(publication_step("publication:reference", setup.reference_name(), setup.reference, sides.source.server_version));
        plan.steps.push_back({.id = "slot:reference", .sql = {}, .lock = "", .why = "the reference tables have a stream of their own, which goes on after the cutover", .undo = {}});
        plan.steps.push_back({.id = "position:reference", .sql = {}, .lock = "", .why = "where the target is in the source's log, for the reference tables", .undo = {}});
        plan.steps.push_back({.id = "copy:reference", .sql = {}, .lock = "", .why = "the rows of the reference tables", .undo = {}});
        add(reference_keys);
    }
    add(target.post_load);
    plan.steps.push_back({.id = "target:locks", .sql = {}, .lock = "SHARE ROW EXCLUSIVE on the tables of the other database",
                          .why = "the other database refuses writes that are not the stream's, until the cutover", .undo = {}});
    plan.steps.push_back({.id = "phase:syncing", .sql = {}, .lock = "", .why = "the target has every row, and follows", .undo = {}});
    return plan;
}

model::Plan plan_cancel_sync(std::string const& service, model::DatabaseSetup const& setup, std::vector<Step> const& drop_locks) {
    model::Plan plan;
    plan.service = service;
    plan.verb = "cancel";
    plan.tables = setup.tables;
    plan.steps.push_back({.id = "drop-slot", .sql = {}, .lock = "", .why = "the source keeps its log no longer", .undo = {}});
    plan.steps.push_back({.id = "drop-publication", .sql = {drop_publication(setup.name)},
                          .lock = "ACCESS EXCLUSIVE on the publication alone", .why = "nothing reads it any more", .undo = {}});
    plan.steps.insert(plan.steps.end(), drop_locks.begin(), drop_locks.end());
    if (!setup.reference.empty())
        plan.steps.push_back({.id = "drop-publication:reference", .sql = {drop_publication(setup.reference_name())},
                              .lock = "ACCESS EXCLUSIVE on the publication alone", .why = "nothing reads it any more", .undo = {}});
    plan.steps.push_back({.id = "drop-target", .sql = {}, .lock = "", .why = "what this hop made in the other database goes, the rows with it", .undo = {}});
    return plan;
}

} // namespace pgcarve::plan
