// Carries a service through the schema hop up to dual_writing, and brings a split service back
// in step after its tables were changed.
#pragma once

#include <string>

#include "run/authority/authority.hpp"
#include "run/context.hpp"

namespace pgcarve::run {

struct SplitOutcome {
    bool confirmed = true; // false: Confirm returned false
    bool already = false;  // it is split, and nothing has changed since
    std::string phase;     // now
    long long rows = 0;    // copied by this run
    std::string next;
};

// The plan that `split` would run now (its steps, or what is left of an interrupted one). Reads only.
[[nodiscard]] model::Plan split_plan(Context& context, std::string const& service);

// Errors: "unknown-service", "config" (exit 2), "plan-refused" (exit 5) listing every refusal, "wrong-phase", "attempt-open",
// "lock-not-acquired", "disk-full", "interrupted" (exit 4: run it again).
[[nodiscard]] SplitOutcome split(Context& context, std::string const& service, Confirm const& confirm);

} // namespace pgcarve::run
