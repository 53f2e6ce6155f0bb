#include "plan/authority.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "ddl/carry.hpp"
#include "ddl/keys.hpp"
#include "ddl/move.hpp"
#include "plan/machinery.hpp"
#include "plan/merge.hpp"
#include "plan/retire.hpp"

namespace pgcarve::plan {

using cutover::Authority;
using model::Catalog;
using model::Plan;
using model::Setup;
using model::Step;
using sql::QName;

namespace {

void append(std::vector<std::string>& to, std::vector<std::string> const& more) { to.insert(to.end(), more.begin(), more.end()); }

// A write on the new authority that changes nothing, taken back at once: it fails when the other direction does not work.
std::optional<std::string> canary(model::Table const& authority, std::vector<std::string> const& key) {
    auto const settable = std::ranges::find_if(authority.columns, [&](model::Column const& c) {
        return c.generated == 0 && c.identity != 'a' && std::ranges::find(key, c.name) == key.end();
    });
    if (settable == authority.columns.end())
        return std::nullopt;
    std::string columns;
    for (auto const& name : key)
        columns += (columns.empty() ? "" : ", ") + sql::quote_ident(name);
    auto const column = sql::quote_ident(settable->name);
    return fmt::format("UPDATE {0} SET {1} = {1} WHERE ({2}) IN (SELECT {2} FROM {0} LIMIT 1)", authority.name.quoted(), column, columns);
}

std::string notify(std::string const& service, Authority to) {
    return fmt::format("SELECT pg_catalog.pg_notify('pgcarve', {})",
                       sql::literal(service + (to == Authority::schema ? " schema_live" : " dual_writing")));
}

Step hook_step(Authority to) {
    return {"hook:" + std::string{to == Authority::schema ? "on_cutover" : "on_rollback"}, {}, "", "runs the operator's hook, if there is one", {}};
}

// A view at each old name. Nothing steps aside: the table itself has moved away.
void views_for_moved(Step& step, Setup const& setup, Catalog const& catalog, Authority to) {
    if (to == Authority::schema) {
        for (auto const& statement : ddl::legacy_view_statements(catalog, setup.tables)) {
            if (!statement.starts_with("ALTER TABLE "))
                step.sql.push_back(statement);
        }
        return;
    }
    std::vector<std::string> drop;
    for (auto const& pair : setup.tables) {
        if (!pair.is_partition)
            drop.push_back("DROP VIEW " + pair.source.quoted());
    }
    step.sql.insert(step.sql.begin(), drop.begin(), drop.end());
}

Plan plan_move(std::string const& service, Setup const& setup, Catalog const& catalog, Authority to) {
    Plan plan{service, to == Authority::schema ? "cutover" : "rollback", setup.tables, {}, {}, {}};
    auto pairs = setup.tables;
    if (to == Authority::shared) {
        for (auto& pair : pairs)
            std::swap(pair.source, pair.target);
    }
    Step step{switch_step, ddl::move_step(catalog, pairs).sql, "ACCESS EXCLUSIVE on the service's tables",
              to == Authority::schema ? fmt::format("the tables move into schema {}", setup.schema)
                                      : std::string{"the tables move back"},
              {}};
    if (setup.legacy == model::Legacy::view)
        views_for_moved(step, setup, catalog, to);
    step.sql.push_back(notify(service, to));
    plan.steps = {std::move(step), hook_step(to)};
    if (to == Authority::schema)
        plan.notices = ddl::move_notices(catalog, pairs);
    return plan;
}

class Planner {
public:
    Planner(std::string const& service, Setup const& setup, Catalog const& catalog, Authority to)
        : service_{service}
        , setup_{setup}
        , catalog_{catalog}
        , to_{to}
        , renamed_{setup.legacy == model::Legacy::view}
        , plan_{service, to == Authority::schema ? "cutover" : "rollback", setup.tables, {}, {}, {}} {}

    Plan run() {
        if (to_ == Authority::schema)
            cutover();
        else
            rollback();
        return std::move(plan_);
    }

private:
    void cutover() {
        auto const across = ddl::foreign_keys_across(catalog_, setup_.tables);
        plan_.steps.insert(plan_.steps.end(), across.add_each.begin(), across.add_each.end());
        plan_.steps.insert(plan_.steps.end(), across.validate.begin(), across.validate.end());
        auto const inside = ddl::foreign_keys_inside(catalog_, setup_.tables);
        auto triggers = ddl::hand_over_triggers(catalog_, setup_.tables, true);
        Step step = new_switch();
        if (renamed_) {
            rebuilt(step, setup_, with_held_names(setup_), ddl::legacy_view_statements(catalog_, setup_.tables), triggers);
            auto const notices = ddl::legacy_view_notices(catalog_, setup_.tables);
            plan_.notices.insert(plan_.notices.end(), notices.begin(), notices.end());
        } else {
            flipped(step);
        }
        append(triggers, inside.add);
        append(step.sql, merged(triggers));
        sequences(step, true);
        step.sql.push_back(notify(service_, to_));
        plan_.steps.push_back(std::move(step));
        plan_.steps.insert(plan_.steps.end(), inside.validate.begin(), inside.validate.end());
        plan_.steps.push_back(hook_step(to_));
    }

    void rollback() {
        auto triggers = ddl::hand_over_triggers(catalog_, setup_.tables, false);
        Step step = new_switch();
        sequences(step, false);
        if (renamed_)
            rebuilt(step, setup_, original_names(), ddl::undo_legacy_view_statements(original_names().tables), triggers);
        else
            flipped(step);
        append(step.sql, merged(triggers));
        step.sql.push_back(notify(service_, to_));
        plan_.steps.push_back(std::move(step));
        for (auto const& keys : {ddl::foreign_keys_inside(catalog_, setup_.tables), ddl::foreign_keys_across(catalog_, setup_.tables)})
            plan_.steps.insert(plan_.steps.end(), keys.drop_each.begin(), keys.drop_each.end());
        plan_.steps.push_back(hook_step(to_));
    }

    // The names before the old tables stepped aside.
    [[nodiscard]] Setup original_names() const {
        auto setup = setup_;
        for (auto& pair : setup.tables) {
            if (!pair.is_partition)
                pair.source = {pair.source.schema, pair.target.name};
        }
        return setup;
    }

    [[nodiscard]] Step new_switch() const {
        bool const forth = to_ == Authority::schema;
        return {switch_step,
                {},
                renamed_ ? "ACCESS EXCLUSIVE on the service's tables, for milliseconds"
                         : "SHARE ROW EXCLUSIVE on the service's tables, for milliseconds: readers go on",
                forth ? fmt::format("schema {} becomes the authority; writes to the old tables are refused or redirected", setup_.schema)
                      : fmt::format("schema {} becomes the authority again", setup_.shared_schema),
                {}};
    }

    // Mirrors and fences stay as they are installed: one side is disabled, the other enabled.
    void flipped(Step& step) const {
        append(step.sql, merged(hand_over(machinery(service_, setup_, catalog_), setup_, to_)));
        canaries(step, setup_);
    }

    // The old tables change their names, which stand in the mirrors: these are made anew. The application's triggers on
    // the old tables are set while they still have the names that `triggers` knows; what is left of it comes later.
    void rebuilt(Step& step, Setup const& before, Setup const& after, std::vector<std::string> const& rename,
                 std::vector<std::string>& triggers) const {
        std::vector<std::string> on_target;
        for (auto const& statement : triggers) {
            auto const head = alter_head(statement);
            bool const target = std::ranges::none_of(before.tables, [&](model::TablePair const& p) {
                return head == "ALTER TABLE ONLY " + p.source.quoted() + " ";
            });
            (target ? on_target : step.sql).push_back(statement);
        }
        triggers = std::move(on_target);
        for (auto const& drop : drop_steps(machinery(service_, before, catalog_)))
            append(step.sql, drop.sql);
        append(step.sql, rename);
        auto const all = machinery(service_, after, with_new_names(catalog_, before.tables, after.tables));
        for (auto const& state : expected(all, after, to_))
            append(step.sql, mirrorgen::install(*state.machinery, state.enabled));
        canaries(step, after);
    }

    void canaries(Step& step, Setup const& names) const {
        step.sql.emplace_back("SAVEPOINT pgcarve_canary");
        for (std::size_t i = 0; i < setup_.tables.size(); ++i) {
            auto const& now = setup_.tables[i];
            auto const& then = names.tables[i];
            bool const forth = to_ == Authority::schema;
            auto const* const table = catalog_.find(forth ? now.target : now.source);
            if (now.is_partition || table == nullptr)
                continue;
            auto named = *table;
            named.name = forth ? then.target : then.source;
            if (auto write = canary(named, now.key))
                step.sql.push_back(*std::move(write));
        }
        step.sql.emplace_back("ROLLBACK TO SAVEPOINT pgcarve_canary");
    }

    void sequences(Step& step, bool forth) const {
        for (auto const& pair : ddl::sequence_pairs(catalog_, setup_.tables))
            step.sql.push_back(forth ? ddl::continue_sequence(pair.source, pair.target) : ddl::continue_sequence(pair.target, pair.source));
    }

    std::string const& service_;
    Setup const& setup_;
    Catalog const& catalog_;
    Authority to_;
    bool renamed_;
    Plan plan_;
};

} // namespace

Plan plan_authority(std::string const& service, Setup const& setup, Catalog const& catalog, Authority to) {
    if (setup.strategy == model::Strategy::move)
        return plan_move(service, setup, catalog, to);
    return Planner{service, setup, catalog, to}.run();
}

// Writers in flight must be able to end while the lock is being gathered table by table. Most go from parents to children,
// and reach the follower through the mirror only: whoever is past the first tables finds the rest still free.
std::vector<QName> tables_to_lock(Setup const& setup, Catalog const& catalog, Authority authority) {
    auto const writable = authority == Authority::shared ? &model::TablePair::source : &model::TablePair::target;
    auto const follower = authority == Authority::shared ? &model::TablePair::target : &model::TablePair::source;
    std::vector<QName> tables;
    std::set<QName> seen;
    auto const parents_first = [&](auto const& self, QName const& name) -> void {
        auto const* const table = catalog.find(name);
        if (table == nullptr || !seen.insert(name).second)
            return;
        for (auto const& constraint : table->constraints) {
            auto const ours = [&](model::TablePair const& pair) { return !pair.is_partition && pair.*writable == constraint.referenced; };
            if (constraint.type == 'f' && std::ranges::any_of(setup.tables, ours))
                self(self, constraint.referenced);
        }
        tables.push_back(name);
    };
    for (auto const& pair : setup.tables) {
        if (!pair.is_partition)
            parents_first(parents_first, pair.*writable);
    }
    for (auto const& pair : setup.tables) {
        if (!pair.is_partition && catalog.find(pair.*follower) != nullptr)
            tables.push_back(pair.*follower);
    }
    return tables;
}

} // namespace pgcarve::plan
