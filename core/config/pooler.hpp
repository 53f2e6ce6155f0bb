// [pgbouncer] and [service.NAME.pgbouncer] of pgcarve.toml.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "model/pooler.hpp"

namespace pgcarve::config {

// The service's own section, else the one for all. `toml` has been through parse() without a problem, which judges these
// sections too.
[[nodiscard]] std::optional<model::PoolerSettings> pooler_of(std::string_view toml, std::string const& service);

} // namespace pgcarve::config
