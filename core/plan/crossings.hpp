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

} // namespace pgcarve::plan
