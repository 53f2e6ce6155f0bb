// A catalog as the SQL text that the static witness learns a schema from.
//
// Not for a server: only what decides a verdict is in it: columns, types, NOT NULL, constraints, indexes, partitions.
#pragma once

#include <string>

#include "model/catalog.hpp"

namespace pgcarve::lint {

[[nodiscard]] std::string catalog_text(model::Catalog const& catalog);

} // namespace pgcarve::lint
