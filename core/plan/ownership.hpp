// Resolves the boundary map against a catalog: which service owns which table.
//
// Patterns speak of tables as the monolith knows them. A table which has already moved into
// its service's schema still counts as matched by its old name, so that pgcarve.toml stays
// valid through the whole life of a service. Partitions follow their root.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "model/boundary.hpp"
#include "model/catalog.hpp"
#include "model/setup.hpp"

namespace pgcarve::plan {

struct Problem {
    model::Where where;
    std::string message;
    [[nodiscard]] std::string text() const; // file:line: key: message
};

struct Ownership {
    std::map<sql::QName, std::string> owner;                 // every owned table, partitions too
    std::map<std::string, std::vector<sql::QName>> roots;    // a service's own tables, sorted, without partitions
    std::vector<sql::QName> reference;                       // tables of [reference]
    std::vector<Problem> problems;                           // all of them, in the order of the file

    [[nodiscard]] std::optional<std::string> owner_of(sql::QName const& table) const;
};

// `severed`: foreign keys that database cutovers have dropped; a decision about one of them stays valid.
[[nodiscard]] Ownership resolve(model::BoundaryMap const& map, model::Catalog const& catalog, std::vector<model::SeveredKey> const& severed = {});

// Throws Error "config" (exit 2) with every problem as a detail, if there are any.
void require_valid(Ownership const& ownership);

// The decision taken for a foreign key; nullopt when none was. One for a partitioned table holds for the keys of its partitions too,
// unless they have their own.
[[nodiscard]] std::optional<model::CrossingDecision> decision_for(model::Service const& service, model::Catalog const& catalog,
                                                                  sql::QName const& child, model::Constraint const& key);

} // namespace pgcarve::plan
