// The last look before authority moves: are the rows equal that the stream has touched since a position?
//
// Most of it is done before writers wait. What the stream touches afterwards, and what differed, is looked at again when
// nobody writes any more and the target has everything: then both sides hold still, and nothing is under way.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "model/verification.hpp"
#include "pg/session.hpp"
#include "run/proof/touched_keys.hpp"
#include "run/stream/route.hpp"
#include "verify/across.hpp"

namespace pgcarve::run {

struct FenceCheck {
    // False: not everything touched since could be compared, and `why` says what stood in the way. What was found counts all the same.
    bool complete = false;
    std::string why;
    long long keys = 0; // looked at under the fence
    long long missing = 0;
    long long extra = 0;
    long long different = 0;
    std::vector<std::string> samples; // "public.orders id=7: different", bounded
    [[nodiscard]] bool equal() const { return complete && missing + extra + different == 0; }
};

inline constexpr long long fence_check_limit = 200'000; // keys in memory at once

// Threads: one at a time.
class LastLook {
public:
    // `since`: of the stream's own log (its source's), such as the proven_lsn of the last verification or a position of the stream.
    LastLook(pg::Session& source, pg::Session& target, Route const& route, sync::Mapping const& mapping, base::Lsn since);

    // Both sides may be in use, but for the stream, which stands still at `at`. Errors: "interrupted".
    void ahead(base::Lsn at, base::Interrupt& interrupt);

    // REQUIRES: nobody writes the tables at the source, and the target has everything that was written; both sessions are in
    // a transaction. `left`: how long writers may still wait; it throws when that is over, and a statement that takes longer
    // is cancelled (pg::SqlError).
    [[nodiscard]] FenceCheck compare(std::function<base::Millis()> const& left);

private:
    struct Root {
        std::optional<verify::AcrossShape> shape; // nullopt: `why` it cannot be compared
        std::string why;
        std::vector<std::size_t> order; // of the shape's key: which part of the pair's
    };
    Root const& root(std::size_t number);
    // nullptr: it cannot be compared, which is noted.
    Root const* comparable(std::size_t number, TouchedRows const& rows);
    void incomplete(std::string why);
    std::optional<TouchedByTable> touched();
    // Calls `before` ahead of every few thousand keys.
    verify::AcrossCounts compare_rows(Root const& root, std::set<verify::Key> const& keys, std::function<void()> const& before,
                                      verify::Found const& found) const;

    pg::Session& source_;
    pg::Session& target_;
    std::string stream_;
    std::vector<model::TablePair> pairs_; // roots
    TouchedReader reader_;
    verify::RowHash hash_;
    std::map<std::size_t, Root> roots_; // read when first asked for
    base::Lsn since_;
    TouchedByTable suspects_; // differed when looked at ahead
    std::string why_;         // something was not compared
};

} // namespace pgcarve::run
