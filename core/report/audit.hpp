// What an audit reports, as it happens: text for a person, or one JSON document a line. No row values, only keys and columns.
// Pure.
#pragma once

#include <string>

#include "model/audit.hpp"
#include "report/render.hpp"

namespace pgcarve::report {

[[nodiscard]] std::string text(model::AuditDifference const& difference, Style style);
[[nodiscard]] std::string text(model::AuditEqual const& equal, Style style);
[[nodiscard]] std::string text(model::AuditSummary const& summary, Style style);

// `event` tells them apart: difference, equal_again, summary.
[[nodiscard]] std::string json_line(std::string const& service, model::AuditDifference const& difference);
[[nodiscard]] std::string json_line(std::string const& service, model::AuditEqual const& equal);
[[nodiscard]] std::string json_line(model::AuditSummary const& summary);

} // namespace pgcarve::report
