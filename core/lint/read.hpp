// One statement's text to what it does.
//
// Parses with PostgreSQL 15's own grammar (libpg_query). Bodies of DO blocks and of routines in SQL and
// PL/pgSQL are read too; what they hold in another language, or as dynamic SQL, is told as such.
//
// Never throws for bad input; the parser's complaint becomes a gap.
// REQUIRES that the statement came from split() without an obstacle, which bounds its nesting.
#pragma once

#include <string_view>

#include "lint/facts.hpp"

namespace pgcarve::lint {

[[nodiscard]] Statement read_statement(std::string_view text, Span span);

} // namespace pgcarve::lint
