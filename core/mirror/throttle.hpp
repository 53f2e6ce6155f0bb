// Looks whether moving rows should wait a while, and says why.
#pragma once

#include <string>

#include "model/boundary.hpp"
#include "pg/session.hpp"

namespace pgcarve::mirror {

// Empty: go on. Otherwise the reason, as status shows it ("standby db2 is 14s behind, limit 10s").
// A limit that is set and cannot be read (pg_stat_replication needs pg_monitor) is a reason as well.
[[nodiscard]] std::string throttle_reason(pg::Session& session, model::Throttle const& throttle);

} // namespace pgcarve::mirror
