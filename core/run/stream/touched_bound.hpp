// Keeps the record of what a stream has touched (pgcarve.touched at its target) within a size, when no clean verification
// empties it: the oldest lines go until half of it is left, in a thread of its own, beside the stream and not in its transactions.
//
// Three kinds of reader must never take for complete what is not:
//   - Who asks for all that was touched since a position. `touched_from` is moved and committed before a line goes, so his
//     snapshot never lacks a line without saying so. A kill between the two leaves lines that nobody needs; the next one removes them.
//   - A verification of several snapshots. Each says from where its lines are complete; what was proven from before that is compared again.
//   - A moment (moment.hpp) that asks which transactions the source's snapshot S does not see, though the target's snapshot T has their rows.
//     Their lines must be in T, and no position tells that one is not. So a line goes only if a snapshot P of the source sees
//     its transactions, and P is taken under the lock that a moment holds from before S until T is taken. Either P is older than S,
//     which then sees all that P sees; or P is younger than T, and T has every line that goes because of it.
//     This holds where S is a standby's: under the lock it has replayed a message that is younger than P, and with it the commit of
//     every transaction that P sees.
// P is the source's own, never a standby's. If the source cannot be reached, nothing goes. A transaction that has committed, but
// that others do not see yet (it waits for a synchronous standby), keeps its line and all younger ones; so do the last few lines.
//
// Errors: none; a warning tells what keeps the record too large, and it is tried again. Threads: one at a time.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "run/stream/route.hpp"

namespace pgcarve::run {

class TouchedBound {
public:
    // `verified`: verifications read this record, and a clean one empties it.
    TouchedBound(Context& context, Route way, bool verified = true);
    TouchedBound(TouchedBound const&) = delete;
    TouchedBound& operator=(TouchedBound const&) = delete;
    ~TouchedBound(); // breaks off what it does

    // `written`: sync::Applied::touched_bytes of the stream. `limit`: bytes; 0: none. To be called now and then; returns at once.
    void look(long long written, long long limit);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

} // namespace pgcarve::run
