// Verification and repair of a service's tables as they stand now, whichever side is the authority.
#pragma once

#include <string>
#include <vector>

#include "control/store.hpp"
#include "model/setup.hpp"
#include "run/context.hpp"
#include "verify/compare.hpp"

namespace pgcarve::run {

// The setup with the names that the tables have now: under legacy = "view" the old table is held under another
// name while the service's schema is the authority.
[[nodiscard]] model::Setup current_names(control::ServiceState const& state);

// Pairs to compare: roots only, `source` = the authority now.
[[nodiscard]] std::vector<model::TablePair> oriented_pairs(control::ServiceState const& state);

// Services of the boundary map whose rows are on two sides now.
[[nodiscard]] std::vector<std::string> services_in_flight(Context& context);

// Compares and records the verdict. Throws "nothing-to-verify" (exit 2) when there is only one copy of the rows,
// "not-proven" (exit 3) while the backfill runs.
[[nodiscard]] model::Verification verify_service(Context& context, std::string const& service,
                                                 verify::CompareOptions const& options, verify::CompareEvents const& events);

} // namespace pgcarve::run
