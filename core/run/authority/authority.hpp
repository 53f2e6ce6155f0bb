// Cutover and rollback: gate, plan, consent, switch, tidy up. This is the schema hop; run/authority/database_move.hpp the other one,
// to which move_authority() hands over.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "control/store.hpp"
#include "cutover/gate.hpp"
#include "model/catalog.hpp"
#include "model/cutover.hpp"
#include "run/context.hpp"

namespace pgcarve::run {

// Shows a plan; false: the operator said no, or only wanted to see it.
using Confirm = std::function<bool(model::Plan const&)>;

struct MoveRequest {
    std::string service;
    cutover::Event event = cutover::Event::cutover; // cutover or rollback
    std::map<std::string, std::string> overrides;   // condition -> reason
    bool dry_run = false; // Confirm will say no: nothing is touched to answer the gate's questions either
};

struct MoveOutcome {
    model::CutoverResult result;
    bool confirmed = true; // false: Confirm returned false, nothing was done
};

// A closed gate is a value: result.gate is not open and nothing moved. A run that was killed is finished by the next one.
// Errors: "wrong-phase" (exit 2), "attempt-open" (exit 5), those of run/authority/switch.hpp and run/executor.hpp.
[[nodiscard]] MoveOutcome move_authority(Context& context, MoveRequest const& request, Confirm const& confirm);

// The gate as it stands now, for status.
[[nodiscard]] model::Gate gate_now(Context& context, pg::Session& session, control::ServiceState const& state,
                                   model::Catalog const& catalog, cutover::Event event,
                                   std::map<std::string, std::string> const& overrides = {});

} // namespace pgcarve::run
