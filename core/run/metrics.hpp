// What monitoring wants to know of every service, in one look at the shared database. Reads only.
#pragma once

#include "model/metrics.hpp"
#include "run/context.hpp"

namespace pgcarve::run {

// Errors: as `status`. Metrics of services that were never split have their phase and nothing else.
[[nodiscard]] model::Metrics metrics(Context& context);

} // namespace pgcarve::run
