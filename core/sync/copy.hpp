// The initial copy: ranges of every table, several at once, each with its own short snapshot (chunks.hpp).
//
// It works in turns with the stream: for a turn the workers copy while the stream waits, then the stream applies what
// was written meanwhile. So the source keeps no more of its log than one turn makes, no snapshot is older than one
// range, and rows and changes never meet out of order. What is copied is recorded at the target in the transaction
// that brings it: a rerun goes on behind it.
//
// An index is built faster over rows that are there than row by row. So new tables have no key at first: it is made when the
// last of the table's rows has come, at the latest before the stream applies a change to it. For that a turn goes on beyond
// its time while it has such tables under way, the source keeps little log for it, and nothing asks copying to wait.
//
// A repair does the same over a target that has rows, some of them wrong: what differs in a range is changed, nothing
// else. Where a row is in the way of another one (a unique index), the stale ones of ranges still to come are taken out;
// they come again with their range. Tables that are only followed are the stream's alone, as after a copy.
//
// Errors: as sessions throw them; "disk-full" (exit 4); "interrupted"; "target-differs" (exit 5) when rows that are equal
// to the source's stand in each other's way.
// Threads: run() uses threads of its own and returns when they have ended.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/interrupt.hpp"
#include "pg/bulk.hpp"
#include "sync/chunks.hpp"
#include "sync/mapping.hpp"
#include "sync/stream.hpp"

namespace pgcarve::sync {

// Tables whose keys are made at once.
struct LateKeys {
    std::vector<std::uint32_t> tables;
    std::function<void()> make; // nothing, when they are there already. From any thread, one at a time for each of these
};

struct CopySettings {
    std::string stream; // whose record at the target
    pg::SessionSettings source;
    pg::SessionSettings target;
    int workers = 2;
    long long range_rows = 100'000;
    base::Millis turn{20'000};
    base::Millis longest_turn{600'000};        // without keys
    long long longest_turn_log = 256LL << 20U; // bytes that the source may log in it
    std::vector<double> estimated_rows; // by table; largest first
    bool repair = false;
    std::vector<bool> followed{}; // by table; beyond its end: false
    std::vector<LateKeys> late_keys{};
};

struct CopyProgress {
    long long rows = 0;
    long long mended = 0; // a repair: rows that were wrong at the target
    long long bytes = 0;
    double estimated_rows = 0;
    int tables_left = 0;
    std::string waits; // why nothing is copied now; empty when something is
};

class Copy {
public:
    Copy(CopySettings settings, Mapping const& mapping);
    ~Copy();

    [[nodiscard]] bool finished() const;

    struct Events {
        std::function<void(CopyProgress const&)> progress = [](CopyProgress const&) {};
        std::function<std::string()> throttled = [] { return std::string{}; }; // the reason to wait; from one thread at a time
        std::function<void()> after_range = [] {};
        std::function<int()> workers{}; // of the next turn; empty: as the settings say
    };
    using OpenStream = std::function<std::unique_ptr<Stream>()>;
    // Copies and lets the stream catch up in turns, until every range is there and the stream is behind all of them.
    // `stream` is opened when it is empty, and again where a table has to be copied anew.
    void run(OpenStream const& open, std::unique_ptr<Stream>& stream, base::Interrupt& interrupt, Events const& events);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

} // namespace pgcarve::sync
