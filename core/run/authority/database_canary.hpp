// Proves that a stream would arrive, without moving a row.
#pragma once

#include "run/stream/route.hpp"

namespace pgcarve::run {

// Reads the slot of `way` from where it is, and applies nothing: a row of every table is written again with its own values
// at the source, which nobody else writes, and must come through the slot as a change of that table. The position of the
// stream is made at the target; the switch sets it anew. `source`: a session there.
// Throws "reverse-not-proven" naming the tables that did not come (exit 5), or when it took too long (exit 4).
void prove_stream(Context& context, Route const& way, pg::Session& source, int wake_fd);

} // namespace pgcarve::run
