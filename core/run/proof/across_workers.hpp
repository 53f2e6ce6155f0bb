// Those who compare: pairs of sessions, and the threads that take one piece after another with them.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include <fmt/format.h>

#include "run/proof/across_doubts.hpp"
#include "run/proof/across_reader.hpp"
#include "run/proof/across_units.hpp"
#include "run/proof/verified_tables.hpp"
#include "run/proof/verify_watch.hpp"

namespace pgcarve::run {

class AcrossWorkers {
public:
    // `first`: open already.
    AcrossWorkers(Route const& route, AcrossOptions const& options, std::unique_ptr<Reader> first, VerifiedTables& tables, VerifyWatch& watch);

    // For the calling thread, while neither work() nor together() runs.
    [[nodiscard]] Reader& first() { return *readers_.front(); }
    // Where rows in doubt are settled: what a standby says of them comes later.
    [[nodiscard]] Reader& primary();

    // Pieces until none is left, or the snapshots are old: while others are active, that is sooner. Adds to `held` those that
    // are proven now. `supervise` is called now and then on the calling thread. Throws what a worker broke on.
    void work(Moment const& moment, Doubts const& doubts, Ranges& ranges, std::set<int>& held, std::function<void()> const& supervise);

    // Whatever `next` hands out, until it has nothing more or the comparison is stopped. It is called from several threads,
    // as are the jobs. The rest as work().
    using Job = std::function<void(Reader&)>;
    void together(std::function<Job()> const& next, std::function<void()> const& supervise);

    // What goes wrong with one table leaves the others to go on. False: it did.
    template <class Work>
    bool guarded(std::size_t table, Work const& work) {
        try {
            work();
            return true;
        } catch (verify::Incomparable const& e) {
            tables_.fail(table, e.what());
        } catch (pg::SqlError const& e) {
            if (!watch_.stopping()) // else cancelled by us
                tables_.fail(table, fmt::format("{} ({})", e.message().substr(0, e.message().find('\n')), e.sqlstate()));
        }
        return false;
    }

private:
    using Clock = std::chrono::steady_clock;

    [[nodiscard]] std::size_t threads() const;
    void run_unit(Reader& reader, Moment const& moment, Doubts const& doubts, Ranges& ranges, Unit const& unit, std::set<int>& held);
    // Of its buckets, as many from `first` on as are to be compared before the next rest.
    [[nodiscard]] std::size_t next_buckets(Unit const& unit, std::size_t first, Clock::duration spent) const;
    void rest() const; // as long as Pace says, the snapshots live and nothing ends the work
    [[nodiscard]] bool old() const; // the snapshots

    Route const& route_;
    AcrossOptions const& options_;
    VerifiedTables& tables_;
    VerifyWatch& watch_;
    std::vector<std::unique_ptr<Reader>> readers_;
    std::unique_ptr<Reader> primary_;
    std::mutex mutex_;
    Clock::time_point begun_{}; // the moment's work
};

} // namespace pgcarve::run
