// The end of a database hop that is cut over.
#pragma once

#include "run/authority/authority.hpp"
#include "run/finish.hpp"

namespace pgcarve::run {

// As complete() and purge(), for a service whose rows are in a database of its own. Errors, besides: "plan-refused" (exit 5)
// when something in the shared database still reads the old tables.
[[nodiscard]] FinishOutcome complete_database(Context& context, control::ServiceState const& state, Confirm const& confirm);
[[nodiscard]] model::Plan database_purge_plan(pg::Session& session, control::ServiceState const& state);

} // namespace pgcarve::run
