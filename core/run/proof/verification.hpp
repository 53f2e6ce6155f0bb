// Verification and repair of a service's tables as they stand now, whichever side is the authority.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "control/store.hpp"
#include "model/setup.hpp"
#include "run/context.hpp"
#include "verify/compare.hpp"
#include "verify/repair.hpp"

namespace pgcarve::run {

// The setup with the names that the tables have now: under legacy = "view" the old table is held under another
// name while the service's schema is the authority.
[[nodiscard]] model::Setup current_names(control::ServiceState const& state);

// Pairs to compare: roots only, `source` = the authority now.
[[nodiscard]] std::vector<model::TablePair> oriented_pairs(control::ServiceState const& state);

// Services of the boundary map whose rows are on two sides now.
[[nodiscard]] std::vector<std::string> services_in_flight(Context& context);

// Compares and records the verdict. `incremental`: what was written since the last clean verification, and a share of the rest.
// Throws "nothing-to-verify" (exit 2) when there is only one copy of the rows, "not-proven" (exit 3) while the backfill runs.
[[nodiscard]] model::Verification verify_service(Context& context, std::string const& service, bool incremental,
                                                 verify::CompareOptions const& options, verify::CompareEvents const& events);

struct RepairRequest {
    std::string service;
    std::vector<std::string> tables; // empty: all
};

// Compares and hands out every statement that a repair would begin with; changes nothing.
[[nodiscard]] verify::RepairReport repair_plan(Context& context, RepairRequest const& request,
                                               std::function<void(verify::RepairStatement const&)> const& statement);

// Repairs the follower, under the service's lease where both copies are in one database; what was proven equal resolves its findings. Recorded in the journal.
[[nodiscard]] verify::RepairReport repair_service(Context& context, RepairRequest const& request);

} // namespace pgcarve::run
