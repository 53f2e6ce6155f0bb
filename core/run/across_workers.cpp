#include "run/across_workers.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <thread>

namespace pgcarve::run {

using Clock = std::chrono::steady_clock;

AcrossWorkers::AcrossWorkers(Route const& route, AcrossOptions const& options, std::unique_ptr<Reader> first, AcrossTables& tables, AcrossWatch& watch)
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

void AcrossWorkers::run_unit(Reader& reader, Moment const& moment, Doubts const& doubts, Ranges& ranges, Unit const& unit, std::set<int>& held) {
    auto& table = tables_[unit.table];
    Proof proof{doubts.from, moment.at, {}, {}, {}};
    bool const done = guarded(unit.table, [&] {
        reader.at(moment, [&](verify::TwoSessions const& sessions) {
            auto scope = unit.scope;
            scope.where = options_.compare.where;
            scope.without = &table.doubted;
            proof.counts = verify::compare_scope(sessions, *table.shape, scope, unit.bounds, [&](verify::Difference const& difference) {
                if (auto finding = tables_.found(sessions, unit.table, difference, proof.found.size()))
                    proof.found.push_back(std::move(*finding));
            });
            verify::check_unchanged(sessions, *table.shape);
        });
    });
    if (!done)
        return ranges.let_go(unit);
    bool const counts = ranges.prove(unit, proof);
    tables_.progress(unit.table, proof.counts);
    std::lock_guard const lock{mutex_};
    ++table.units_done;
    if (counts)
        held.insert(unit.n);
}

void AcrossWorkers::work(Moment const& moment, Doubts const& doubts, Ranges& ranges, std::set<int>& held, std::function<void()> const& supervise) {
    auto const old = Clock::now() + options_.snapshot_limit;
    std::atomic<std::size_t> begun = 0;
    together(
        [&]() -> Job {
            // At least one unit a snapshot, so that it goes on however short its life is.
            if (begun++ >= threads() && Clock::now() >= old)
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
    auto const count = threads();
    std::atomic<std::size_t> running = count;
    std::exception_ptr crash;
    std::vector<std::jthread> threads;
    std::condition_variable ended;
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
                std::this_thread::sleep_for(std::chrono::milliseconds{20});
                continue;
            }
            auto const job = next();
            if (!job)
                break;
            if (own == nullptr)
                own = &reader();
            job(*own);
            if (options_.compare.pause.count() > 0)
                std::this_thread::sleep_for(options_.compare.pause);
        }
    };
    for (std::size_t i = 0; i < count; ++i) {
        threads.emplace_back([&] {
            try {
                one();
            } catch (...) {
                std::lock_guard const lock{mutex_};
                crash = std::current_exception();
                watch_.abandon();
            }
            std::lock_guard const lock{mutex_};
            --running;
            ended.notify_all();
        });
    }
    for (std::unique_lock lock{mutex_}; running > 0;) {
        ended.wait_for(lock, std::chrono::milliseconds{100});
        lock.unlock();
        supervise();
        lock.lock();
        if (watch_.stopping()) {
            for (auto const& open : readers_)
                open->cancel();
        }
    }
    threads.clear();
    if (crash)
        std::rethrow_exception(crash);
}

} // namespace pgcarve::run
