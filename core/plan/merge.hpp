// One ALTER TABLE per table instead of one per trigger: writers wait for each of them. Pure.
#pragma once

#include <string>
#include <vector>

namespace pgcarve::plan {

// "ALTER TABLE [ONLY] name " at the beginning of a statement of ours; empty when it is another statement.
[[nodiscard]] std::string alter_head(std::string const& statement);

// Tables keep the order of their first statement, and a table's own changes their order. Other statements stay where they are.
[[nodiscard]] std::vector<std::string> merged(std::vector<std::string> const& statements);

} // namespace pgcarve::plan
