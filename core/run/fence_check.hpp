// The last look before authority moves: are the rows equal that the stream has touched since a position?
//
// REQUIRES: nobody writes the tables at the source, and the target has everything that was written: then both sides hold
// still, and what is compared needs no marker.
#pragma once

#include <string>
#include <vector>

#include "model/verification.hpp"
#include "pg/session.hpp"
#include "run/route.hpp"

namespace pgcarve::run {

struct FenceCheck {
    // False: not everything touched since could be compared, and `why` says what stood in the way. What was found counts all the same.
    bool complete = false;
    std::string why;
    long long keys = 0; // looked at
    long long missing = 0;
    long long extra = 0;
    long long different = 0;
    std::vector<std::string> samples; // "public.orders id=7: different", bounded
    [[nodiscard]] bool equal() const { return complete && missing + extra + different == 0; }
};

inline constexpr long long fence_check_limit = 200'000; // keys; beyond them the writes would be held up for too long

// `since`: of the stream's own log (its source's), such as the proven_lsn of the last verification or a position of the stream.
[[nodiscard]] FenceCheck check_touched(pg::Session& source, pg::Session& target, Route const& route, sync::Mapping const& mapping, base::Lsn since);

} // namespace pgcarve::run
