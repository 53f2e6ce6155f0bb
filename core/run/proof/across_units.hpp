// The pieces of a comparison: how tables of two databases are cut into them, and who keeps which of them is done.
//
// A piece that was compared at a moment is proven `at` it; what was touched behind `from` (rows that were in doubt then,
// and whatever came later) is to be looked at again before it counts at a later one. Within one database, that is what
// transactions from `horizon` on wrote.
//
// Threads: cutting, as the sessions; Ranges, any.
#pragma once

#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "control/verify_run.hpp"
#include "verify/across.hpp"

namespace pgcarve::run {

struct Unit {
    std::size_t table = 0; // index into the pairs
    verify::AcrossScope scope; // without what is not the unit's own: `where`, `without`
    std::vector<verify::Key> bounds;
    int n = 0; // given by Ranges
};

struct CutSizes {
    double bucket_rows = 0;
    double unit_rows = 0;
    base::Millis snapshot_limit{0};
};

// All of a table.
[[nodiscard]] std::vector<Unit> cut(verify::TwoSessions const& sessions, std::size_t table, verify::AcrossShape const& shape, std::string const& where,
                                    CutSizes const& sizes);

// A share of a table whose turn it is, and where the next one begins. `turn`: "" for the beginning.
struct Share {
    std::vector<Unit> units;
    std::string next;
};
[[nodiscard]] Share cut_share(verify::TwoSessions const& sessions, std::size_t table, verify::AcrossShape const& shape, double share, std::string const& turn,
                              CutSizes const& sizes);

struct Proof {
    base::Lsn from;
    base::Lsn at;
    std::string time; // when it was compared; empty: now
    verify::AcrossCounts counts;
    std::vector<model::Finding> found; // some of the differences
    std::optional<std::uint64_t> horizon{}; // within one database
};

class Ranges {
public:
    Ranges() = default;
    Ranges(Ranges const&) = delete;
    Ranges& operator=(Ranges const&) = delete;
    virtual ~Ranges() = default;

    // Whether there are units already. If not, begin() is to be called. `touched_from`: behind it everything touched is on record.
    virtual bool attach(std::optional<base::Lsn> touched_from) = 0;
    virtual void begin(std::vector<Unit> units) = 0;
    // Not of tables that have failed here.
    virtual std::optional<Unit> take(std::set<std::size_t> const& failed) = 0;
    virtual void let_go(Unit const& unit) = 0;
    virtual bool prove(Unit const& unit, Proof const& proof) = 0; // false: somebody else has done it
    struct State {
        std::size_t table = 0;
        int n = 0;
        std::optional<Proof> proof;
        bool elsewhere = false; // another process is at it
    };
    [[nodiscard]] virtual std::vector<State> state() = 0;
    // `since`: those whose proof does not begin before it.
    virtual void raise(std::vector<int> const& numbers, std::optional<base::Lsn> since, base::Lsn from, base::Lsn at, std::optional<std::uint64_t> horizon) = 0;
    virtual void forget_before(std::optional<base::Lsn> limit) = 0;
    virtual void forget_table(std::size_t table) = 0;
    virtual void alive() {} // to be called now and then
};

// Of this process alone.
class OwnRanges final : public Ranges {
public:
    bool attach(std::optional<base::Lsn> touched_from) override;
    void begin(std::vector<Unit> units) override;
    std::optional<Unit> take(std::set<std::size_t> const& failed) override;
    void let_go(Unit const& unit) override;
    bool prove(Unit const& unit, Proof const& proof) override;
    [[nodiscard]] std::vector<State> state() override;
    void raise(std::vector<int> const& numbers, std::optional<base::Lsn> since, base::Lsn from, base::Lsn at, std::optional<std::uint64_t> horizon) override;
    void forget_before(std::optional<base::Lsn> limit) override;
    void forget_table(std::size_t table) override;
    // Other pieces for this table; what its former ones proved is forgotten.
    void replace(std::size_t table, std::vector<Unit> units);

private:
    struct Line {
        Unit unit;
        bool taken = false;
        std::optional<Proof> proof;
        bool replaced = false;
    };
    std::mutex mutex_;
    std::vector<Line> lines_;
};

// In the control schema, shared with other processes, and taken up by later ones.
class SharedRanges final : public Ranges {
public:
    // `tables`: quoted sources of the pairs.
    SharedRanges(control::VerifyRun& run, std::vector<std::string> tables, base::Millis max_age, bool fresh, std::function<void()> waiting);
    bool attach(std::optional<base::Lsn> touched_from) override;
    void begin(std::vector<Unit> units) override;
    std::optional<Unit> take(std::set<std::size_t> const& failed) override;
    void let_go(Unit const& unit) override;
    bool prove(Unit const& unit, Proof const& proof) override;
    [[nodiscard]] std::vector<State> state() override;
    void raise(std::vector<int> const& numbers, std::optional<base::Lsn> since, base::Lsn from, base::Lsn at, std::optional<std::uint64_t> horizon) override;
    void forget_before(std::optional<base::Lsn> limit) override;
    void forget_table(std::size_t table) override;
    void alive() override;

private:
    [[nodiscard]] std::size_t table(std::string const& quoted) const;

    control::VerifyRun& run_;
    std::vector<std::string> tables_;
    base::Millis max_age_;
    bool fresh_;
    std::function<void()> waiting_;
    std::size_t pieces_ = 0;
    std::chrono::steady_clock::time_point renewed_ = std::chrono::steady_clock::now();
};

} // namespace pgcarve::run
