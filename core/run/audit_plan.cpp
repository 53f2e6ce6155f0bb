#include "run/audit_plan.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/error.hpp"
#include "mirrorgen/spec.hpp"

namespace pgcarve::run {

using audit::Side;
using base::Error;
using base::Exit;

namespace {

// The columns by which the log tells a row of the table; empty: updates and deletes of a published table would fail.
std::vector<std::string> identity_of(model::Table const& table) {
    std::vector<std::string> columns;
    if (table.replica_identity == 'f') {
        for (auto const& column : table.columns)
            columns.push_back(column.name);
        return columns;
    }
    for (auto const& index : table.indexes) {
        bool const chosen = table.replica_identity == 'i' ? index.replica_identity : table.replica_identity == 'd' && index.primary;
        if (chosen)
            return index.key_columns;
    }
    return columns;
}

void judge_identity(model::Table const& table, std::vector<std::string> const& key, std::vector<std::string>& problems) {
    auto const identity = identity_of(table);
    auto const mend = model::identity_statement(table, *model::usable_key(table)) + "  -- or FULL";
    if (identity.empty())
        problems.push_back(fmt::format("{} has no replica identity: once published, every UPDATE and DELETE of the application would fail: {}", table.name.display(), mend));
    else if (!std::ranges::all_of(key, [&](std::string const& c) { return std::ranges::find(identity, c) != identity.end(); }))
        problems.push_back(fmt::format("{} is identified by other columns than its key: {}", table.name.display(), mend));
    if (table.persistence == 'u')
        problems.push_back(fmt::format("{} is unlogged: its changes are not in the log: ALTER TABLE {} SET LOGGED;", table.name.display(), table.name.quoted()));
}

model::Table const& existing(model::Catalog const& catalog, sql::QName const& name) {
    auto const* const table = catalog.find(name);
    if (table == nullptr)
        throw Error{Exit::needs_decision, "schema-changed", fmt::format("table {} is not there any more", name.display()), "rename it back, or look with `pgcarve doctor`"};
    return *table;
}

} // namespace

audit::Plan plan_audit(std::string const& service, model::Setup const& setup, model::Catalog const& catalog) {
    audit::Plan plan;
    std::vector<std::string> problems;
    for (auto const& pair : setup.tables) {
        if (pair.is_partition)
            continue;
        std::array const tables{&existing(catalog, pair.source), &existing(catalog, pair.target)};
        for (auto const* const table : tables) {
            if (!model::usable_key(*table))
                throw Error{Exit::needs_decision, "schema-changed", fmt::format("table {} has lost its key", table->name.display()), "give it a primary key again, then audit again"};
        }
        auto const spec = mirrorgen::make_spec(service, mirrorgen::Direction::forward, *tables[0], *tables[1], catalog);
        audit::TablePlan made{{pair.source, pair.target}, {tables[0]->oid, tables[1]->oid}, {}, {}};
        std::vector<std::string> key;
        for (auto const& column : spec.key) {
            made.key.push_back({column.name, tables[0]->column(column.name)->type, column.equals});
            key.push_back(column.name);
        }
        for (auto const& name : spec.columns) {
            auto const* const there = tables[1]->column(name);
            if (std::ranges::find(key, name) == key.end() && there != nullptr && there->generated == 0)
                made.columns.push_back(name);
        }
        auto const number = static_cast<std::uint32_t>(plan.tables.size());
        for (auto const side : audit::both) {
            auto const& root = *tables[audit::index(side)];
            plan.homes[root.oid.value] = {number, side, true};
            if (root.kind != 'p')
                judge_identity(root, key, problems);
            for (auto const* const partition : catalog.partitions(root)) {
                plan.homes[partition->oid.value] = {number, side, false};
                if (partition->kind != 'p')
                    judge_identity(*partition, key, problems);
            }
        }
        plan.tables.push_back(std::move(made));
    }
    if (!problems.empty()) {
        Error error{Exit::needs_decision, "identity", fmt::format("the changes of {} cannot be followed as {} stand", service, problems.size() == 1 ? "a table" : "tables"),
                    "run the SQL above, then audit again; nothing was touched"};
        for (auto const& problem : problems)
            error.with(problem);
        throw error;
    }
    return plan;
}

} // namespace pgcarve::run
