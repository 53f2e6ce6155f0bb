// The two ends of the schema hop: `cancel` takes it back before a cutover, `complete` retires
// the old tables after one.
#pragma once

#include <string>

#include "control/store.hpp"
#include "run/authority/authority.hpp"
#include "run/context.hpp"

namespace pgcarve::run {

struct FinishOutcome {
    bool confirmed = true; // false: Confirm returned false
    bool already = false;  // there was nothing left to do
    std::string phase;     // now
    std::string next;      // what to type now; empty when nothing remains
};

// Drops the service's copy, mirrors, fences, and the schema and role that `split` made. A switch that was interrupted
// before it took place is taken back first. Errors: "wrong-phase", "attempt-open", "still-used".
[[nodiscard]] FinishOutcome cancel(Context& context, std::string const& service, Confirm const& confirm);

// Retires the old tables: dependants are moved to the new ones, the old ones renamed and held. Errors: "wrong-phase",
// "attempt-open", "plan-refused" when something that hangs on the old tables has to be moved by hand first.
[[nodiscard]] FinishOutcome complete(Context& context, std::string const& service, Confirm const& confirm);

// Drops the held tables after the hold. Errors: "wrong-phase", "hold-not-over" (exit 1: a closed gate).
[[nodiscard]] FinishOutcome purge(Context& context, std::string const& service, Confirm const& confirm);

} // namespace pgcarve::run
