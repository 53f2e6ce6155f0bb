// The history of verifications beyond what one service's gate asks for (Store::history): its size, and its end.
#pragma once

#include <optional>
#include <string>

#include "base/duration.hpp"
#include "pg/session.hpp"

namespace pgcarve::control {

// Deletes verifications that ended longer ago than `keep`, with their resolved findings. What the gate and the report of where
// things stand need stays: the newest `newest`, the last that was not clean, the last that differed, and those with unresolved
// findings. Returns how many went.
long long prune_history(pg::Session& session, std::string const& service, base::Millis keep, int newest);

[[nodiscard]] long long unresolved_findings(pg::Session& session, std::string const& service);

// How long a verification took, in seconds.
[[nodiscard]] std::optional<double> verification_seconds(pg::Session& session, long long id);

} // namespace pgcarve::control
