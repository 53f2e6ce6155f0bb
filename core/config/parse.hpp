// pgcarve.toml, as text, to the boundary map.
//
// Not here: reading the file (cmd/), resolving patterns against a catalog (plan/).
//
// Everything that is wrong is found in one go: only a TOML syntax error hides what comes
// after it. Values that a problem makes unusable keep their defaults, so `map` is whole but
// must not be used while there are problems.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/boundary.hpp"

namespace pgcarve::config {

struct Problem {
    model::Where where;
    std::string message;
    [[nodiscard]] std::string text() const; // file:line: key: message
};

struct Parsed {
    model::BoundaryMap map;
    std::vector<Problem> problems; // in the order of the file
    std::vector<Problem> warnings; // likewise; nothing that stops a verb
};

// Never throws for bad input. `file` is only for messages.
[[nodiscard]] Parsed parse(std::string_view toml, std::string const& file);

// The map, or Error "config" (exit 2) with every problem as a detail; warnings are appended to `warnings`.
[[nodiscard]] model::BoundaryMap parse_or_throw(std::string_view toml, std::string const& file,
                                                std::vector<Problem>& warnings);

// A commented pgcarve.toml that says what every key does. It parses as it stands.
[[nodiscard]] std::string_view template_text();

} // namespace pgcarve::config
