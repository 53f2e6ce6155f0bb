// What `pgcarve assess` found, for a person and for a program. The JSON is also the inventory that --save writes and
// that `pgcarve lint --inventory` reads: beside the pinned fields it holds what decides a verdict about a table.
#pragma once

#include "model/assessment.hpp"
#include "report/render.hpp"

namespace pgcarve::report {

[[nodiscard]] std::string text(model::Assessment const& assessment, Style style);
[[nodiscard]] std::string json(model::Assessment const& assessment);

} // namespace pgcarve::report
