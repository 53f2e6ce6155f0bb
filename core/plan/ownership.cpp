#include "plan/ownership.hpp"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "base/error.hpp"
#include "base/nearest.hpp"

namespace pgcarve::plan {

using model::Catalog;
using model::Service;
using model::Table;
using model::TablePattern;
using sql::QName;

namespace {

bool is_root(Table const& table) { return !table.partition_of && (table.kind == 'r' || table.kind == 'p' || table.kind == 'f'); }

QName root_of(Catalog const& catalog, Table const& table) {
    auto const* at = &table;
    while (at->partition_of) {
        auto const* const parent = catalog.find(*at->partition_of);
        if (parent == nullptr)
            break;
        at = parent;
    }
    return at->name;
}

class Resolver {
public:
    Resolver(model::BoundaryMap const& map, Catalog const& catalog, std::vector<model::SeveredKey> const& severed)
        : map_{map}, catalog_{catalog}, severed_{severed} {
        for (auto const& [name, service] : map.services)
            service_schemas_.insert(service.schema);
        // A monolith's own schema is never taken for a service's, even when a service keeps its tables there.
        service_schemas_.erase(map.shared_schema);
        for (auto const& table : catalog.tables) {
            if (is_root(table))
                roots_.push_back(&table);
        }
    }

    Ownership run() {
        for (auto const& [name, service] : map_.services) {
            result_.roots[name];
            claim_tables(service);
            check_foreign_keys(service);
        }
        for (auto const& pattern : map_.reference) {
            if (!pattern.exclude && !matches_anything(pattern, std::nullopt))
                nothing_matches(pattern);
        }
        for (auto const* const table : roots_) {
            if (model::patterns_own(map_.reference, table->name))
                result_.reference.push_back(table->name);
        }
        for (auto const& table : catalog_.tables) {
            if (!table.partition_of)
                continue;
            if (auto const owner = result_.owner_of(root_of(catalog_, table)))
                result_.owner.emplace(table.name, *owner);
        }
        for (auto& [service, tables] : result_.roots)
            std::ranges::sort(tables);
        std::ranges::stable_sort(result_.problems, {}, [](Problem const& p) { return p.where.line; });
        return std::move(result_);
    }

private:
    void problem(model::Where const& where, std::string message) { result_.problems.push_back({where, std::move(message)}); }

    // A table's name as the patterns of `service` know it: one that has moved keeps its old one.
    [[nodiscard]] bool matches_moved(TablePattern const& pattern, Service const& service, QName const& table) const {
        return table.schema == service.schema && model::pattern_matches(pattern, {pattern.schema, table.name}) &&
               pattern.schema != table.schema;
    }

    [[nodiscard]] bool matches_anything(TablePattern const& pattern, std::optional<Service> const& service) const {
        return std::ranges::any_of(roots_, [&](Table const* t) {
            return model::pattern_matches(pattern, t->name) || (service && matches_moved(pattern, *service, t->name));
        });
    }

    void nothing_matches(TablePattern const& pattern) {
        bool const wild = !pattern.name_literal && pattern.name.find_first_of("*?") != std::string::npos;
        if (wild) {
            problem(pattern.where, fmt::format("pattern \"{}\" matches no table", pattern.text));
            return;
        }
        for (auto const& table : catalog_.tables) {
            if (table.partition_of && model::pattern_matches(pattern, table.name)) {
                problem(pattern.where, fmt::format("\"{}\" is a partition of {}: name the root, its partitions follow it",
                                                   pattern.text, root_of(catalog_, table).display()));
                return;
            }
        }
        std::vector<std::string> known;
        for (auto const* const table : roots_)
            known.push_back(table->name.schema == map_.shared_schema ? table->name.name : table->name.display());
        auto const near = base::nearest(pattern.text, known);
        problem(pattern.where, fmt::format("there is no table \"{}\"{}", pattern.text,
                                           near ? fmt::format(", did you mean \"{}\"?", *near) : ""));
    }

    void claim_tables(Service const& service) {
        for (auto const& pattern : service.tables) {
            if (!matches_anything(pattern, service))
                nothing_matches(pattern);
        }
        for (auto const* const table : roots_) {
            bool const moved = table->name.schema == service.schema && service.schema != map_.shared_schema;
            if (moved) {
                bool const known = std::ranges::any_of(service.tables, [&](TablePattern const& p) {
                    return !p.exclude && (matches_moved(p, service, table->name) || model::pattern_matches(p, table->name));
                });
                if (known)
                    result_.owner.emplace(table->name, service.name);
                continue;
            }
            if (service_schemas_.contains(table->name.schema) || !model::patterns_own(service.tables, table->name))
                continue;
            auto const [at, fresh] = result_.owner.emplace(table->name, service.name);
            if (!fresh) {
                auto const* const other = map_.service(at->second);
                problem(service.where, fmt::format("table {} is owned twice: by {} ({}:{}) and by {}", table->name.display(),
                                                   at->second, other->where.file, other->where.line, service.name));
                continue;
            }
            result_.roots[service.name].push_back(table->name);
        }
    }

    void check_foreign_keys(Service const& service) {
        for (auto const& decision : service.foreign_keys) {
            // After a cutover the key may exist on either side of the service.
            bool found = false;
            bool child_there = false;
            for (auto const& child : {decision.child, QName{service.schema, decision.child.name}}) {
                auto const* const table = catalog_.find(child);
                if (table == nullptr)
                    continue;
                child_there = true;
                auto const fits = [&](model::Constraint const& c) { return c.type == 'f' && decision_fits(decision, decision.child, c); };
                found = found || std::ranges::any_of(catalog_.tables, [&](Table const& t) {
                            return (&t == table || within(catalog_, t.name, child)) && std::ranges::any_of(t.constraints, fits);
                        }) || std::ranges::any_of(severed_, [&](model::SeveredKey const& key) {
                            return (key.child == child || within(catalog_, key.child, child)) && decision_fits(decision, key);
                        });
            }
            if (!child_there)
                problem(decision.where, fmt::format("there is no table {}", decision.child.display()));
            else if (!found)
                problem(decision.where, fmt::format("{} has no such foreign key", decision.child.display()));
        }
    }

public:
    // Whether `table` is a partition of `root`, at whatever depth.
    [[nodiscard]] static bool within(Catalog const& catalog, QName const& table, QName const& root) {
        for (auto const* at = catalog.find(table); at != nullptr && at->partition_of; at = catalog.find(*at->partition_of)) {
            if (*at->partition_of == root)
                return true;
        }
        return false;
    }
    [[nodiscard]] static bool decision_fits(model::ForeignKeyDecision const& decision, QName const& child,
                                            model::Constraint const& key) {
        if (decision.child != child)
            return false;
        if (decision.constraint)
            return *decision.constraint == key.name;
        return decision.columns == key.columns && decision.parent && decision.parent->name == key.referenced.name;
    }
    // Whatever the names of its two tables are by now.
    [[nodiscard]] static bool decision_fits(model::ForeignKeyDecision const& decision, model::SeveredKey const& key) {
        if (decision.constraint)
            return *decision.constraint == key.name;
        return decision.columns == key.columns && decision.parent && decision.parent->name == key.parent.name;
    }

private:
    model::BoundaryMap const& map_;
    Catalog const& catalog_;
    std::vector<model::SeveredKey> const& severed_;
    std::set<std::string> service_schemas_;
    std::vector<Table const*> roots_;
    Ownership result_;
};

} // namespace

std::string Problem::text() const { return fmt::format("{}:{}: {}: {}", where.file, where.line, where.key, message); }

std::optional<std::string> Ownership::owner_of(QName const& table) const {
    auto const at = owner.find(table);
    return at == owner.end() ? std::nullopt : std::optional{at->second};
}

Ownership resolve(model::BoundaryMap const& map, Catalog const& catalog, std::vector<model::SeveredKey> const& severed) {
    return Resolver{map, catalog, severed}.run();
}

void require_valid(Ownership const& ownership) {
    if (ownership.problems.empty())
        return;
    base::Error error{base::Exit::usage, "config",
                      fmt::format("{} problem(s) between pgcarve.toml and the database", ownership.problems.size()),
                      "mend them all, nothing was touched"};
    for (auto const& problem : ownership.problems)
        error.with(problem.text());
    throw std::move(error);
}

std::optional<model::CrossingDecision> decision_for(Service const& service, Catalog const& catalog, QName const& child, model::Constraint const& key) {
    for (std::optional name = child; name;) {
        for (auto const& decision : service.foreign_keys) {
            if (Resolver::decision_fits(decision, *name, key))
                return decision.decision;
        }
        auto const* const table = catalog.find(*name);
        name = table != nullptr ? table->partition_of : std::nullopt;
    }
    return std::nullopt;
}

} // namespace pgcarve::plan
