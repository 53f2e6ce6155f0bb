// What an audit compares and what it needs for that, from the catalog. Pure but for the types it uses.
#pragma once

#include <string>
#include <vector>

#include "audit/plan.hpp"
#include "model/catalog.hpp"
#include "model/setup.hpp"

namespace pgcarve::run {

// `setup` with the names that the tables have now. Throws "identity" (exit 5) naming every table whose deletes the log could not
// tell by its key, each with the SQL that mends it; "schema-changed" (exit 5) for a table that is not there.
[[nodiscard]] audit::Plan plan_audit(std::string const& service, model::Setup const& setup, model::Catalog const& catalog);

} // namespace pgcarve::run
