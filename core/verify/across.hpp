// Compares one pair of tables of two databases, each as of a snapshot of its own server.
//
// Digests are computed in the servers, on both at once; only where they differ are rows read, in byte order of their
// keys, and merged. A row whose hashes differ is looked at once more, column by column, as a client sees it: so what is
// reported differs for certain. What is called equal is so but for a chance that docs/verification.md puts in numbers.
//
// Memory: a page of rows of each side. Errors: Incomparable when a table changed under the snapshot (TRUNCATE, rewrite,
// partitions); pg::SqlError; base::Error "server-lost". Threads: one at a time; sessions are used from two.
#pragma once

#include <functional>
#include <set>

#include "model/verification.hpp"
#include "verify/across_statements.hpp"

namespace pgcarve::verify {

// The two sessions, each in a transaction with its snapshot.
struct TwoSessions {
    pg::Session& source;
    pg::Session& target;
    [[nodiscard]] pg::Session& operator[](Side side) const { return side == Side::source ? source : target; }
};

struct AcrossCounts {
    std::int64_t rows = 0; // at the source
    std::int64_t missing = 0;
    std::int64_t extra = 0;
    std::int64_t different = 0;
    [[nodiscard]] bool clean() const { return missing + extra + different == 0; }
    void add(AcrossCounts const& more);
};

// Called for every difference.
using Found = std::function<void(Difference const&)>;

// Bounds that cut what `scope` names into buckets of about `rows` rows; empty for one bucket. REQUIRES: shape.ordered.
[[nodiscard]] std::vector<Key> across_bounds(TwoSessions const& sessions, AcrossShape const& shape, double rows, std::string const& where);

// The next `rows` rows of the source behind `after`, in buckets of `step` rows: the last bound ends them, unless `end` says
// that the table does. REQUIRES: shape.ordered.
struct NextRows {
    std::vector<Key> bounds;
    bool end = false;
};
[[nodiscard]] NextRows next_rows(TwoSessions const& sessions, AcrossShape const& shape, std::optional<Key> const& after, long long rows, long long step);

// By ranges where bounds divide `scope.range`, or it has an end, or the shape is `ranged`; by hash otherwise.
[[nodiscard]] AcrossCounts compare_scope(TwoSessions const& sessions, AcrossShape const& shape, AcrossScope const& scope, std::vector<Key> const& bounds,
                                         Found const& found);

// Rows with these keys, whichever of them are there. `rows` counts those of the source.
[[nodiscard]] AcrossCounts compare_keys(TwoSessions const& sessions, AcrossShape const& shape, std::vector<Key> const& keys, std::string const& where,
                                        Found const& found);

// Throws Incomparable when a table does not hold any more what the sessions' snapshots saw. Call it behind what was read.
void check_unchanged(TwoSessions const& sessions, AcrossShape const& shape);

[[nodiscard]] model::Finding to_finding(AcrossShape const& shape, Difference const& difference);
// Adds what --show-values shows.
void add_values(TwoSessions const& sessions, AcrossShape const& shape, Difference const& difference, model::Finding& finding);

} // namespace pgcarve::verify
