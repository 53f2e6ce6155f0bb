// Parts of status.cpp: the database hop, and what both hops show in the same way.
#pragma once

#include <string>

#include "control/store.hpp"
#include "model/catalog.hpp"
#include "model/status.hpp"
#include "run/context.hpp"

namespace pgcarve::run {

// Window and last verification.
void show_history(control::Store::History const& history, model::ServiceStatus& status);
// The first condition that keeps the gate shut, as what to do now.
[[nodiscard]] std::string first_hint(model::Gate const& gate, std::string const& service);

// Lag, gate and what comes next of a service with a database, in the phases copying, syncing and database_live. A server that
// cannot be reached leaves unknown what it alone knows.
void show_stream(Context& context, pg::Session& shared, control::ServiceState const& state, model::Catalog const& catalog,
                 model::ServiceStatus& status);

} // namespace pgcarve::run
