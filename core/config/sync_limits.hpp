// [sync] of pgcarve.toml.
#pragma once

#include <optional>
#include <string_view>

#include "model/sync_limits.hpp"

namespace pgcarve::config {

// Defaults where there is nothing. `toml` has been through parse() without a problem, which judges this section too.
[[nodiscard]] model::SyncLimits sync_limits_of(std::string_view toml);

// "50GB", "512MB", "1048576": bytes, in steps of 1024. nullopt: it is no such size.
[[nodiscard]] std::optional<long long> parse_size(std::string_view text);

} // namespace pgcarve::config
