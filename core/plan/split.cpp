#include "plan/split.hpp"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "ddl/carry.hpp"
#include "ddl/keys.hpp"
#include "ddl/move.hpp"
#include "ddl/signature.hpp"
#include "plan/crossings.hpp"
#include "plan/machinery.hpp"

namespace pgcarve::plan {

using model::Catalog;
using model::Plan;
using model::Setup;
using model::Step;
using model::TablePair;
using sql::QName;

namespace {

void append(std::vector<Step>& to, std::vector<Step> const& more) { to.insert(to.end(), more.begin(), more.end()); }
void append(std::vector<model::Notice>& to, std::vector<model::Notice> const& more) { to.insert(to.end(), more.begin(), more.end()); }

bool schema_exists(Catalog const& catalog, std::string const& name) {
    return std::ranges::find(catalog.schemas, name, &model::Schema::name) != catalog.schemas.end();
}

bool role_exists(Catalog const& catalog, std::string const& name) {
    return std::ranges::find(catalog.roles, name) != catalog.roles.end();
}

Step schema_step(Setup const& setup, Catalog const& catalog) {
    Step step{"schema", {}, "", fmt::format("schema {} for the service", setup.schema), {}};
    if (setup.created_role) {
        step.sql.push_back("CREATE ROLE " + sql::quote_ident(*setup.role) + " LOGIN");
        step.why += fmt::format(", and role {}", *setup.role);
    }
    auto const schema = sql::quote_ident(setup.schema);
    if (setup.created_schema)
        step.sql.push_back("CREATE SCHEMA " + schema);
    // The tables' owners must be able to own tables and check foreign keys there.
    std::vector<std::string> owners;
    for (auto const& pair : setup.tables) {
        auto const* const table = catalog.find(pair.source);
        if (table != nullptr && table->owner != catalog.role.name && std::ranges::find(owners, table->owner) == owners.end())
            owners.push_back(table->owner);
    }
    if (setup.created_schema) {
        for (auto const& owner : owners)
            step.sql.push_back(fmt::format("GRANT USAGE, CREATE ON SCHEMA {} TO {}", schema, sql::quote_ident(owner)));
    }
    return step;
}

// Who may reach the schema. Comes after the fences: until then nobody may write to the copies.
void grant_usage(Step& step, Setup const& setup, Catalog const& catalog) {
    auto const schema = sql::quote_ident(setup.schema);
    if (setup.role)
        step.sql.push_back(fmt::format("GRANT USAGE ON SCHEMA {} TO {}", schema, sql::quote_ident(*setup.role)));
    // Whoever may use the originals may find the copies: rights on a table are of no use without USAGE on its schema.
    std::vector<std::string> users;
    for (auto const& pair : setup.tables) {
        auto const* const table = catalog.find(pair.source);
        if (table == nullptr)
            continue;
        auto grants = table->grants;
        for (auto const& column : table->columns)
            grants.insert(grants.end(), column.grants.begin(), column.grants.end());
        for (auto const& grant : grants) {
            auto const name = grant.grantee.empty() ? std::string{"PUBLIC"} : sql::quote_ident(grant.grantee);
            bool const owner = grant.grantee == table->owner || grant.grantee == catalog.role.name;
            if (!owner && std::ranges::find(users, name) == users.end())
                users.push_back(name);
        }
    }
    std::ranges::sort(users);
    for (auto const& user : users)
        step.sql.push_back(fmt::format("GRANT USAGE ON SCHEMA {} TO {}", schema, user));
}

// Rights of the service's role on its tables and on the sequences that they draw from, and of those who use the originals.
Step grants_step(Setup const& setup, Catalog const& catalog, bool moved) {
    Step step{"grants", {}, "", "whoever may use the old tables may reach the new schema", {}};
    grant_usage(step, setup, catalog);
    if (!setup.role)
        return step;
    step.why = fmt::format("role {} may work on the service's tables, and whoever may use the old ones may reach them", *setup.role);
    auto const role = sql::quote_ident(*setup.role);
    std::vector<QName> sequences;
    for (auto const& pair : setup.tables) {
        auto const* const table = catalog.find(pair.source);
        if (!pair.is_partition)
            step.sql.push_back(fmt::format("GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO {}",
                                           (moved ? pair.source : pair.target).quoted(), role));
        for (auto const& column : table->columns) {
            for (auto const& sequence : column.default_sequences) {
                if (std::ranges::find(sequences, sequence) == sequences.end())
                    sequences.push_back(sequence);
            }
        }
    }
    for (auto const& sequence : sequences)
        step.sql.push_back(fmt::format("GRANT USAGE, SELECT ON SEQUENCE {} TO {}", sequence.quoted(), role));
    return step;
}

void add_grants(Plan& plan, Setup const& setup, Catalog const& catalog, bool moved) {
    auto step = grants_step(setup, catalog, moved);
    if (!step.sql.empty()) // nobody but the owner may use the tables
        plan.steps.push_back(std::move(step));
}

// A trigger's function that names a table of the same service writes to the old one after the cutover if it names the
// schema too, and is refused there.
std::vector<model::Notice> trigger_notices(Setup const& setup, Catalog const& catalog) {
    std::vector<model::Notice> notices;
    auto const mine = [&](std::optional<QName> const& name) {
        return name && std::ranges::find(setup.tables, *name, &TablePair::source) != setup.tables.end();
    };
    for (auto const& d : catalog.dependencies) {
        if (d.kind == "trigger" && mine(d.from) && mine(d.to))
            notices.push_back({false, fmt::format("trigger {} on {}", d.name, d.from->display()),
                               fmt::format("its function {}() names {}, which moves too", d.object.display(), d.to->display()),
                               "after the cutover a write to the old name is refused: let the function use TG_TABLE_SCHEMA, or names "
                               "without a schema"});
    }
    return notices;
}

Step phase_step(std::string id, std::string why) { return {std::move(id), {}, "", std::move(why), {}}; }

void role_notices(Plan& plan, model::Service const& service, Setup const& setup, Catalog const& catalog) {
    if (!service.role)
        return;
    if (!service.create_role && !role_exists(catalog, *service.role))
        plan.notices.push_back({true, *service.role, "the service's role does not exist",
                                fmt::format("CREATE ROLE {} LOGIN; or set create_role = true", sql::quote_ident(*service.role))});
    plan.notices.push_back({false, *service.role, "pgcarve does not change how the role finds its tables",
                            fmt::format("ALTER ROLE {} IN DATABASE {} SET search_path = {}, {};", sql::quote_ident(*service.role),
                                        sql::quote_ident(catalog.database), sql::quote_ident(setup.schema),
                                        sql::quote_ident(setup.shared_schema))});
}

} // namespace

std::vector<TablePair> pairs_of(model::Service const& service, Ownership const& ownership, Catalog const& catalog) {
    std::vector<TablePair> pairs;
    auto const roots = ownership.roots.find(service.name);
    if (roots == ownership.roots.end())
        return pairs;
    for (auto const& name : roots->second) {
        auto const* const root = catalog.find(name);
        pairs.push_back(ddl::make_pair(*root, service.schema));
        for (auto const* const partition : catalog.partitions(*root))
            pairs.push_back(ddl::make_pair(*partition, service.schema));
    }
    return pairs;
}

Setup setup_of(model::BoundaryMap const& map, model::Service const& service, Ownership const& ownership, Catalog const& catalog) {
    Setup setup;
    setup.shared_schema = map.shared_schema;
    setup.schema = service.schema;
    setup.strategy = service.strategy;
    setup.dual_write = service.dual_write;
    setup.legacy = service.legacy;
    setup.role = service.role;
    setup.created_schema = !schema_exists(catalog, service.schema);
    setup.created_role = service.role && service.create_role && !role_exists(catalog, *service.role);
    setup.tables = pairs_of(service, ownership, catalog);
    for (auto const& pair : setup.tables)
        setup.signatures[pair.source.quoted()] = ddl::table_signature(catalog, *catalog.find(pair.source));
    return setup;
}

Plan plan_split(model::BoundaryMap const& map, model::Service const& service, Ownership const& ownership, Catalog const& catalog) {
    auto const setup = setup_of(map, service, ownership, catalog);
    Plan plan{service.name, "split", setup.tables, crossings(map, service, ownership, catalog), {}, {}};
    role_notices(plan, service, setup, catalog);
    plan.steps.push_back(phase_step("phase:backfilling", "the service is being split"));
    plan.steps.push_back(schema_step(setup, catalog));
    if (service.strategy == model::Strategy::move) {
        append(plan.notices, ddl::move_notices(catalog, setup.tables));
        add_grants(plan, setup, catalog, true);
        plan.steps.push_back(phase_step("phase:dual_writing", "ready: the tables move in the cutover"));
        return plan;
    }
    append(plan.notices, ddl::carry_notices(catalog, setup.tables));
    append(plan.notices, trigger_notices(setup, catalog));
    if (service.legacy == model::Legacy::view)
        append(plan.notices, ddl::legacy_view_notices(catalog, setup.tables));
    if (std::ranges::any_of(plan.notices, &model::Notice::refuses))
        return plan; // the steps need what was refused
    append(plan.steps, ddl::carry_table_steps(catalog, setup.tables));
    append(plan.steps, install_steps(machinery(service.name, setup, with_targets(catalog, setup.tables)), setup));
    add_grants(plan, setup, catalog, false);
    for (auto const& pair : setup.tables) {
        if (!pair.is_partition)
            plan.steps.push_back({"backfill:" + pair.source.display(), {}, "ROW SHARE on " + pair.source.display(),
                                  fmt::format("the rows of {} are copied in key order, in short transactions", pair.source.display()), {}});
    }
    append(plan.steps, ddl::after_backfill_steps(catalog, setup.tables));
    Step analyze{"analyze", {}, "", "the planner gets statistics of the new tables", {}};
    for (auto const& pair : setup.tables) {
        if (!pair.is_partition)
            analyze.sql.push_back("ANALYZE " + pair.target.quoted());
    }
    plan.steps.push_back(std::move(analyze));
    plan.steps.push_back(phase_step("phase:dual_writing", "both sides hold every row; the window begins"));
    return plan;
}

namespace {

// Brings one service's follower in step with what its authority's tables have become.
class Reconciler {
public:
    Reconciler(std::string const& service, Setup const& setup, cutover::Authority authority, Catalog const& catalog, bool reinstall)
        : reinstall_{reinstall}
        , service_{service}
        , setup_{setup}
        , authority_{authority}
        , catalog_{catalog}
        , after_{setup}
        , plan_{service, "reconcile", {}, {}, {}, {}} {}

    Reconciliation run() {
        bool const shared = authority_ == cutover::Authority::shared;
        for (auto const& pair : setup_.tables) {
            if (pair.is_partition)
                continue;
            auto const* const authority = catalog_.find(shared ? pair.source : pair.target);
            auto const* const follower = catalog_.find(shared ? pair.target : pair.source);
            if (authority == nullptr || follower == nullptr) {
                refuse((authority == nullptr ? pair.source : pair.target).display(), "is not there any more", "rename it back, or cancel the service");
                continue;
            }
            table(*authority, *follower);
            if (shared)
                partitions(*authority, *follower);
        }
        record();
        plan_.tables = after_.tables;
        if (!changed_.empty() && !refused_)
            rebuild();
        return {std::move(plan_), std::move(after_)};
    }

private:
    void refuse(std::string object, std::string text, std::string hint) {
        refused_ = true;
        plan_.notices.push_back({true, std::move(object), std::move(text), std::move(hint)});
    }

    void table(model::Table const& authority, model::Table const& follower) {
        Mend mend;
        for (auto const& difference : ddl::describe_difference(follower, authority, follower.name)) {
            mend.why += difference.text + "; ";
            if (difference.mend.empty())
                refuse(authority.name.display(), difference.text, "there is no safe way to mend it: cancel the service and split it again, or take it back");
            else
                mend.sql.push_back(difference.mend);
        }
        if (mend.sql.empty() && !reinstall_)
            return;
        changed_.push_back(authority.name);
        mends_[authority.name] = std::move(mend);
    }

    void partitions(model::Table const& source, model::Table const& target) {
        std::vector<TablePair> fresh;
        for (auto const* const partition : catalog_.partitions(source)) {
            bool const known = std::ranges::find(setup_.tables, partition->name, &TablePair::source) != setup_.tables.end();
            if (known)
                continue;
            auto pair = ddl::make_pair(*partition, setup_.schema);
            after_.tables.push_back(pair);
            bool const below_fresh = std::ranges::any_of(fresh, [&](TablePair const& p) { return partition->partition_of == p.source; });
            if (!below_fresh)
                fresh.push_back(std::move(pair));
        }
        for (auto const& gone : ddl::describe_partitions(catalog_, source, target)) {
            if (!gone.mend.empty())
                plan_.notices.push_back({false, source.name.display(), gone.text, gone.mend});
        }
        if (fresh.empty())
            return;
        append(plan_.steps, ddl::carry_new_partition_steps(catalog_, after_.tables, fresh));
        changed_.push_back(source.name);
    }

    // What will be set up: every column that both sides have then.
    void record() {
        bool const shared = authority_ == cutover::Authority::shared;
        for (auto& pair : after_.tables) {
            auto const* const authority = catalog_.find(shared ? pair.source : pair.target);
            if (authority == nullptr)
                continue;
            pair.columns = ddl::make_pair(*authority, setup_.schema).columns;
            after_.signatures[pair.source.quoted()] = ddl::table_signature(catalog_, *authority);
        }
    }

    // Mirrors of the changed tables for their new shape; then their rows are compared and repaired, since what was
    // written to a new column before the mirror knew it is on one side only.
    void rebuild() {
        bool const shared = authority_ == cutover::Authority::shared;
        auto known = catalog_;
        for (auto const& pair : after_.tables) {
            auto const* const authority = catalog_.find(shared ? pair.source : pair.target);
            if (authority == nullptr)
                continue;
            // The follower as it will be: what it lacks today comes from the authority.
            if (std::ranges::find(changed_, authority->name) != changed_.end() || pair.is_partition) {
                auto const& follower = shared ? pair.target : pair.source;
                auto const at = std::ranges::find(known.tables, follower, &model::Table::name);
                if (at != known.tables.end())
                    at->columns = authority->columns;
            }
        }
        known = with_targets(known, after_.tables);
        for (auto const& one : machinery(service_, after_, known)) {
            auto const& authority = shared ? one.pair.source : one.pair.target;
            if (std::ranges::find(changed_, authority) == changed_.end())
                continue;
            // In one transaction: between the mend and the new mirror, writes would fail.
            Step step{"mirror:" + one.pair.source.display(), mirrorgen::drop_views(one.reverse_mirror),
                      "ACCESS EXCLUSIVE on " + one.pair.source.display() + " and its copy", "", {}};
            auto const& mend = mends_[authority];
            step.sql.insert(step.sql.end(), mend.sql.begin(), mend.sql.end());
            step.why = mend.why + "the mirror is made anew";
            std::vector<PairMachinery> const single{one};
            for (auto const& state : expected(single, after_, authority_)) {
                auto const install = mirrorgen::install(*state.machinery, state.enabled);
                step.sql.insert(step.sql.end(), install.begin(), install.end());
            }
            plan_.steps.push_back(std::move(step));
            plan_.steps.push_back({"repair:" + one.pair.source.display(), {}, "ROW SHARE on " + one.pair.source.display(),
                                   "rows that differ since the change are made equal", {}});
        }
        plan_.steps.push_back({"setup", {}, "", "what is set up is recorded", {}});
    }

    bool reinstall_;
    std::string const& service_;
    Setup const& setup_;
    cutover::Authority authority_;
    Catalog const& catalog_;
    Setup after_;
    Plan plan_;
    struct Mend {
        std::string why;
        std::vector<std::string> sql;
    };
    std::map<QName, Mend> mends_; // by the authority's table
    std::vector<QName> changed_;  // authority's tables
    bool refused_ = false;
};

} // namespace

Reconciliation plan_reconcile(std::string const& service, Setup const& setup, cutover::Authority authority, Catalog const& catalog,
                              bool reinstall) {
    if (setup.strategy == model::Strategy::move)
        return {Plan{service, "reconcile", setup.tables, {}, {}, {}}, setup};
    return Reconciler{service, setup, authority, catalog, reinstall}.run();
}

} // namespace pgcarve::plan
