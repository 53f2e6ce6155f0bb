// Tables that a stream leaves alone for a while, their way back, and a whole stream that is healed: what is done when a
// slot, a source or a target has lost something, without starting over.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "run/stream/route.hpp"
#include "run/stream/sync.hpp"

namespace pgcarve::run {

// As the target has it recorded (sync/aside.hpp).
struct Apart {
    std::set<sql::QName> left;         // alone
    std::vector<sql::QName> returning; // to be mended before they are followed again
};
[[nodiscard]] Apart read_apart(Route const& way);

// Mends what is returning, range by range, while the stream goes on with the other tables; they belong to the stream
// again then. Returns false when `give_way` asked for that in the middle: the next call goes on behind the last range.
// Errors: those of sync::Copy and open_stream().
[[nodiscard]] bool mend(Context& context, Route const& way, pg::Session& shared, pg::Session& source, Apart const& apart,
                        SyncOptions const& options, SyncEvents const& events, SyncOutcome& outcome, int wake_fd, std::function<bool()> const& give_way);

// The verbs of it. Each takes the lease, so that a sync which runs gives way and then goes on with what has changed.
struct MendRequest {
    enum class What { set_aside, bring_back, heal } what = What::heal;
    std::vector<std::string> tables{}; // set_aside, bring_back: as the operator names them; a root stands for its partitions
};
struct MendOutcome {
    bool confirmed = true;
    std::vector<sql::QName> tables{};
    std::string next;
};
// heal: a new slot, and every table is to be mended. What was confirmed, lost or overwritten before does not matter then.
// Killed at any point, the stream refuses to go on until it is run again. Errors: "wrong-phase", "unknown-table" (exit 2).
[[nodiscard]] MendOutcome change_apart(Context& context, std::string const& service, MendRequest const& request, Confirm const& confirm);

} // namespace pgcarve::run
