// Names as pgcarve.toml writes them: table patterns and the keys of [service.X.foreign_keys].
//
// A part is written bare, or in SQL double quotes (a quote inside doubled). Bare text is
// taken as it stands, without case folding; quoted text is never a pattern.
#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "model/boundary.hpp"

namespace pgcarve::config {

// What is wrong with a name, for the reader of the file.
struct BadName {
    std::string message;
};

// "[!][schema.]table"; a bare part may hold * and ?.
[[nodiscard]] std::variant<model::TablePattern, BadName> parse_pattern(std::string_view text,
                                                                       std::string const& shared_schema);

// "[schema.]child.column[, column…] -> [schema.]parent", or "[schema.]child constraint".
// The decision is left at its default.
[[nodiscard]] std::variant<model::ForeignKeyDecision, BadName>
parse_foreign_key(std::string_view text, std::string const& shared_schema);

// A key as TOML wants it: in quotes of the kind that the text leaves free.
[[nodiscard]] std::string toml_key(std::string_view text);

// A password or another secret stands in a libpq connection string (key=value or URI).
[[nodiscard]] bool holds_secret(std::string_view dsn);

} // namespace pgcarve::config
