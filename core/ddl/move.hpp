// Strategy "move", and legacy = "view".
#pragma once

#include <string>
#include <vector>

#include "ddl/carry.hpp"

namespace pgcarve::ddl {

// ALTER TABLE … SET SCHEMA of all tables of the service in one step, with the way back as its undo.
// Indexes, constraints, triggers and owned sequences go along by themselves; statistics objects are moved.
[[nodiscard]] model::Step move_step(model::Catalog const& catalog, Pairs const& pairs);
[[nodiscard]] std::vector<model::Notice> move_notices(model::Catalog const& catalog, Pairs const& pairs);

// The name that a source table has while a view stands in its place.
[[nodiscard]] sql::QName aside_name(sql::QName const& source);

// For the switch: S steps aside and an updatable view of T takes its name, its grants and its owner.
// ACCESS EXCLUSIVE on S.
[[nodiscard]] std::vector<std::string> legacy_view_statements(model::Catalog const& catalog, Pairs const& pairs);
[[nodiscard]] std::vector<std::string> undo_legacy_view_statements(Pairs const& pairs);
[[nodiscard]] std::vector<model::Notice> legacy_view_notices(model::Catalog const& catalog, Pairs const& pairs);

} // namespace pgcarve::ddl
