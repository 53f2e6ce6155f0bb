// Keeps the history of verifications at a size.
#pragma once

#include "run/context.hpp"

namespace pgcarve::run {

// Deletes verifications that ended longer ago than `keep`, but for what the gate needs. Returns how many went. A role that may not
// is told so in a warning.
long long prune_history(Context& context, base::Millis keep);

} // namespace pgcarve::run
