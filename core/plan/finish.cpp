#include "plan/finish.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "ddl/keys.hpp"
#include "ddl/text.hpp"
#include "plan/authority.hpp"
#include "plan/machinery.hpp"

namespace pgcarve::plan {

using model::Catalog;
using model::Plan;
using model::Setup;
using model::Step;
using sql::QName;

namespace {

void append(std::vector<std::string>& to, std::vector<std::string> const& more) { to.insert(to.end(), more.begin(), more.end()); }

std::string options_of(ViewDefinition const& view) {
    return view.options.empty() ? "" : fmt::format(" WITH ({})", fmt::join(view.options, ", "));
}

std::string without_semicolon(std::string text) {
    while (!text.empty() && (text.back() == ';' || text.back() == '\n' || text.back() == ' '))
        text.pop_back();
    return text;
}

// A materialized view cannot be replaced in place: it is built beside, with its indexes, and takes the name.
Step rebuild(ViewDefinition const& view, Setup const& setup) {
    auto const fresh = QName{view.name.schema, sql::bounded_name(view.name.name, "__pgcarve_new")};
    Step step{"view:" + view.name.display(), {}, "ACCESS EXCLUSIVE on " + view.name.display() + ", after it was built beside",
              fmt::format("materialized view {} is built from the new tables", view.name.display()), {}};
    step.sql.push_back(fmt::format("CREATE MATERIALIZED VIEW {}{} AS {}", fresh.quoted(), options_of(view),
                                   without_semicolon(retarget_view(view.definition, setup))));
    step.sql.push_back("DROP MATERIALIZED VIEW " + view.name.quoted());
    step.sql.push_back(fmt::format("ALTER MATERIALIZED VIEW {} RENAME TO {}", fresh.quoted(), sql::quote_ident(view.name.name)));
    append(step.sql, view.indexes); // their definitions name the view by its own name
    if (view.comment)
        step.sql.push_back(fmt::format("COMMENT ON MATERIALIZED VIEW {} IS {}", view.name.quoted(), sql::literal(*view.comment)));
    step.sql.push_back(fmt::format("ALTER MATERIALIZED VIEW {} OWNER TO {}", view.name.quoted(), sql::quote_ident(view.owner)));
    append(step.sql, view.grants);
    return step;
}

Step replace(ViewDefinition const& view, Setup const& setup) {
    return {"view:" + view.name.display(),
            {fmt::format("CREATE OR REPLACE VIEW {}{} AS {}", view.name.quoted(), options_of(view),
                         without_semicolon(retarget_view(view.definition, setup)))},
            "ACCESS EXCLUSIVE on " + view.name.display(),
            fmt::format("view {} reads the new tables", view.name.display()),
            {}};
}

} // namespace

Plan plan_cancel(std::string const& service, Setup const& setup, Catalog const& catalog) {
    Plan plan{service, "cancel", setup.tables, {}, {}, {}};
    if (setup.strategy == model::Strategy::copy) {
        plan.steps = drop_steps(existing_machinery(service, setup, catalog));
        Step drop{"drop:tables", {}, "ACCESS EXCLUSIVE on the copies, and on tables that a foreign key of theirs refers to",
                  fmt::format("the copies in schema {} are dropped; the originals are not touched", setup.schema), {}};
        std::string tables;
        for (auto const& pair : setup.tables) {
            if (!pair.is_partition)
                tables += (tables.empty() ? "" : ", ") + pair.target.quoted();
        }
        if (!tables.empty())
            drop.sql.push_back("DROP TABLE IF EXISTS " + tables);
        plan.steps.push_back(std::move(drop));
    }
    Step rest{"drop:schema", {}, "", "", {}};
    if (setup.created_schema) {
        rest.sql.push_back(fmt::format("DROP SCHEMA IF EXISTS {}", sql::quote_ident(setup.schema)));
        rest.why = fmt::format("schema {}, which `split` made, is dropped", setup.schema);
    }
    if (setup.created_role) {
        auto const role = sql::quote_ident(*setup.role);
        // What it was granted on shared sequences would keep it.
        auto const there = fmt::format("EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {})", sql::literal(*setup.role));
        // Who made a role may grant it to himself; only a member may take back what it was granted.
        rest.sql.push_back(fmt::format("DO $$ BEGIN IF {} THEN GRANT {} TO CURRENT_USER; DROP OWNED BY {}; DROP ROLE {}; END IF; END $$",
                                       there, role, role, role));
        rest.why += (rest.why.empty() ? "" : "; ") + fmt::format("role {}, which `split` made, is dropped", *setup.role);
    }
    if (!rest.sql.empty())
        plan.steps.push_back(std::move(rest));
    return plan;
}

Plan plan_complete(std::string const& service, Setup const& setup, Catalog const& catalog, std::vector<ViewDefinition> const& views) {
    Plan plan{service, "complete", setup.tables, {}, {}, {}};
    Step retire{"retire", {}, "ACCESS EXCLUSIVE on the old tables, and on tables of others that refer to them", "", {}};
    if (setup.strategy == model::Strategy::move) {
        retire.why = "the tables have moved already: nothing is left behind";
        plan.steps.push_back({"phase:completed", {}, "", retire.why, {}});
        plan.steps.back().id = "retire";
        return plan;
    }
    plan.notices = dependants(setup, catalog).notices;
    plan.steps = move_incoming_keys(setup, catalog);
    for (auto const& view : views)
        plan.steps.push_back(view.materialized ? rebuild(view, setup) : replace(view, setup));
    for (auto const& step : drop_steps(existing_machinery(service, setup, catalog)))
        append(retire.sql, step.sql);
    append(retire.sql, retire_statements(setup, catalog));
    for (auto const& pair : setup.tables) {
        // The original had no DEFAULT partition; one that holds rows is the owner's to judge.
        auto const guard = ddl::guard_name(pair.target);
        if (catalog.find(guard) != nullptr)
            retire.sql.push_back(fmt::format("DO {}", sql::literal(fmt::format("BEGIN IF NOT EXISTS (SELECT FROM {0}) THEN DROP TABLE {0}; END IF; END",
                                                                               guard.quoted()))));
    }
    // All at once and in the order in which writers take them: one by one they would meet a busy writer half-way.
    std::string locks;
    for (auto const& table : tables_to_lock(setup, catalog, cutover::Authority::schema))
        locks += (locks.empty() ? "" : ", ") + table.quoted();
    if (!locks.empty())
        retire.sql.insert(retire.sql.begin(), fmt::format("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", locks));
    retire.why = fmt::format("the mirror ends; the old tables are renamed and held, {} is on its own", setup.schema);
    plan.steps.push_back(std::move(retire));
    return plan;
}

Plan plan_purge(std::string const& service, Setup const& setup, Catalog const& catalog) {
    Plan plan{service, "purge", setup.tables, {}, {}, {}};
    auto statements = setup.strategy == model::Strategy::move ? std::vector<std::string>{} : purge_statements(setup, catalog);
    if (!statements.empty())
        plan.steps.push_back({"drop:held", std::move(statements), "ACCESS EXCLUSIVE on the held tables", "the held tables are dropped for good", {}});
    return plan;
}

} // namespace pgcarve::plan
