// "Did you mean …": the known word nearest to a mistyped one.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgcarve::base {

// The candidate with the fewest edits (insert, delete, replace, swap of neighbours; letter case is free);
// nullopt when none is within a third of the word's length, at least one edit.
[[nodiscard]] std::optional<std::string> nearest(std::string_view word,
                                                 std::vector<std::string> const& candidates);

} // namespace pgcarve::base
