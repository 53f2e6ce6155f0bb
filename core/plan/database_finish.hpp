// Plans the end of the database hop: the old tables in the shared database get other names and are held, then `purge`
// drops them; what pgcarve made for the stream goes, on both sides.
//
// What still reads the old tables cannot be pointed at another database, so it refuses the plan by name.
#pragma once

#include <string>
#include <vector>

#include "model/plan.hpp"
#include "model/setup.hpp"
#include "plan/database.hpp"

namespace pgcarve::plan {

// Steps as in plan/database.hpp; "retire" records the phase. `setup` with the names that the tables have now.
[[nodiscard]] model::Plan plan_complete_database(std::string const& service, model::Setup const& setup, DatabaseSides const& sides);
[[nodiscard]] model::Plan plan_purge_database(std::string const& service, model::Setup const& setup, model::Catalog const& shared);

// One step a table, "drop-lock:TABLE": takes away what refuses writes, armed or not.
[[nodiscard]] std::vector<model::Step> drop_lock_steps(std::vector<mirrorgen::Machinery> const& locks);

} // namespace pgcarve::plan
