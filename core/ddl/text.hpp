// Takes the server's own definitions apart and puts them together for another table.
//
// Nothing is searched for or replaced: a definition is accepted only when it begins (and
// ends) exactly as the catalog says that it must, else the answer is nullopt and the caller
// refuses the object by name.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "model/catalog.hpp"
#include "model/plan.hpp"

namespace pgcarve::ddl {

// What stands behind `head` in `text`; nullopt when it does not begin so.
[[nodiscard]] std::optional<std::string> behind(std::string_view text, std::string_view head);
[[nodiscard]] std::optional<std::string> before(std::string_view text, std::string_view tail);

// CREATE INDEX, TRIGGER, STATISTICS of `table` for `target`.
[[nodiscard]] std::optional<std::string> create_index(model::Table const& table, model::Index const& index, sql::QName const& target);
[[nodiscard]] std::optional<std::string> create_trigger(model::Table const& table, model::Trigger const& trigger, sql::QName const& target);
[[nodiscard]] std::optional<std::string> create_statistics(model::Table const& table, model::Statistics const& statistics,
                                                           sql::QName const& target);
// What follows ADD CONSTRAINT name for a primary key, unique or exclusion constraint, with its index's storage parameters.
[[nodiscard]] std::optional<std::string> key_constraint(model::Constraint const& constraint, model::Index const& index);
// FOREIGN KEY (…) REFERENCES `referenced` (…) …, without NOT VALID. `old_sql_name`: the referenced table's sql_name.
[[nodiscard]] std::optional<std::string> foreign_key(model::Constraint const& key, std::string_view old_sql_name,
                                                     sql::QName const& referenced);

// name = 'value', … from name=value items, each name behind `prefix`.
[[nodiscard]] std::string option_list(std::vector<std::string> const& options, std::string_view prefix = {});
[[nodiscard]] std::string ident_list(std::vector<std::string> const& names);

// GRANTs that make the rights on a new object those in `wanted`, whatever it was born with. `object`: TABLE "a"."b".
[[nodiscard]] std::vector<std::string> grant_statements(std::string const& object, std::string const& owner,
                                                        std::vector<model::Grant> const& wanted,
                                                        std::set<std::string> const& born_with);
// Who gets rights by default on a new object of this kind ('r' table, 'S' sequence) which `creator` makes in `schema`.
[[nodiscard]] std::set<std::string> default_grantees(model::Catalog const& catalog, std::string const& schema, char kind);

[[nodiscard]] sql::QName guard_name(sql::QName const& target); // the DEFAULT partition that pgcarve adds
// A partitioned table that can have a DEFAULT partition and has none.
[[nodiscard]] bool needs_guard(model::Catalog const& catalog, model::Table const& table);

} // namespace pgcarve::ddl
