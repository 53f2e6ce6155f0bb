// One replication connection: makes logical slots of pgoutput and receives from them.
// Source: PostgreSQL documentation, "Streaming Replication Protocol" and "Logical Streaming Replication Protocol".
//
// The connection is pinned as a Session is, as far as it changes how values are printed: what a source prints is what
// the target reads. A connection that is lost stays lost. After start() and until stop() only poll() and send_status()
// make sense, everything else is a bug; after stop() or an SqlError from poll() commands are possible again, but after
// stop() no other start(): a walsender ends a second logical stream at once (walsender.c resets what says that a
// stream is done for physical ones only).
//
// Errors: base::Error "bad-dsn", "unreachable", "server-lost" (also when the server ends a stream by itself),
// "interrupted" (the wake-up descriptor broke a command off), "protocol" (wire/frame.hpp); SqlError when the server
// refuses a command or breaks a stream off with a reason.
//
// Threads: one at a time. Another thread ends a wait by making `wake_fd` readable.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/duration.hpp"
#include "base/types.hpp"
#include "wire/decoder.hpp"
#include "wire/frame.hpp"

namespace pgcarve::pg {

struct ReplicationSettings {
    std::string dsn;     // any libpq connection string; environment, service and password files apply
    std::string purpose; // shown in application_name as "pgcarve <purpose>"
    base::Millis connect_timeout{10'000};
    int wake_fd = -1; // while readable, poll() does not wait and a waiting command is cancelled; never read here
};

struct SystemIdentity {
    std::string system_id; // the same on all servers of one cluster, before and after a failover
    int timeline = 0;
    base::Lsn flushed;
    std::string database;
};

struct SlotOptions {
    bool temporary = false; // gone with the connection
    bool failover = false;  // synchronised to standbys; "too-old" (exit 2) before PostgreSQL 17
};

struct CreatedSlot {
    std::string name;
    base::Lsn consistent_point; // every transaction that commits behind it is in the stream, whole
};

struct StreamRequest {
    std::string slot;
    // A commit's end_lsn, or 0/0: the slot's confirmed position. The server goes on at the later of the two.
    base::Lsn start{};
    std::vector<std::string> publications; // they must be older than the slot
    wire::Streaming streaming = wire::Streaming::off;
    bool binary = false;
    bool messages = true;     // of pg_logical_emit_message()
    bool origin_none = false; // leave out what was itself replicated to the server
};

// What a server of this version can do of a request: what it is too old for is left out, and this says what holds.
struct StreamTerms {
    std::string options;         // of START_REPLICATION
    wire::Negotiated negotiated; // for the Decoder
    bool messages = false;       // since 14; before it the stream has none
    bool origin_none = false;    // since 16; before it replicated transactions come too, with Origin messages
};

[[nodiscard]] StreamTerms stream_terms(int server_version, StreamRequest const& request);

// A frame with the memory that its views point into.
class Received {
public:
    struct Free {
        void operator()(char* buffer) const noexcept;
    };
    using Buffer = std::unique_ptr<char, Free>;

    Received(Buffer buffer, std::size_t size);
    [[nodiscard]] wire::Frame const& frame() const noexcept { return frame_; }

private:
    Buffer buffer_;
    wire::Frame frame_;
};

class Replication {
public:
    explicit Replication(ReplicationSettings settings);
    Replication(Replication&&) noexcept;
    Replication& operator=(Replication&&) noexcept;
    ~Replication();

    [[nodiscard]] SystemIdentity identify();

    // Where the server's history left a timeline; nullopt: it never did, or never was on it.
    [[nodiscard]] std::optional<base::Lsn> left_timeline(int timeline);

    // Waits for every transaction that runs on the server to end, however long that takes. No snapshot is exported.
    // It is best made after the publications that it will be read with have been committed.
    CreatedSlot create_slot(std::string const& name, SlotOptions options = {});

    StreamTerms start(StreamRequest const& request);

    // The next frame, waiting up to `timeout` for one (0: not at all); nullopt when none came or `wake_fd` is
    // readable. Frames that are there already come first, whatever `wake_fd` says.
    [[nodiscard]] std::optional<Received> poll(base::Millis timeout);

    // Tells the server how far we are. Does not wait: what the socket does not take now goes out with poll().
    // A `flushed` beyond what the server has sent is a bug, since the server would leave out what comes before it.
    void send_status(base::Lsn written, base::Lsn flushed, base::Lsn applied, bool reply_requested = false);

    // Ends the stream; frames still under way are dropped, and come again in the next stream as far as they were not
    // confirmed. A server in the middle of a transaction sends it to its end first: when that takes longer than
    // `limit`, the connection is closed instead and false returned.
    bool stop(base::Millis limit);

    [[nodiscard]] bool streaming() const noexcept;
    [[nodiscard]] bool alive() const noexcept;
    [[nodiscard]] int server_version() const; // server_version_num
    [[nodiscard]] int backend_pid() const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

} // namespace pgcarve::pg
