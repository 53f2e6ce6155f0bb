// Receives a stream on a thread of its own, and hands it over in batches.
//
// What is received waits in a queue of bounded size; when that is full the server waits, while it goes on hearing from
// us: feedback never depends on how fast the target applies. Only what the applier has called durable is confirmed.
//
// A batch is handed over when it is large, when its transaction carried a mark of pgcarve's (a message, or model/mark.hpp), or when no other batch
// waits and it has some size, or nothing else is there to be read: so that a quiet stream has no delay and a busy one
// large batches.
//
// Errors of the thread come out of next(), behind every transaction that had ended before. Threads: next() and durable() from one other thread.
#pragma once

#include <memory>
#include <optional>

#include "base/duration.hpp"
#include "base/interrupt.hpp"
#include "pg/replication.hpp"
#include "sync/batch.hpp"
#include "sync/mapping.hpp"

namespace pgcarve::sync {

// The prefix of messages that pgcarve writes into the source's log: heartbeats and markers.
inline constexpr std::string_view message_prefix = "pgcarve";

struct ReceiverLimits {
    std::size_t batch_bytes = 8U << 20U;
    std::size_t batch_changes = 20'000;
    std::size_t early_changes = 5'000; // of a batch that goes before it is large, when no other one waits
    std::size_t queued_batches = 2;
    base::Millis status_interval{1'000};
};

struct ReceiverState {
    base::Lsn received; // end of the server's log when it sent last
    base::Lsn passed;   // every transaction that committed before it has been handed over
    base::Lsn durable;
    bool idle = true;   // everything handed over has been applied
};

class Receiver {
public:
    // `from`: the position the target is at. The connection is taken over, streaming from here on.
    Receiver(pg::Replication connection, pg::StreamRequest request, Mapping const& mapping, base::Lsn from, ReceiverLimits limits = {});
    ~Receiver();

    // Waits for the next batch; nullptr when none came within `timeout`.
    [[nodiscard]] std::unique_ptr<Batch> next(base::Millis timeout);
    // Everything up to here is committed at the target and flushed.
    void durable(base::Lsn position);
    [[nodiscard]] ReceiverState state() const;
    // Asks the server how far it is, so that `passed` moves on while nothing happens.
    void ask();
    // Ends the stream and the thread, keeping the server's position where durable() last said.
    void stop();

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

} // namespace pgcarve::sync
