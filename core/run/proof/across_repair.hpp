// Makes the rows of the target equal to those of the source where a fresh comparison finds differences, while both are in use.
//
// Never writes to the source. Each batch of keys: the source's rows are locked FOR SHARE and read; behind that a message is
// committed there, and once the stream has come to it, the target has everything that was ever done to these rows, and
// nothing more can come, for the locks last until the target's rows are written. The target's rows are locked and written
// only as far as they are still what was seen: a row that has become equal is left alone. A row that is only at the target
// cannot be locked at the source; but as long as it is there, no row of its key can arrive.
//
// Writers of these very rows at the source wait for a batch: about as long as the stream is behind. Locks are waited for
// briefly and tried again, a bounded number of times.
//
// Then exactly these keys are compared again at a new position.
//
// Needs, at the source, the right to lock rows (UPDATE on a column). Errors: as verify_across(); "lock-not-acquired" (exit 4).
#pragma once

#include "run/proof/across_verification.hpp"
#include "verify/repair.hpp"

namespace pgcarve::run {

[[nodiscard]] verify::RepairReport plan_across_repair(Context& context, Route const& route, sync::Mapping const& mapping,
                                                      std::vector<model::TablePair> const& pairs, verify::RepairEvents const& events);
[[nodiscard]] verify::RepairReport repair_across(Context& context, Route const& route, sync::Mapping const& mapping,
                                                 std::vector<model::TablePair> const& pairs, verify::RepairEvents const& events);

} // namespace pgcarve::run
