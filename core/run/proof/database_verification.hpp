// Verification and repair of a service that is in the database hop: what the control schema knows, joined with the
// comparison across two databases.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "run/proof/across_verification.hpp"
#include "verify/repair.hpp"

namespace pgcarve::run {

// Compares both databases and records the verdict. `incremental`: what changed since the last clean verification of the whole
// service and a share of the rest; everything, where there is none that counts any more, which the verdict's mode says.
// Throws "not-proven" (exit 3) while the copy runs or a switch is half done, and as verify_across().
[[nodiscard]] model::Verification verify_database(Context& context, control::ServiceState const& state, bool incremental,
                                                  verify::CompareOptions const& options, verify::CompareEvents const& events);

// Compares afresh and hands out what repair_database() would begin with; changes nothing.
[[nodiscard]] verify::RepairReport plan_database_repair(Context& context, control::ServiceState const& state, std::vector<std::string> const& tables,
                                                        verify::RepairEvents const& events);

// Makes the follower's rows what the authority's are, in order with the stream, and compares them again at a new position.
[[nodiscard]] verify::RepairReport repair_database(Context& context, control::ServiceState const& state, std::vector<std::string> const& tables,
                                                   verify::RepairEvents const& events);

} // namespace pgcarve::run
