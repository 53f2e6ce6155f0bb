// What verifications found, for CI systems, monitoring and chats. Text and JSON: report/render.hpp.
// Pure. No row values are shown, only keys and the names of columns.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "model/verification.hpp"

namespace pgcarve::report {

using Verifications = std::vector<model::Verification>;
// Why nothing of a service could be judged, by its name.
using Reasons = std::map<std::string, std::string>;

// One suite a service, one case a table: `different` is a failure, `incomplete` an error.
[[nodiscard]] std::string verification_junit(Verifications const& services, Reasons const& reasons = {});
[[nodiscard]] std::string verification_markdown(Verifications const& services, Reasons const& reasons = {});
// Prometheus' text format. `finished`: seconds since 1970.
[[nodiscard]] std::string verification_prometheus(Verifications const& services, std::int64_t finished);

} // namespace pgcarve::report
