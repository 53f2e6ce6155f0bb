// The frames of a replication stream: what the CopyData messages of COPY BOTH hold.
// Source of the format: PostgreSQL documentation, "Streaming Replication Protocol".
//
// Errors: base::Error "protocol" for anything unknown, truncated or too long.
// Lifetime: a payload points into the buffer that was parsed.
#pragma once

#include <array>
#include <string_view>
#include <variant>

#include "base/types.hpp"
#include "wire/types.hpp"

namespace pgcarve::wire {

// 'w'. In logical replication: exactly one message of the output plugin.
struct XLogData {
    // Where the message is from: of a change its own position, of a commit the end of its record. Not monotone
    // from one transaction to the next (they come in the order of their commits), so no order is to be read
    // from it and nothing resumes there; Commit::end_lsn is for that.
    base::Lsn start;
    base::Lsn end;
    Timestamp sent;
    std::string_view payload;
};

// 'k'.
struct Keepalive {
    base::Lsn end; // how far the server has read its log; nothing before it is still to come, open transactions apart
    Timestamp sent;
    bool reply_requested = false; // reply at once, or the server takes us for dead
};

using Frame = std::variant<XLogData, Keepalive>;

[[nodiscard]] Frame parse_frame(std::string_view bytes);

// 'r'. Whatever ends before `flushed` is never sent again and its log may be removed: it must be durable.
struct StandbyStatus {
    base::Lsn written;
    base::Lsn flushed;
    base::Lsn applied;
    Timestamp time;
    bool reply_requested = false;
};

[[nodiscard]] std::array<char, 34> encode(StandbyStatus const& status);

} // namespace pgcarve::wire
