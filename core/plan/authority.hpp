// Plans a cutover or a rollback of the schema hop.
//
// The plan's step "switch" is one transaction (run/authority/switch.hpp); the steps before it prepare
// and are undone when the switch does not take place; the steps after it tidy up and are
// finished by a rerun.
#pragma once

#include <string>
#include <vector>

#include "cutover/phase.hpp"
#include "model/catalog.hpp"
#include "model/plan.hpp"
#include "model/setup.hpp"

namespace pgcarve::plan {

inline constexpr char const* switch_step = "switch";

// `catalog` as it is now; `setup` with the names the tables have now (run/proof/verification.hpp, current_names()).
// `to`: schema for a cutover, shared for a rollback.
[[nodiscard]] model::Plan plan_authority(std::string const& service, model::Setup const& setup, model::Catalog const& catalog,
                                         cutover::Authority to);

// The tables to lock in the switch: roots of both sides that exist, in the order in which to lock them: first the side
// that takes writes now, and there the referenced tables before those that refer to them.
[[nodiscard]] std::vector<sql::QName> tables_to_lock(model::Setup const& setup, model::Catalog const& catalog,
                                                     cutover::Authority authority);

} // namespace pgcarve::plan
