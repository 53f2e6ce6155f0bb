#include "run/across_workers.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <thread>

namespace pgcarve::run {

using Clock = std::chrono::steady_clock;

AcrossWorkers::AcrossWorkers(Route const& route, AcrossOptions const& options, AcrossTables& tables, AcrossWatch& watch)
    : route_{route}, options_{options}, tables_{tables}, watch_{watch} {
    readers_.push_back(std::make_unique<Reader>(route, options, false));
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
    auto const count = static_cast<std::size_t>(std::max(1, options_.compare.workers == 0 ? 2 : options_.compare.workers));
    std::atomic<std::size_t> running = count;
    std::exception_ptr crash;
    std::vector<std::jthread> threads;
    std::condition_variable ended;
    readers_.resize(std::max(count, readers_.size()));
    auto const one = [&](std::unique_ptr<Reader>& own) {
        // At least one unit a snapshot, so that it goes on however short its life is.
        for (bool first = true; !watch_.stopping() && (first || Clock::now() < old); first = false) {
            if (watch_.holding()) {
                std::this_thread::sleep_for(std::chrono::milliseconds{20});
                continue;
            }
            auto const unit = ranges.take(tables_.failed());
            if (!unit)
                break;
            if (!own) {
                auto made = std::make_unique<Reader>(route_, options_, false);
                std::lock_guard const lock{mutex_};
                own = std::move(made);
            }
            run_unit(*own, moment, doubts, ranges, *unit, held);
            if (options_.compare.pause.count() > 0)
                std::this_thread::sleep_for(options_.compare.pause);
        }
    };
    for (std::size_t i = 0; i < count; ++i) {
        threads.emplace_back([&, i] {
            try {
                one(readers_[i]);
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
            for (auto const& reader : readers_) {
                if (reader)
                    reader->cancel();
            }
        }
    }
    threads.clear();
    if (crash)
        std::rethrow_exception(crash);
}

} // namespace pgcarve::run
