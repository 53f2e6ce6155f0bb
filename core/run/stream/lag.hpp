// How far a stream's target is behind its source, measured from outside while `sync` runs, or from positions alone.
//
// Unknown stays unknown. The sums are in wall-clock time of the source's server where seconds are concerned.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/duration.hpp"
#include "base/interrupt.hpp"
#include "run/stream/route.hpp"

namespace pgcarve::run {

struct StreamLag {
    std::optional<long long> bytes;      // of the source's log that is not confirmed
    std::optional<base::Millis> behind;  // how old the last commit is that the target has; 0 when it has everything
    std::optional<bool> growing;
    std::optional<base::Millis> drain;   // how long a marker written now took to be applied
    std::optional<std::string> slot_problem; // of the slot, the publication or single tables; "": healthy
    std::string mend;                        // what to do about it
};

// From what both servers know. `target` may be nullptr: it could not be reached.
[[nodiscard]] StreamLag read_lag(Route const& way, pg::Session& source, pg::Session* target);
// The same, and writes a marker and waits for up to `limit` until whoever streams has applied it. Nothing: `streams` said in
// the meantime that nobody does any more, so the time that passed says nothing of the lag.
[[nodiscard]] std::optional<StreamLag> probe_lag(Route const& way, pg::Session& source, pg::Session& target, base::Millis limit,
                                                 std::function<bool()> const& streams, base::Interrupt& interrupt);

} // namespace pgcarve::run
