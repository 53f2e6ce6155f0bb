// One logical position at which both databases can be read, under live writes.
//
// A snapshot of the source is taken, then a mark (a message) is committed there that asks for a hold (sync::hold_message). Whoever
// applies the stream stops right behind it, while a snapshot of the target is taken; that this one is exactly there is
// read in it. Then, with the message's position as the moment:
//   - a transaction which the source's snapshot sees had committed before the message, so the target's has it;
//   - one that committed before the message, but that the source's snapshot does not see, is known by its number from
//     what the applier keeps of it (pgcarve.touched): its rows are in doubt, and wait for another moment;
//   - all other rows are, on both sides, as they were at the position. A difference in them is real.
// Neither the order in which commits become visible nor the time that anything takes is relied upon.
//
// The stream is the one of a running `sync`, or is read here, under the lease, when none runs. Apply waits for as long as
// the target's snapshot takes: milliseconds, and less than a second whatever happens.
//
// Threads: one at a time.
#pragma once

#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "run/proof/touched_keys.hpp"
#include "run/stream/route.hpp"

namespace pgcarve::run {

// pg_current_snapshot(), for the 32-bit numbers of a stream. On a standby it does not list what runs: there only what is
// older than all that runs counts as seen.
class SourceSnapshot {
public:
    SourceSnapshot(std::string const& text, bool standby);
    [[nodiscard]] bool sees(wire::TransactionId xid) const;
    [[nodiscard]] std::string const& text() const noexcept { return snapshot_.text(); }
    [[nodiscard]] wire::TransactionId oldest() const noexcept { return {oldest_}; } // it sees all that are older

private:
    sync::Snapshot snapshot_;
    std::uint32_t oldest_ = 0;
    bool standby_;
};

// The snapshots live as long as this.
struct Moment {
    base::Lsn at;     // everything that committed before it
    std::string time; // at the source, when the message was written
    std::unique_ptr<pg::Session> source;
    std::unique_ptr<pg::Session> target;
    std::unique_ptr<pg::Transaction> source_transaction;
    std::unique_ptr<pg::Transaction> target_transaction;
    std::string source_id; // for SET TRANSACTION SNAPSHOT
    std::string target_id;
    SourceSnapshot seen;

    // Lines of pgcarve.touched with a transaction that the source's snapshot does not see.
    [[nodiscard]] bool doubts(sync::Touched const& line) const;
};

// No timeout of the server's own ends this session while it waits with its snapshot.
void patient(pg::Session& session);

struct MomentLimits {
    base::Millis wait{60'000}; // for the stream to come to the message
    base::Millis longest_lag{5'000}; // a source snapshot is taken only when the stream is no further behind
};

class Moments {
public:
    // `mapping`: of the stream, kept alive by the caller. `scan_dsn`: where the source's rows are read; a standby of it, perhaps.
    Moments(Context& context, Route const& route, sync::Mapping const& mapping, MomentLimits limits, std::string scan_dsn);
    Moments(Moments const&) = delete;
    Moments& operator=(Moments const&) = delete;
    ~Moments();

    // Throws "not-proven" (exit 3) when the stream does not get there in time, saying how far behind it is, or when it carries no
    // marks; "interrupted"; what the stream stopped for. `primary`: read the source itself, whatever scan_dsn says.
    [[nodiscard]] Moment take(bool primary = false);
    // Returns when the target has everything that committed before `mark` (sync::mark()), within `limit`. Errors as take().
    // When no sync runs, the stream is kept open until this object ends.
    void pass(base::Lsn mark, base::Millis limit);

private:
    class Own;
    void step_in(std::unique_ptr<Own>& own); // unless somebody applies the stream
    // Looks until `there` says true of the stream's row, or false for good.
    bool wait(pg::Session& target, std::unique_ptr<Own>& own, base::Millis limit, std::function<std::optional<bool>(pg::Row const&)> const& there);
    void catch_up(pg::Session& writer, pg::Session& watcher, std::unique_ptr<Own>& own);
    void wait_for_standby(pg::Session& standby, pg::Session& writer);
    void lock(pg::Session& watcher);
    [[nodiscard]] std::string token(std::string_view kind);

    Context& context_;
    Route const& route_;
    sync::Mapping const& mapping_;
    MomentLimits limits_;
    std::string scan_dsn_;
    std::unique_ptr<Own> kept_; // by pass()
    std::future<void> ending_;  // of an own stream that is not needed any more: letting go takes the servers a moment
    std::optional<pg::Session> watcher_;
    int count_ = 0;
};

} // namespace pgcarve::run
