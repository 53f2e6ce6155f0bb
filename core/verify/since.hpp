// What was written to a pair of tables of one database since an earlier snapshot, as the rows themselves say: by the number of
// the transaction that wrote them (xmin). That costs a scan of both, about a fifth of a comparison, and nothing while rows are
// written. It needs no record, so it sees what was written behind the mirror's back, too.
//
// Deleted rows say nothing; but where only one side lost or got a row, the keys of the two sides differ: their number, or the
// sum of their 64-bit hashes. (Chance that this goes unnoticed: 2^-64.)
//
// What it does not see: a row that was changed on one side only and was frozen since by VACUUM, whose number is gone then.
//
// Errors: Incomparable; pg::SqlError. Threads: as the session, whose transaction decides what is seen.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "verify/pair_ranges.hpp"

namespace pgcarve::verify {

// Whether the numbers of transactions from `horizon` on can be told from older ones: they come round after 2^31. `next`: the
// first that was not given out yet.
[[nodiscard]] bool can_tell(std::uint64_t horizon, std::uint64_t next);

struct SinceLook {
    std::int64_t rows = 0;    // of the source
    std::int64_t touched = 0; // rows of either side that were written since
    bool same_keys = true;
};
// REQUIRES: can_tell(). `where` as in Scope.
[[nodiscard]] SinceLook look_since(pg::Session& session, PairShape const& shape, std::uint64_t horizon, std::string const& where);

// Compares what was written since, by its keys. `going_on`: false ends it early.
[[nodiscard]] AcrossCounts compare_since(pg::Session& session, PairShape const& shape, std::uint64_t horizon, std::string const& where,
                                         std::function<void(model::Finding const&, Key const&)> const& found, std::function<bool()> const& going_on);

} // namespace pgcarve::verify
