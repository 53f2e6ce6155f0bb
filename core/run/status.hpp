// Where services stand: phase, window, gate, what to type next.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "model/status.hpp"
#include "run/context.hpp"

namespace pgcarve::run {

// Of one service, or of all in pgcarve.toml and the control schema, by name. A service that was never split is "planned".
[[nodiscard]] std::vector<model::ServiceStatus> status(Context& context, std::optional<std::string> const& service);

} // namespace pgcarve::run
