// What is known of the rows that were written lately, on both sides, as of the last transaction taken.
//
// It answers two questions that the stream leaves open. An update that changes nothing is written at the authority and not at
// the follower: is the follower's row, written some transactions ago, what the authority has now? And a large value that an
// update leaves alone is not sent: what was it?
//
// It knows every write since its floor. What it does not know of a row was not written since then, so that a snapshot from
// after the floor still shows it.
// Pure. Threads: one at a time.
#pragma once

#include <cstdint>

#include "audit/net.hpp"

namespace pgcarve::audit {

class Ledger {
public:
    // Transactions are numbered in the order of the stream.
    using Number = std::uint64_t;

    // Adds to each row of the transaction what was known of it before.
    void fill(Net& net) const;
    // The transaction has taken place. REQUIRES: fill().
    void take(Net const& net, Number number);
    // A snapshot has shown what the transaction `number` did not say of one side of a row; kept unless the row was written since.
    void learn(RowId const& id, Side side, SideState const& shown, Number number);
    // The transaction was too large to be remembered: whatever was known is forgotten, and the floor is behind it.
    void forget(Number number);

    // Rows last written by this transaction or earlier ones may go. They do when there are too many of them.
    void release(Number upto);
    // All writes of later transactions are known.
    [[nodiscard]] Number floor() const noexcept { return floor_; }
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

private:
    struct Entry {
        RowState state;
        Number written = 0;
    };
    std::unordered_map<RowId, Entry, RowIdHash> rows_;
    std::size_t bytes_ = 0;
    Number floor_ = 0;
};

} // namespace pgcarve::audit
