// What the switches of both hops have in common: overrides, limits, the operator's hook.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "control/store.hpp"
#include "model/gate.hpp"
#include "run/authority/authority.hpp"
#include "run/context.hpp"

namespace pgcarve::run {

// The limits of a service that is no longer in pgcarve.toml are the defaults.
[[nodiscard]] model::Limits limits_of(Context const& context, std::string const& service);

// Throws "unknown-condition", "reason-needed" (exit 2).
void check_overrides(MoveRequest const& request);
// Those that let a condition through, in the caller's transaction.
void record_overrides(control::Store& store, control::Lease const& lease, MoveRequest const& request, model::Gate const& gate);

// Throws "attempt-open" (exit 5) when another verb was interrupted.
void require_own_attempt(std::optional<control::Attempt> const& open, std::string const& verb, std::string const& service);

// A hook that fails is told of, and changes nothing.
void run_move_hook(Context& context, cutover::Event event, std::string const& service, cutover::Phase now);

} // namespace pgcarve::run
