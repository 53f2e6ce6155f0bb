// The SQL that a finding's advice comes to, where it can be written down from the statement alone.
//
// Each of the statements is to be run in a transaction of its own. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "lint/lint.hpp"

namespace pgcarve::lint {

struct Rewrite {
    std::size_t finding = 0; // of LintReport::findings
    std::size_t file = 0;    // of Input::files
    Span span;               // the statement that it stands for
    std::vector<std::string> sql;
};

// For every finding of L05, L07, L08, L09, L12, L13, L14, L17 and L19 whose statement does that one thing.
[[nodiscard]] std::vector<Rewrite> rewrites(model::LintReport const& report, Input const& input);

} // namespace pgcarve::lint
