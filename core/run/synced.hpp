// Which tables pgcarve keeps in step now, and in which direction: read off the control schema alone.
#pragma once

#include <vector>

#include "control/store.hpp"
#include "model/sync_state.hpp"
#include "pg/session.hpp"

namespace pgcarve::run {

// Of one service. During a database hop that began in schema_live its tables are in two syncs: the mirror back to the
// shared schema, and the stream.
[[nodiscard]] std::vector<model::SyncedTable> synced_tables(control::ServiceState const& state);

// Of all services; none where there is no control schema. Throws as control::require_current() when it is of another version.
[[nodiscard]] model::SyncState read_sync_state(pg::Session& session);

} // namespace pgcarve::run
