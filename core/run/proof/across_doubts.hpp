// Moments of a comparison, each with the rows that are in doubt at it.
//
// Threads: one at a time.
#pragma once

#include <string>
#include <vector>

#include "run/proof/moment.hpp"

namespace pgcarve::run {

// What is in doubt at a moment, and the position from which on everything has to be looked at again that a comparison
// at this moment left out, or that came later.
struct Doubts {
    TouchedByTable rows;
    base::Lsn from;
};

class AcrossDoubts {
public:
    // `source`: a session that is kept for as long as this.
    AcrossDoubts(Context& context, Route const& route, sync::Mapping const& mapping, std::vector<model::TablePair> const& pairs, MomentLimits const& limits,
                 std::string scan_dsn, pg::Session& source);

    struct Known {
        Moment moment;
        Doubts doubts;
    };
    // With few enough rows in doubt. Throws "not-proven" (exit 3) when that does not come to pass, and what Moments throws.
    [[nodiscard]] Known take();
    // Of the source itself, for rows that are in doubt, however many.
    [[nodiscard]] Moment take_primary() { return moments_.take(true); }

    // Throws TouchedReader::TooMany. `unseen`: gets the transactions that make rows doubtful.
    [[nodiscard]] Doubts read(Moment const& moment, std::vector<wire::TransactionId>* unseen = nullptr) const;
    [[nodiscard]] TouchedReader const& touched() const noexcept { return touched_; }
    // Who has committed, but is not seen by others yet: it waits for a standby, for instance.
    [[nodiscard]] std::string describe(std::vector<wire::TransactionId> const& xids);

private:
    Context& context_;
    pg::Session& source_;
    Moments moments_;
    TouchedReader touched_;
};

} // namespace pgcarve::run
