// An inventory, as `pgcarve assess --save` writes it, back to what lint needs of a catalog.
#pragma once

#include <string>

#include "model/catalog.hpp"

namespace pgcarve::lint {

// Tables with columns, constraints, indexes and partitions, and the server's version; nothing else of a Catalog is
// filled. Throws base::Error "inventory" (exit 2) saying what is wrong with the text.
[[nodiscard]] model::Catalog parse_inventory(std::string const& json);

} // namespace pgcarve::lint
