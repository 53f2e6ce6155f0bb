// What the two servers say about a service's crossings.
#pragma once

#include <vector>

#include "control/store.hpp"
#include "cutover/gate.hpp"
#include "model/catalog.hpp"
#include "plan/crossings.hpp"
#include "run/context.hpp"

namespace pgcarve::run {

// Foreign keys that some service's cutover has dropped; none where there is no control schema.
[[nodiscard]] std::vector<model::SeveredKey> severed_keys(pg::Session& shared);

// What the cutover of `state` (its setup with a database) will sever. `catalog`: of the shared database, today's.
[[nodiscard]] plan::Severance severance(Context const& context, pg::Session& shared, control::ServiceState const& state, model::Catalog const& catalog);

// What takes away the triggers for loose keys that a cutover has left which was broken off before its switch.
[[nodiscard]] std::vector<model::Step> drop_loose_steps(pg::Session& shared, std::string const& service);

// Fills the gate's facts about crossings and orphans. Counting stops after a minute for a key: unknown then.
void crossing_facts(Context const& context, pg::Session& shared, control::ServiceState const& state, model::Catalog const& catalog, cutover::GateFacts& facts);

} // namespace pgcarve::run
