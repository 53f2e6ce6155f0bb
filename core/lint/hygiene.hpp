// What the hygiene rules share.
#pragma once

#include <string>
#include <string_view>

#include "lint/rule.hpp"

namespace pgcarve::lint {

// Tells of every column that is made with, or changed to, a type of which `is` says so. A temporary table's do not count.
void tell_types(Context const& context, bool (*is)(Type const&), std::string_view because);

// A type of the server itself.
[[nodiscard]] bool is_builtin(Type const& type, std::string_view name);

[[nodiscard]] std::string column_of(Context const& context, std::string const& column); // orders.note

} // namespace pgcarve::lint
