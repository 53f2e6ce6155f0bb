// Metrics in Prometheus' text format. Pure.
#pragma once

#include <string>

#include "model/metrics.hpp"

namespace pgcarve::report {

[[nodiscard]] std::string prometheus(model::Metrics const& metrics);

} // namespace pgcarve::report
