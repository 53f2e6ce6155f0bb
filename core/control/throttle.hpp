// Why the copying of a service's rows waits: an operator asked for it, or `sync` found a reason.
//
// Takes no lease: the operator speaks to a sync that runs.
#pragma once

#include <optional>
#include <string>

#include "pg/session.hpp"

namespace pgcarve::control {

struct ThrottleState {
    std::optional<std::string> asked; // the operator's reason
    std::string asked_by;
    std::string asked_at;
    std::optional<std::string> waits; // of the sync that runs, or of one that was killed while it waited
};

// Empty `reason`: copying may go on. The service is known from then on; the journal keeps it.
void ask_throttle(pg::Session& session, std::string const& service, std::string const& operator_name, std::string const& reason);
// Empty `reason`: something is being copied.
void note_waits(pg::Session& session, std::string const& service, std::string const& reason);
// At the end of a hop: what was asked for is done with. In the caller's transaction, or in one of its own.
void forget_throttle(pg::Session& session, std::string const& service);
[[nodiscard]] ThrottleState throttle_state(pg::Session& session, std::string const& service);

} // namespace pgcarve::control
