// The first part of `sync`: from nothing to syncing, step by step, resumable after a kill.
#pragma once

#include <optional>
#include <string>

#include "control/store.hpp"
#include "model/plan.hpp"
#include "model/setup.hpp"
#include "run/stream/sync.hpp"

namespace pgcarve::run {

struct PlannedSync {
    model::Plan plan;
    model::Setup setup; // with its database
};
// From what both sides have now. Reads only. Errors: "config" (exit 2), "target-too-old", "wal-level", "table-gone" (exit 5).
[[nodiscard]] PlannedSync plan_sync_now(Context& context, std::string const& service, pg::Session& source, pg::Session& target,
                                        std::optional<control::ServiceState> const& state);

// Carries an attempt of `sync` through to the phase syncing. `open`: the one to go on with; else one is begun with `planned`,
// in `phase`. `session`: of the shared database.
void set_up_sync(Context& context, std::string const& service, SyncOptions const& options, SyncEvents const& events, pg::Session& session,
                 control::Lease const& lease, std::optional<control::Attempt> const& open, PlannedSync const& planned, cutover::Phase phase,
                 SyncOutcome& outcome);

} // namespace pgcarve::run
