// The statements that bring one range of a table to the target. Pure.
#pragma once

#include <string>
#include <vector>

#include "sql/builder.hpp"
#include "sync/chunks.hpp"
#include "sync/mapping.hpp"

namespace pgcarve::sync {

// Whether the binary form of every column means the same at both sides.
[[nodiscard]] bool binary_agrees(MappedTable const& table);

[[nodiscard]] std::string copy_out_statement(MappedTable const& table, Range const& range);
[[nodiscard]] std::string copy_in_statement(MappedTable const& table);
// The key that ends a range of so many rows; no row when fewer are left.
[[nodiscard]] sql::Sql end_of_range_statement(MappedTable const& table, Range const& from, long long rows);

// For a target that has rows already. The source's rows of the range come into a table that ends with the transaction;
// then what differs is changed and nothing else, compared as the bytes that are stored (1.0 is not 1.00). `mend` has
// statements that return how many rows they touched, in the order in which they are to run.
struct RangeRepair {
    std::string stage;   // makes that table
    std::string copy_in; // into it
    std::string analyze;
    std::vector<sql::Sql> mend;
};
[[nodiscard]] RangeRepair range_repair(MappedTable const& table, Range const& range);

// What the target has in the range goes.
[[nodiscard]] sql::Sql empty_range_statement(MappedTable const& table, Range const& range);

} // namespace pgcarve::sync
