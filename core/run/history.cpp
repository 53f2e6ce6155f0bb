#include "run/history.hpp"

#include <fmt/format.h>

#include "control/history.hpp"
#include "control/store.hpp"

namespace pgcarve::run {

long long prune_history(Context& context, base::Millis keep) {
    pg::Session session{context.shared("verify")};
    long long gone = 0;
    try {
        for (auto const& state : control::Store{session}.services()) {
            auto const* const section = context.map.service(state.name);
            // One more than the gate counts, so that the count never falls short by pruning.
            auto const needed = 1 + (section != nullptr ? section->limits : model::Limits{}).clean_runs;
            gone += control::prune_history(session, state.name, keep, needed);
        }
    } catch (pg::SqlError const& e) {
        if (e.sqlstate() != pg::sqlstate::insufficient_privilege)
            throw;
        // A role that may only verify has done what it was asked for.
        context.events.warn(fmt::format("old verifications stay: {} (GRANT DELETE ON pgcarve.verification, pgcarve.finding)", e.message()));
    }
    return gone;
}

} // namespace pgcarve::run
