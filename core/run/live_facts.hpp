// What lint wants to know of a live database: its catalog, and which of its tables are in a sync.
#pragma once

#include <string>

#include "model/catalog.hpp"
#include "model/sync_state.hpp"

namespace pgcarve::run {

struct LiveFacts {
    model::Catalog catalog;
    model::SyncState sync; // as the control schema in this database says; nothing where there is none
};

// Reads only. Errors: "unreachable" (exit 4), "server-version" (exit 2).
[[nodiscard]] LiveFacts live_facts(std::string const& dsn);

} // namespace pgcarve::run
