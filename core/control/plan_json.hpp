// Plans and setups as JSON, as the control schema stores them. What is read back equals what was written.
#pragma once

#include <nlohmann/json.hpp>

#include "model/plan.hpp"
#include "model/setup.hpp"

namespace pgcarve::control {

[[nodiscard]] nlohmann::json to_json(model::Plan const& plan);
[[nodiscard]] model::Plan plan_from_json(nlohmann::json const& json);
[[nodiscard]] nlohmann::json to_json(model::Setup const& setup);
[[nodiscard]] model::Setup setup_from_json(nlohmann::json const& json);

} // namespace pgcarve::control
