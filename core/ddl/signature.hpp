// Tells whether a table is still the one that a mirror was made for, and what changed.
#pragma once

#include <string>
#include <vector>

#include "model/catalog.hpp"

namespace pgcarve::ddl {

// A text that changes exactly when something changes that matters to a mirror: the name, the columns (names, types,
// nullability, identity, collation, generation), the key, the partitions of all levels. One fact a line, so two of them can be diffed.
[[nodiscard]] std::string table_signature(model::Catalog const& catalog, model::Table const& table);

struct Difference {
    std::string text; // "column note was dropped"
    std::string mend; // SQL that makes `target` follow; empty when there is no safe one
};

// From `then` to `now`: one table at two times (columns are matched by number, so renames are seen), or S now against
// T (matched by name; a lone pair of columns at one place with one type counts as a rename). `target`: the table to be mended.
[[nodiscard]] std::vector<Difference> describe_difference(model::Table const& then, model::Table const& now,
                                                          sql::QName const& target);
// Partitions that only one side has: `source` in `catalog`, against its copy `target`.
[[nodiscard]] std::vector<Difference> describe_partitions(model::Catalog const& catalog, model::Table const& source,
                                                          model::Table const& target);
// The lines in which two signatures differ, for people: "- column …", "+ column …".
[[nodiscard]] std::vector<std::string> signature_difference(std::string const& then, std::string const& now);

} // namespace pgcarve::ddl
