// Cutover and rollback of the database hop: gate, plan, consent, fence, drain, switch, tidy up. Called by move_authority().
//
// The shared database's journal leads; what happens in the other database is journaled there as well. The point of no
// return is the commit with which the side that had the authority closes (run/authority/database_switch.hpp). What fails before it
// is undone, by this run or by the next one; behind it the next run finishes.
#pragma once

#include <optional>

#include "model/pooler.hpp"
#include "run/authority/authority.hpp"

namespace pgcarve::run {

// Whether the service is where its next switch is one of the database hop. Reads only.
[[nodiscard]] bool concerns_database(Context& context, MoveRequest const& request);

// As move_authority(). Errors, besides: "config" (exit 2), "reverse-not-proven", "slot-lost" (exit 5), "slot-waits" (exit 4)
// naming the transactions in the way, "switch-unfinished" (exit 4: neither side takes writes until it is run again).
[[nodiscard]] MoveOutcome move_database(Context& context, MoveRequest const& request, Confirm const& confirm,
                                        std::optional<model::PoolerSettings> const& pooler);

// move_authority() of a service whose clients come through a pooler: they wait while authority moves between two databases.
[[nodiscard]] MoveOutcome move_pooled_authority(Context& context, MoveRequest const& request, Confirm const& confirm,
                                                std::optional<model::PoolerSettings> const& pooler);

} // namespace pgcarve::run
