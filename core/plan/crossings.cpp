#include "plan/crossings.hpp"

#include <algorithm>
#include <set>
#include <tuple>

#include <fmt/format.h>

#include "plan/database.hpp"

namespace pgcarve::plan {

using model::Crossing;
using sql::QName;

namespace {

std::string short_name(model::BoundaryMap const& map, QName const& name) {
    return name.schema == map.shared_schema ? sql::display_ident(name.name) : name.display();
}

std::string key_name(model::BoundaryMap const& map, QName const& child, model::Constraint const& key) {
    std::string columns;
    for (auto const& column : key.columns)
        columns += (columns.empty() ? "" : ",") + sql::display_ident(column);
    return fmt::format("{}.{} -> {}", short_name(map, child), columns, short_name(map, key.referenced));
}

// The side that holds the decision: the service that owns the child, else the one that is asked about.
std::optional<model::CrossingDecision> decided(model::BoundaryMap const& map, model::Service const& service, Ownership const& ownership,
                                               model::Catalog const& catalog, QName const& child, model::Constraint const& key) {
    auto const* decider = &service;
    if (auto const owner = ownership.owner_of(child); owner && map.service(*owner) != nullptr)
        decider = map.service(*owner);
    auto const decision = decision_for(*decider, catalog, child, key);
    return decision ? decision : decision_for(service, catalog, child, key);
}

class Finder {
public:
    Finder(model::BoundaryMap const& map, model::Service const& service, Ownership const& ownership,
           model::Catalog const& catalog)
        : map_{map}, service_{service}, ownership_{ownership}, catalog_{catalog} {}

    std::vector<Crossing> run() {
        for (auto const& table : catalog_.tables) {
            for (auto const& constraint : table.constraints) {
                if (constraint.type == 'f' && !constraint.inherited)
                    foreign_key(table, constraint);
            }
        }
        readers();
        single_dependencies();
        auto const rank = [](Crossing const& c) { return std::tie(c.kind, c.from, c.to); };
        std::ranges::sort(found_, {}, rank);
        auto const twice = std::ranges::unique(found_, {}, rank);
        found_.erase(twice.begin(), twice.end());
        return std::move(found_);
    }

private:
    [[nodiscard]] bool mine(QName const& table) const { return ownership_.owner_of(table) == service_.name; }
    [[nodiscard]] bool is_table(QName const& name) const { return catalog_.find(name) != nullptr; }

    [[nodiscard]] std::string owner_text(QName const& table) const {
        return ownership_.owner_of(table).value_or("no service");
    }

    void foreign_key(model::Table const& child, model::Constraint const& key) {
        bool const from_mine = mine(child.name);
        bool const to_mine = mine(key.referenced);
        if (from_mine == to_mine)
            return;
        auto const decision = decided(map_, service_, ownership_, catalog_, child.name, key);
        found_.push_back({"foreign_key", key_name(map_, child.name, key), owner_text(key.referenced),
                          decision ? model::text(*decision) : "undecided",
                          from_mine ? fmt::format("{} of {} refers to it", child.name.display(), service_.name)
                                    : fmt::format("{} refers to {}", owner_text(child.name), service_.name)});
    }

    // Views and functions: they cross when they use tables of this service and of another owner.
    void readers() {
        static std::set<std::string> const kinds{"view", "materialized_view", "function"};
        std::map<std::pair<std::string, std::string>, std::set<QName>> uses;
        std::map<std::pair<std::string, std::string>, bool> certain;
        for (auto const& d : catalog_.dependencies) {
            if (!kinds.contains(d.kind) || !d.to || !is_table(*d.to))
                continue;
            uses[{d.kind, d.name}].insert(*d.to);
            certain[{d.kind, d.name}] |= d.certain;
        }
        for (auto const& [object, tables] : uses) {
            std::set<std::string> others;
            for (auto const& table : tables) {
                if (!mine(table))
                    others.insert(owner_text(table));
            }
            bool const touches = std::ranges::any_of(tables, [&](QName const& t) { return mine(t); });
            if (!touches || others.empty())
                continue;
            std::string to;
            for (auto const& other : others)
                to += (to.empty() ? "" : ", ") + other;
            found_.push_back({object.first, object.second, to, "none needed",
                              certain[object] ? "reads both; it goes on reading the old tables, which stay in step until `complete`"
                                              : "its text names tables of both; look at what it writes"});
        }
    }

    void single_dependencies() {
        for (auto const& d : catalog_.dependencies) {
            if (d.kind == "trigger" && d.from && d.to && mine(*d.from) != mine(*d.to)) {
                found_.push_back({"trigger", fmt::format("{} on {}", d.name, short_name(map_, *d.from)),
                                  fmt::format("{} ({})", short_name(map_, *d.to), owner_text(*d.to)), "none needed", d.detail});
            } else if (d.kind == "sequence" && d.from && d.to && is_table(*d.to) && mine(*d.from) != mine(*d.to)) {
                found_.push_back({"sequence", d.name, fmt::format("{} ({})", short_name(map_, *d.to), owner_text(*d.to)),
                                  "none needed", d.detail + "; it stays shared"});
            } else if (d.kind == "policy" && d.from && d.to && mine(*d.from) != mine(*d.to)) {
                found_.push_back({"policy", fmt::format("{} on {}", d.name, short_name(map_, *d.from)),
                                  fmt::format("{} ({})", short_name(map_, *d.to), owner_text(*d.to)), "none needed", d.detail});
            } else if (d.kind == "type" && d.from && mine(*d.from)) {
                shared_type(d);
            } else if (d.kind == "publication" && d.to && mine(*d.to)) {
                found_.push_back({"publication", d.name, short_name(map_, *d.to), "none needed",
                                  "the copy in the service's schema is not added to it"});
            }
        }
    }

    // A type crosses when tables of other owners use it as well.
    void shared_type(model::Dependency const& d) {
        std::set<std::string> others;
        for (auto const& other : catalog_.dependencies) {
            if (other.kind == "type" && other.object == d.object && other.from && !mine(*other.from))
                others.insert(owner_text(*other.from));
        }
        if (others.empty())
            return;
        std::string to;
        for (auto const& other : others)
            to += (to.empty() ? "" : ", ") + other;
        found_.push_back({"type", d.name, to, "none needed", d.detail + ", used by both; it stays shared while in one database"});
    }

    model::BoundaryMap const& map_;
    model::Service const& service_;
    Ownership const& ownership_;
    model::Catalog const& catalog_;
    std::vector<Crossing> found_;
};

} // namespace

std::vector<Crossing> crossings(model::BoundaryMap const& map, model::Service const& service, Ownership const& ownership,
                                model::Catalog const& catalog) {
    return Finder{map, service, ownership, catalog}.run();
}

namespace {

struct Decided {
    CrossingKey key;
    std::string name; // as pgcarve.toml has it
    std::optional<model::CrossingDecision> decision;
};

std::vector<Decided> decided_keys(model::BoundaryMap const& map, model::Service const& service, Ownership const& ownership, model::Setup const& setup,
                                  model::Catalog const& catalog) {
    std::vector<Decided> all;
    for (auto& key : crossing_keys(setup, catalog)) {
        auto known = *key.constraint;
        known.referenced = key.original_parent;
        auto const decision = decided(map, service, ownership, catalog, key.original_child, known);
        // The keys of partitions go by the name of the partitioned table, but for one that is decided by itself.
        auto child = key.original_child;
        if (!decided(map, service, ownership, {}, child, known)) {
            for (auto const* at = catalog.find(child); at != nullptr && at->partition_of; at = catalog.find(child))
                child = *at->partition_of;
        }
        auto name = key_name(map, child, known);
        all.push_back({std::move(key), std::move(name), decision});
    }
    return all;
}

} // namespace

Severance severance(model::BoundaryMap const& map, model::Service const& service, Ownership const& ownership, model::Setup const& setup,
                    model::Catalog const& catalog) {
    Severance found;
    std::set<std::string> undecided;
    std::set<std::string> kept;
    for (auto& [key, name, decision] : decided_keys(map, service, ownership, setup, catalog)) {
        if (!decision)
            undecided.insert(name);
        else if (*decision == model::CrossingDecision::keep)
            kept.insert(name);
        key.key.decision = decision.value_or(model::CrossingDecision::drop);
        found.keys.push_back(std::move(key.key));
    }
    found.undecided.assign(undecided.begin(), undecided.end());
    found.kept.assign(kept.begin(), kept.end());
    return found;
}

std::vector<Crossing> database_crossings(model::BoundaryMap const& map, model::Service const& service, Ownership const& ownership,
                                         model::Setup const& setup, model::Catalog const& catalog) {
    auto found = crossings(map, service, ownership, catalog);
    std::erase_if(found, [](Crossing const& c) { return c.kind == "foreign_key"; });
    std::set<std::string> seen;
    std::vector<Crossing> keys;
    for (auto const& [key, name, decision] : decided_keys(map, service, ownership, setup, catalog)) {
        if (!seen.insert(name).second)
            continue;
        auto const owner = [&](QName const& table) { return ownership.owner_of(table).value_or("no service"); };
        keys.push_back({"foreign_key", name, owner(key.original_parent), decision ? model::text(*decision) : "undecided",
                        key.key.parent_moves ? fmt::format("{} refers to {}; severed by the cutover", owner(key.original_child), service.name)
                                             : fmt::format("{} of {} refers to it; severed by the cutover", key.original_child.display(), service.name)});
    }
    found.insert(found.begin(), keys.begin(), keys.end());
    auto const rank = [](Crossing const& c) { return std::tie(c.kind, c.from, c.to); };
    std::ranges::sort(found, {}, rank);
    return found;
}

} // namespace pgcarve::plan
