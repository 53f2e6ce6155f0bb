// The objects that span two owners, with what was decided about each.
#pragma once

#include <vector>

#include "model/boundary.hpp"
#include "model/catalog.hpp"
#include "model/plan.hpp"
#include "plan/ownership.hpp"

namespace pgcarve::plan {

// The crossings of one service, sorted by kind and name. A foreign key is named as pgcarve.toml names it, so the line can
// be copied there. "undecided" closes the gate of the database hop; in the schema hop it is kept.
[[nodiscard]] std::vector<model::Crossing> crossings(model::BoundaryMap const& map, model::Service const& service,
                                                     Ownership const& ownership, model::Catalog const& catalog);

// What a database hop severs: the foreign keys between the service's tables and others, each with its decision.
struct Severance {
    std::vector<model::SeveredKey> keys; // all; an undecided one counts as dropped here
    std::vector<std::string> undecided;  // as pgcarve.toml names them
    std::vector<std::string> kept;       // decided as "keep", which two databases cannot do
};
// `setup` with its database; `catalog`: of the shared database.
[[nodiscard]] Severance severance(model::BoundaryMap const& map, model::Service const& service, Ownership const& ownership, model::Setup const& setup,
                                  model::Catalog const& catalog);

// The crossings of a service as its database hop sees them: the foreign keys that it severs, each once, and what else crosses.
[[nodiscard]] std::vector<model::Crossing> database_crossings(model::BoundaryMap const& map, model::Service const& service, Ownership const& ownership,
                                                              model::Setup const& setup, model::Catalog const& catalog);

} // namespace pgcarve::plan
