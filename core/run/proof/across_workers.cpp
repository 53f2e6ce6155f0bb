#include "run/proof/across_workers.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "run/proof/in_threads.hpp"

namespace pgcarve::run {

namespace {

constexpr std::chrono::milliseconds nap{20};
// While others are active: how long is read at a time, and a snapshot lives. What they write meanwhile is looked at again.
constexpr std::chrono::duration<double> piece_time{0.25};
constexpr base::Millis sparing_limit{60'000};

// So many buckets of a unit, from `first` on.
Unit part_of(Unit const& unit, std::size_t first, std::size_t buckets) {
    auto part = unit;
    auto const begin = unit.bounds.begin() + static_cast<std::ptrdiff_t>(first);
    part.bounds = {begin, begin + static_cast<std::ptrdiff_t>(std::min(buckets, unit.bounds.size() - first))};
    if (first > 0)
        part.scope.range.after = unit.bounds[first - 1];
    if (first + buckets <= unit.bounds.size()) { // its last bound is its end
        part.scope.range.up_to = part.bounds.back();
        part.bounds.pop_back();
    }
    return part;
}

} // namespace

AcrossWorkers::AcrossWorkers(Route const& route, AcrossOptions const& options, std::unique_ptr<Reader> first, VerifiedTables& tables, VerifyWatch& watch)
    : route_{route}, options_{options}, tables_{tables}, watch_{watch} {
    readers_.push_back(std::move(first));
}

Reader& AcrossWorkers::primary() {
    if (options_.scan_dsn.empty())
        return first();
    if (!primary_)
        primary_ = std::make_unique<Reader>(route_, options_, true);
    return *primary_;
}

bool AcrossWorkers::old() const {
    auto const limit = watch_.pace().sparing() ? std::min(options_.snapshot_limit, sparing_limit) : options_.snapshot_limit;
    return Clock::now() - begun_ >= limit;
}

std::size_t AcrossWorkers::next_buckets(Unit const& unit, std::size_t first, Clock::duration spent) const {
    auto const all = unit.bounds.size() + 1;
    if (!watch_.pace().sparing())
        return all - first;
    auto const some = first == 0 ? all / 8 : static_cast<std::size_t>(static_cast<double>(first) * (piece_time / std::max(spent, Clock::duration{1})));
    return std::clamp<std::size_t>(some, 1, all - first);
}

void AcrossWorkers::rest() const {
    while (!watch_.stopping() && !old() && watch_.pace().rest(Clock::now()))
        std::this_thread::sleep_for(nap);
}

void AcrossWorkers::run_unit(Reader& reader, Moment const& moment, Doubts const& doubts, Ranges& ranges, Unit const& unit, std::set<int>& held) {
    auto& table = tables_[unit.table];
    Proof proof{doubts.from, moment.at, {}, {}, {}};
    Clock::duration spent{0};
    for (std::size_t first = 0; first <= unit.bounds.size();) {
        // Outside of a transaction: nobody waits for its locks meanwhile.
        if (first > 0)
            rest();
        auto const part = part_of(unit, first, next_buckets(unit, first, spent));
        first += part.bounds.size() + 1;
        auto const begin = Clock::now();
        bool const done = !watch_.stopping() && guarded(unit.table, [&] {
            verify::Pace::Reading const reading{watch_.pace()};
            reader.at(moment, [&](verify::TwoSessions const& sessions) {
                auto scope = part.scope;
                scope.where = options_.compare.where;
                scope.without = &table.doubted;
                proof.counts.add(verify::compare_scope(sessions, *table.shape, scope, part.bounds, [&](verify::Difference const& difference) {
                    if (auto finding = tables_.found(sessions, unit.table, difference, proof.found.size()))
                        proof.found.push_back(std::move(*finding));
                }));
                verify::check_unchanged(sessions, *table.shape);
            });
        });
        if (!done)
            return ranges.let_go(unit);
        spent += Clock::now() - begin;
    }
    bool const counts = ranges.prove(unit, proof);
    tables_.progress(unit.table, proof.counts);
    std::lock_guard const lock{mutex_};
    ++table.units_done;
    if (counts)
        held.insert(unit.n);
}

void AcrossWorkers::work(Moment const& moment, Doubts const& doubts, Ranges& ranges, std::set<int>& held, std::function<void()> const& supervise) {
    begun_ = Clock::now();
    std::atomic<std::size_t> begun = 0;
    together(
        [&]() -> Job {
            rest();
            // At least one unit a snapshot, so that it goes on however short its life is.
            if (watch_.stopping() || (begun++ >= threads() && old()))
                return {};
            auto unit = ranges.take(tables_.failed());
            if (!unit)
                return {};
            return [&, unit = std::move(*unit)](Reader& reader) { run_unit(reader, moment, doubts, ranges, unit, held); };
        },
        supervise);
}

std::size_t AcrossWorkers::threads() const { return static_cast<std::size_t>(std::max(1, options_.compare.workers == 0 ? 2 : options_.compare.workers)); }

void AcrossWorkers::together(std::function<Job()> const& next, std::function<void()> const& supervise) {
    std::size_t taken = 0;
    // An open one, if any is left.
    auto const reader = [&]() -> Reader& {
        {
            std::lock_guard const lock{mutex_};
            if (taken < readers_.size())
                return *readers_[taken++];
        }
        auto made = std::make_unique<Reader>(route_, options_, false);
        std::lock_guard const lock{mutex_};
        readers_.insert(readers_.begin() + static_cast<std::ptrdiff_t>(taken), std::move(made));
        return *readers_[taken++];
    };
    auto const one = [&] {
        Reader* own = nullptr;
        while (!watch_.stopping()) {
            if (watch_.holding()) {
                std::this_thread::sleep_for(nap);
                continue;
            }
            auto const job = next();
            if (!job)
                break;
            if (own == nullptr)
                own = &reader();
            job(*own);
        }
    };
    in_threads(
        threads(), one, supervise,
        [&] {
            std::lock_guard const lock{mutex_};
            for (auto const& open : readers_)
                open->cancel();
        },
        watch_);
}

} // namespace pgcarve::run
