// Durations as people write them in pgcarve.toml and on the command line: 500ms, 45s, 10m, 6h, 28d.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace pgcarve::base {

using Millis = std::chrono::milliseconds;

// A whole number and one unit (ms, s, m, h, d), nothing else; nullopt for anything else,
// a bare number included: a number without a unit is a guess.
[[nodiscard]] std::optional<Millis> parse_duration(std::string_view text);

// The largest unit that shows the value exactly: 28d, 90m, 1500ms, 0s.
[[nodiscard]] std::string format_duration(Millis value);

// For people: at most two units, rounded down: "27d 4h", "3m 20s", "450ms".
[[nodiscard]] std::string describe_duration(Millis value);

} // namespace pgcarve::base
