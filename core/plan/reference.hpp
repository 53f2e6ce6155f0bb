// Tables of others that a service reads in its own database: [reference], and the parents of foreign keys decided as
// "replicate". They follow the shared database's for as long as the hop stands, on both sides of the cutover, by a stream of
// their own, and take no other writes.
// Pure.
#pragma once

#include <string>
#include <vector>

#include "mirrorgen/mirrorgen.hpp"
#include "model/catalog.hpp"
#include "model/setup.hpp"
#include "plan/crossings.hpp"
#include "plan/ownership.hpp"

namespace pgcarve::plan {

// With their partitions, parents before them. The service's own tables are none.
[[nodiscard]] std::vector<model::TablePair> reference_pairs(model::DatabaseSetup const& database, Ownership const& ownership, std::vector<model::SeveredKey> const& severed,
                                                            model::Catalog const& shared);

// What refuses writes to them in the other database; roots only, always armed.
[[nodiscard]] std::vector<mirrorgen::Machinery> reference_locks(model::DatabaseSetup const& database, model::Catalog const& other);

} // namespace pgcarve::plan
