// The second part of `sync`: the stream, in whichever direction the authority says, until told to stop.
//
// It gives way to a verb that asks for the lease: ends at a commit, lets go of the lease, waits until the verb is through,
// and goes on in the direction that then holds.
#pragma once

#include <memory>
#include <string>

#include "control/store.hpp"
#include "run/stream/sync.hpp"

namespace pgcarve::run {

// Adds to `outcome`; its phase is where the service then is. Returns as sync_service() does, or when there is nothing to
// stream any more (cancelled or completed meanwhile). Errors: as sync_service(); "wrong-phase" (exit 2) when there is
// nothing to stream any more and options.until_caught_up asked to be in step.
void follow(Context& context, std::string const& service, SyncOptions const& options, SyncEvents const& events,
            std::unique_ptr<control::Lease> lease, SyncOutcome& outcome);

} // namespace pgcarve::run
