// The service's role in the other database: made there when pgcarve.toml says so, and given what its work takes.
// Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ddl/target.hpp"
#include "model/boundary.hpp"
#include "model/plan.hpp"
#include "model/setup.hpp"

namespace pgcarve::plan {

[[nodiscard]] std::vector<model::Notice> target_role_notices(model::Service const& service, model::DatabaseSetup const& setup, model::Catalog const& target);
// nullopt: it is there, or there is none.
[[nodiscard]] std::optional<model::Step> target_role_step(model::Service const& service, model::Catalog const& target);
// Behind the tables. `handovers`: the sequences that they draw from.
[[nodiscard]] std::optional<model::Step> target_rights_step(model::Service const& service, model::DatabaseSetup const& setup,
                                                            std::vector<ddl::SequenceHandover> const& handovers, model::Catalog const& target);

} // namespace pgcarve::plan
