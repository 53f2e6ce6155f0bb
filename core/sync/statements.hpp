// The statements that apply changes: every parameter is a text[], one for each column, one element for each row.
//
// The target's own input functions read the values, so that a type of an extension needs no knowledge here. Rows are
// found by the key's index, whatever the planner thinks of the arrays: the applier's session has the other join
// methods switched off. Pure.
#pragma once

#include <string>
#include <vector>

#include "sync/mapping.hpp"

namespace pgcarve::sync {

// Parameters: the columns `set` (indexes into columns); the others take their default.
[[nodiscard]] std::string insert_statement(MappedTable const& table, std::vector<std::size_t> const& set);
// COPY in its text form, for many rows.
[[nodiscard]] std::string copy_statement(MappedTable const& table, std::vector<std::size_t> const& set);
// Parameters: the key's columns, in the key's order.
[[nodiscard]] std::string delete_statement(MappedTable const& table);
// Sets `set` (indexes into columns). Parameters: the key that finds the row, then the values to set. An identity that
// is always generated cannot be set: there the row has to have the value already, or is not met.
[[nodiscard]] std::string update_statement(MappedTable const& table, std::vector<std::size_t> const& set);
[[nodiscard]] std::string truncate_statement(std::vector<MappedTable const*> const& tables, bool restart_identity);

} // namespace pgcarve::sync
