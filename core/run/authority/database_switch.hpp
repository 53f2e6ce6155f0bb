// Moves authority between two servers: fence the old side, drain the stream, close the old side, open the new one.
//
// Two transactions are prepared side by side, one on each server, while writers of the old side wait for its lock. First
// the old side commits: from then on it refuses writes, and that commit is the point of no return. Then the new side
// commits and takes writes. Between the two, a round trip apart, neither side does; at no moment do both. Whatever fails
// before the first commit rolls both back; what fails after it leaves the new side closed until open_other_side() has run.
//
// The position of the reverse stream is taken while both sides are closed, so it begins exactly behind what the forward
// stream wrote. Numbers of sequences go on at the new side with a margin for those that sessions drew meanwhile.
//
// Threads: one; a stop request cancels both sessions (Context::interrupt).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "ddl/target.hpp"
#include "run/authority/switch.hpp"
#include "run/context.hpp"
#include "run/stream/route.hpp"
#include "sync/stream.hpp"

namespace pgcarve::run {

struct ServerSwitch {
    std::string verb;
    Route forth; // the stream that is drained: its source is the old side
    Route back;  // the stream that follows from now on: its source is the new side
    std::vector<sql::QName> locked; // at the old side, roots
    std::vector<sql::QName> quiet;  // at the new side, roots: nobody writes them but the stream
    std::vector<std::string> close; // at the old side
    std::vector<std::string> open;  // at the new side
    std::vector<ddl::SequenceHandover> sequences; // source = at the old side
    base::Millis max_write_block{2000};
    // Last in each transaction; commit with it.
    std::function<void(SwitchTiming const&)> record_close;
    std::function<void()> record_open;
    // Before each try, when nobody waits yet: until the stream is in step to within a moment.
    std::function<void()> catch_up;
    // Around each try's fence: holds pooled clients back, and lets them go when the try came to nothing. Both may be empty.
    std::function<void()> hold;
    std::function<void()> release;
    // Under the fence, when everything is drained: throws when the two sides differ. `left`: how long writers may still wait; it
    // throws when that is over, and what does not end in time is cancelled by the statement's timeout.
    std::function<void(std::function<base::Millis()> const& left)> compare = [](auto const&) {};
};

enum class Decided { no, yes, unknown }; // unknown: the answer to the old side's commit was lost

struct ServerSwitchResult {
    SwitchTiming timing;
    Decided decided = Decided::no;
    bool opened = false;
};

// `stream` is `forth`. `old_side`, `new_side`: the sessions that the two records write with.
// `result` is kept up to date, also when an Error leaves it. Errors: "lock-not-acquired", "write-block-exceeded"
// (exit 4), "switch-refused" (exit 5), those of the functions in `what` and of the stream.
void switch_servers(Context& context, ServerSwitch const& what, sync::Stream& stream, pg::Session& old_side, pg::Session& new_side,
                    ServerSwitchResult& result);

// Opens the new side after a switch that was interrupted behind its point of no return. Nobody writes either side then, so
// it does not hear a stop request.
void open_other_side(Context& context, ServerSwitch const& what, pg::Session& old_side, pg::Session& new_side);

} // namespace pgcarve::run
