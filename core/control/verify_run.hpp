// The ranges of one verification, which several processes share and a later one takes up.
//
// A range is claimed by one process for as long as it renews its hold. One that was killed loses it at once when the
// server knows that its session is gone, and after `hold` otherwise; a result that comes too late is not taken.
//
// What a range proves is kept with two positions: `at`, where both sides were compared, and `from`: rows that were
// touched behind it have to be looked at again before the range counts at a later position. Within one database these are
// the rows that transactions from `horizon` on wrote.
//
// Errors: pg::SqlError, "server-lost". Threads: any may call any member, one at a time gets through.
#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/duration.hpp"
#include "base/types.hpp"
#include "pg/session.hpp"

namespace pgcarve::control {

struct VerifyRange {
    int n = 0;
    std::string source_table; // quoted
    nlohmann::json scope;
};

struct RangeProof {
    base::Lsn from;
    base::Lsn at;
    std::string compared_at; // ISO 8601 with zone
    long long rows = 0;
    long long missing = 0;
    long long extra = 0;
    long long different = 0;
    nlohmann::json found = nullptr;
    std::optional<std::uint64_t> horizon{};
};

class VerifyRun {
public:
    static constexpr base::Millis hold{60'000};

    // `subject`: those that share a run agree on it.
    VerifyRun(pg::SessionSettings settings, std::string service, std::string subject);
    VerifyRun(VerifyRun const&) = delete;
    VerifyRun& operator=(VerifyRun const&) = delete;
    ~VerifyRun(); // lets go of what it holds

    // Takes up the run of the subject that has no verdict yet, and true; else false, and nobody else begins one until
    // begin() or the end of this object. Waits for somebody who is about to begin one, calling `waiting`. Proofs that are
    // older than `max_age`, or that found differences, are not taken up: their ranges are to be compared again.
    // `fresh`: begins one whatever there is.
    [[nodiscard]] bool attach(base::Millis max_age, bool fresh, std::function<void()> const& waiting);
    void begin(std::vector<VerifyRange> const& ranges);

    // The first range that nobody has; not of these tables (quoted).
    [[nodiscard]] std::optional<VerifyRange> claim(std::set<std::string> const& without);
    void renew();
    void let_go(int n);
    // False: somebody else has it by now, or has done it.
    bool prove(int n, RangeProof const& proof);

    struct Range {
        int n = 0;
        std::string source_table; // quoted
        std::optional<RangeProof> proof;
        bool held = false; // by another process
    };
    [[nodiscard]] std::vector<Range> ranges();
    // These (without differences) hold at a later position, too. `since`: but for those that somebody has proven anew meanwhile, with
    // rows to be looked at from before it.
    void raise(std::vector<int> const& numbers, std::optional<base::Lsn> since, base::Lsn from, base::Lsn at, std::optional<std::uint64_t> horizon);
    // Proofs that begin before `limit` (all of them: nullopt) are no longer to be relied on.
    void forget_before(std::optional<base::Lsn> limit);
    void forget_table(std::string const& source_table);

    // Calls `record` unless a verdict of this run was recorded already, and returns the id of that.
    long long finish(std::function<long long()> const& record);

private:
    std::mutex mutex_;
    pg::Session session_;
    std::string service_;
    std::string subject_;
    long long holder_;
    long long run_ = 0;
};

} // namespace pgcarve::control
