// The inventory of the shared database, with its crossings.
#pragma once

#include "model/assessment.hpp"
#include "run/context.hpp"

namespace pgcarve::run {

// Reads only. Errors: "config" (exit 2) when the boundary map does not fit the database.
[[nodiscard]] model::Assessment assess(Context& context);

} // namespace pgcarve::run
