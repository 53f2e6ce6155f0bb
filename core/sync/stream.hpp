// One stream, from the source's slot to the target's tables: receives, applies, confirms.
//
// The position lives in pgcarve.stream at the target and moves with the rows, so whatever is killed, nothing is applied
// twice or left out. What has been confirmed to the source never lies ahead of it: while the source's log has nothing
// for us, the position moves by itself once in ReceiverLimits::status_interval. An advisory lock at the target keeps a
// stream from being read on while the session of another one of its name may still commit.
//
// A server that is stopped ("fast") waits until its log is confirmed, so run_until() has to be called for that.
//
// Errors: what Receiver and Applier throw. After any of them the object is of no use; a new one goes on from the position.
// Threads: one at a time; state() from any.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/interrupt.hpp"
#include "sync/applier.hpp"
#include "sync/receiver.hpp"

namespace pgcarve::sync {

struct StreamSettings {
    std::string name; // of the row in pgcarve.stream
    std::string slot;
    std::vector<std::string> publications;
    pg::ReplicationSettings source;
    pg::SessionSettings target;
    ReceiverLimits limits{};
};

// Creates the tables that a stream keeps at its target, and that of marks (model/mark.hpp) for the stream back, in the schema pgcarve, unless they are there.
void prepare_target(pg::Session& target);
// The position of a stream; nullopt when the target does not know it.
[[nodiscard]] std::optional<base::Lsn> position(pg::Session& target, std::string const& stream);
void set_position(pg::Session& target, std::string const& stream, base::Lsn at, std::string const& system_id);
// The stream and the record of its copy, in the caller's transaction.
void forget(pg::Session& target, std::string const& stream);

// Writes a message into the source's log (where streams carry none, the row of pgcarve.mark) and returns its position: every
// transaction that anybody can see now has its commit before it, also those which do not wait for their log to be flushed, and
// the message's own flushes all. Not in a transaction of the caller's.
[[nodiscard]] base::Lsn mark(pg::Session& source, std::string const& content = {});

// A message that begins so has the stream wait, behind its commit and for less than a second, while a session at the
// target holds the advisory lock hold_lock(): so that a snapshot can be taken which is exactly at the message. Whether
// one is, it shows itself: there `marker` of the stream's row is the content of the message.
inline constexpr std::string_view hold_message = "hold ";
[[nodiscard]] long long hold_lock(std::string_view stream);

class Stream {
public:
    // Connects to both, and goes on where the target is. Throws "stream-unknown" (exit 5) when it knows no position,
    // "slot-ahead" (exit 5) when more was confirmed to the source than the target has, so that something is missing,
    // "source-changed" (exit 5) when the source is another cluster, or was restored or failed over to before the position,
    // "stream-busy" (exit 4) when another session applies this stream, or has not noticed yet that it is dead.
    Stream(StreamSettings settings, Mapping const& mapping);
    ~Stream();

    void filter(Applier::Filter wanted, Applier::Look look = {});

    // Applies what comes for up to `limit`; returns early once everything that was committed at the source before `until`
    // has been applied (true then), or when interrupted. Where it returns false the target may be in the middle of a large
    // transaction, with locks on its rows: the next call goes on with it.
    // `until`: pg_current_wal_flush_lsn(); the log may never get to what pg_current_wal_insert_lsn() says (behind the
    // header of a page that is not there yet).
    bool run_until(base::Lsn until, base::Millis limit, base::Interrupt& interrupt);

    [[nodiscard]] ReceiverState state() const;
    [[nodiscard]] base::Lsn applied() const noexcept;
    [[nodiscard]] Applied const& counts() const noexcept;
    // The content of the last of pgcarve's own messages that was applied.
    [[nodiscard]] std::optional<std::string> const& marker() const noexcept;

    // Ends it at the last commit. The object is of no use then. Throws what the stream had broken on.
    void stop();

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

} // namespace pgcarve::sync
