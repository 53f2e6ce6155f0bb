#include "plan/machinery.hpp"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "base/error.hpp"
#include "ddl/move.hpp"
#include "ddl/text.hpp"

namespace pgcarve::plan {

using model::Catalog;
using model::Setup;
using model::Step;
using model::Table;
using model::TablePair;
using sql::QName;

namespace {

void append(std::vector<std::string>& to, std::vector<std::string> const& more) { to.insert(to.end(), more.begin(), more.end()); }

Table planned(Table table, TablePair const& pair, std::map<QName, QName> const& renamed) {
    table.oid = {};
    table.name = pair.target;
    std::erase_if(table.constraints, [](model::Constraint const& c) { return c.type == 'f'; });
    table.triggers.clear();
    if (table.partition_of) {
        auto const at = renamed.find(*table.partition_of);
        if (at != renamed.end())
            table.partition_of = at->second;
    }
    return table;
}

bool mirrors_forward(Setup const& setup) { return setup.dual_write == model::DualWrite::trigger; }

// The new tables have foreign keys only while they are the authority. What is generated must not depend on the moment,
// or it would differ from what is installed.
Catalog without_target_keys(Catalog catalog, Setup const& setup) {
    auto const is_target = [&](QName const& name) {
        return std::ranges::find(setup.tables, name, &TablePair::target) != setup.tables.end();
    };
    for (auto& table : catalog.tables) {
        if (is_target(table.name) || (table.partition_of && is_target(*table.partition_of)))
            std::erase_if(table.constraints, [](model::Constraint const& c) { return c.type == 'f'; });
    }
    return catalog;
}

Table const& known(Catalog const& catalog, QName const& name) {
    auto const* const table = catalog.find(name);
    if (table == nullptr)
        throw base::Error{base::Exit::needs_decision, "table-gone", fmt::format("table {} is not there any more", name.display()),
                          "it was dropped or renamed under the mirror: rename it back, or cancel the service"};
    return *table;
}

} // namespace

Catalog with_targets(Catalog const& catalog, std::vector<TablePair> const& pairs) {
    auto all = catalog;
    std::map<QName, QName> renamed;
    for (auto const& pair : pairs)
        renamed.emplace(pair.source, pair.target);
    for (auto const& pair : pairs) {
        auto const* const source = catalog.find(pair.source);
        if (source != nullptr && catalog.find(pair.target) == nullptr)
            all.tables.push_back(planned(*source, pair, renamed));
        if (source != nullptr && ddl::needs_guard(catalog, *source)) {
            auto const guard = ddl::guard_name(pair.target);
            if (catalog.find(guard) != nullptr)
                continue;
            auto table = planned(*source, pair, renamed);
            table.name = guard;
            table.kind = 'r';
            table.partition_key.reset();
            table.partition_of = pair.target;
            table.partition_bound = "DEFAULT";
            all.tables.push_back(std::move(table));
        }
    }
    std::ranges::sort(all.tables, {}, &Table::name);
    return all;
}

Catalog with_new_names(Catalog const& catalog, std::vector<TablePair> const& from, std::vector<TablePair> const& to) {
    std::map<QName, QName> renamed;
    for (std::size_t i = 0; i < from.size(); ++i) {
        if (from[i].source != to[i].source)
            renamed.emplace(from[i].source, to[i].source);
    }
    auto const apply = [&](QName& name) {
        auto const at = renamed.find(name);
        if (at != renamed.end())
            name = at->second;
    };
    auto all = catalog;
    for (auto& table : all.tables) {
        apply(table.name);
        if (table.partition_of)
            apply(*table.partition_of);
        for (auto& constraint : table.constraints)
            apply(constraint.referenced);
    }
    std::ranges::sort(all.tables, {}, &Table::name);
    return all;
}

Setup with_held_names(Setup setup) {
    for (auto& pair : setup.tables) {
        if (!pair.is_partition)
            pair.source = ddl::aside_name(pair.source);
    }
    return setup;
}

std::vector<PairMachinery> machinery(std::string const& service, Setup const& setup, Catalog const& now) {
    using mirrorgen::Direction;
    auto const catalog = without_target_keys(now, setup);
    std::vector<TablePair> roots;
    std::vector<mirrorgen::Spec> forward;
    std::vector<mirrorgen::Spec> reverse;
    for (auto const& pair : setup.tables) {
        if (pair.is_partition)
            continue;
        auto const& source = known(catalog, pair.source);
        auto const& target = known(catalog, pair.target);
        roots.push_back(pair);
        forward.push_back(mirrorgen::make_spec(service, Direction::forward, source, target, catalog));
        reverse.push_back(mirrorgen::make_spec(service, Direction::reverse, target, source, catalog));
    }
    mirrorgen::link(forward, catalog);
    mirrorgen::link(reverse, catalog);
    std::vector<PairMachinery> all;
    for (std::size_t i = 0; i < roots.size(); ++i) {
        PairMachinery one{roots[i], {}, {}, mirrorgen::mirror(reverse[i]), mirrorgen::fence(reverse[i])};
        if (mirrors_forward(setup)) {
            one.forward_mirror = mirrorgen::mirror(forward[i]);
            one.forward_fence = mirrorgen::fence(forward[i]);
        }
        all.push_back(std::move(one));
    }
    return all;
}

std::vector<PairMachinery> existing_machinery(std::string const& service, Setup setup, Catalog const& catalog) {
    auto const known = with_targets(catalog, setup.tables);
    std::erase_if(setup.tables, [&](TablePair const& p) { return known.find(p.source) == nullptr || known.find(p.target) == nullptr; });
    return machinery(service, setup, known);
}

std::vector<Step> install_steps(std::vector<PairMachinery> const& all, Setup const& setup) {
    std::vector<Step> steps;
    for (auto const& one : all) {
        Step step;
        step.id = "mirror:" + one.pair.source.display();
        step.lock = "SHARE ROW EXCLUSIVE on " + one.pair.source.display();
        step.why = mirrors_forward(setup)
                       ? fmt::format("every write of {} reaches {} in the same transaction; the way back is installed, disabled",
                                     one.pair.source.display(), one.pair.target.display())
                       : fmt::format("the way back from {} to {} is installed, disabled", one.pair.target.display(),
                                     one.pair.source.display());
        std::vector<PairMachinery> const single{one}; // the states point into it
        for (auto const& state : expected(single, setup, cutover::Authority::shared))
            append(step.sql, mirrorgen::install(*state.machinery, state.enabled));
        for (auto const* const machinery : {&one.forward_mirror, &one.forward_fence, &one.reverse_mirror, &one.reverse_fence})
            append(step.undo, mirrorgen::drop(*machinery));
        steps.push_back(std::move(step));
    }
    return steps;
}

std::vector<MachineryState> expected(std::vector<PairMachinery> const& all, Setup const& setup, cutover::Authority authority) {
    bool const shared = authority == cutover::Authority::shared;
    std::vector<MachineryState> states;
    for (auto const& one : all) {
        if (mirrors_forward(setup)) {
            states.push_back({&one.forward_mirror, shared});
            states.push_back({&one.forward_fence, shared});
        }
        states.push_back({&one.reverse_mirror, !shared});
        states.push_back({&one.reverse_fence, !shared});
    }
    return states;
}

std::vector<std::string> hand_over(std::vector<PairMachinery> const& all, Setup const& setup, cutover::Authority authority) {
    std::vector<std::string> statements;
    auto const states = expected(all, setup, authority);
    for (auto const& state : states) {
        if (!state.enabled)
            append(statements, mirrorgen::disable(*state.machinery));
    }
    for (auto const& state : states) {
        if (state.enabled)
            append(statements, mirrorgen::enable(*state.machinery));
    }
    return statements;
}

std::vector<Step> drop_steps(std::vector<PairMachinery> const& all) {
    std::vector<Step> steps;
    for (auto const& one : all) {
        Step step;
        step.id = "unmirror:" + one.pair.source.display();
        step.lock = "ACCESS EXCLUSIVE on " + one.pair.source.display();
        step.why = fmt::format("mirrors and fences of {} and {} are dropped", one.pair.source.display(), one.pair.target.display());
        for (auto const* const machinery : {&one.forward_mirror, &one.forward_fence, &one.reverse_mirror, &one.reverse_fence})
            append(step.sql, mirrorgen::drop(*machinery));
        steps.push_back(std::move(step));
    }
    return steps;
}

} // namespace pgcarve::plan
