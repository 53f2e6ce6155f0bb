// One pair of tables of one database, a range of its key at a time: where it is cut, and what a range holds.
//
// Errors: Incomparable; pg::SqlError. Threads: as the session, whose transaction decides what is seen.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "verify/across.hpp"
#include "verify/statements.hpp"

namespace pgcarve::verify {

// Ranges of about `rows` rows. A table whose rows lie in no order of its key would be read once for every range, so it is
// one range, unless it has more than `most_rows`; so is a small one.
[[nodiscard]] std::vector<Range> cut_pair(pg::Session& session, PairShape const& shape, double rows, double most_rows, std::string const& where);

// A share of it: ranges of about `rows` rows that begin behind `after` and hold `all` of them, and where the next share begins
// (nullopt: at the beginning).
struct PairShare {
    std::vector<Range> ranges;
    std::optional<Key> next;
};
[[nodiscard]] PairShare share_of_pair(pg::Session& session, PairShape const& shape, std::optional<Key> const& after, double all, double rows);

struct RangeResult {
    AcrossCounts counts;
    std::vector<model::Finding> samples; // in the order of the key
};

// Where a pair differs, or did a moment ago: in no order.
struct DirtyPair {
    model::TablePair pair;
    PairShape shape;
    std::vector<Range> ranges;
};

// `samples`: how many at most. `valued`: so many of them with their values.
[[nodiscard]] RangeResult compare_range(pg::Session& session, PairShape const& shape, Scope const& scope, std::size_t samples, std::size_t valued);

} // namespace pgcarve::verify
