#include "run/crew.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <thread>

#include <fmt/format.h>

#include "run/moment.hpp"

namespace pgcarve::run {

namespace {
constexpr std::chrono::milliseconds nap{20};
}

Crew::Crew(pg::SessionSettings settings, std::size_t count, base::Millis limit, base::Millis longest, AcrossTables& tables, AcrossWatch& watch)
    : settings_{std::move(settings)}, limit_{limit}, longest_{longest}, tables_{tables}, watch_{watch}, sessions_(count) {
    settings_.statement_timeout = longest;
}

void Crew::perform(pg::Session& session, std::string const& snapshot, Task const& task) {
    try {
        pg::Transaction transaction{session, pg::Isolation::repeatable_read, pg::Access::read_only};
        session.run("SET TRANSACTION SNAPSHOT " + sql::literal(snapshot));
        verify::Pace::Reading const reading{watch_.pace()};
        task.work(session);
        transaction.abort();
        return;
    } catch (verify::Incomparable const& e) {
        tables_.fail(task.table, e.what());
    } catch (pg::SqlError const& e) {
        auto const first_line = e.message().substr(0, e.message().find('\n'));
        if (e.sqlstate() == pg::sqlstate::query_canceled && first_line.find("statement timeout") != std::string::npos)
            tables_.fail(task.table, fmt::format("one piece of it took longer than {}: give --max-snapshot more", base::format_duration(longest_)));
        else if (!watch_.stopping()) // else cancelled by us
            tables_.fail(task.table, fmt::format("{} ({})", first_line, e.sqlstate()));
    }
    if (task.failed)
        task.failed();
}

// For the server to be less busy.
bool Crew::wait(verify::Snapshot const& moment) {
    if (watch_.holding())
        return true;
    auto const now = std::chrono::steady_clock::now();
    return now - moment.taken < limit_ && watch_.pace().rest(now);
}

void Crew::work(std::unique_ptr<pg::Session>& own, verify::Snapshot const& moment, Next const& next) {
    while (!watch_.stopping()) {
        if (wait(moment)) {
            std::this_thread::sleep_for(nap);
            continue;
        }
        auto const task = next();
        if (!task)
            return;
        if (!own) {
            auto made = std::make_unique<pg::Session>(settings_);
            // Several share the load on purpose: parallel plans below them would take more sessions than asked for.
            // work_mem bounds the hashes and sorts where the key's index is no help.
            made->run("SET jit = off; SET max_parallel_workers_per_gather = 0; SET work_mem = '32MB'");
            patient(*made);
            std::lock_guard const lock{mutex_};
            own = std::move(made);
        }
        perform(*own, moment.id, *task);
    }
}

void Crew::run(verify::Snapshot const& moment, Next const& next, std::function<void()> const& supervise) {
    std::exception_ptr crash;
    std::size_t running = sessions_.size();
    std::condition_variable ended;
    std::vector<std::jthread> threads;
    for (auto& session : sessions_) {
        threads.emplace_back([&] {
            try {
                work(session, moment, next);
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
        if (running == 0)
            break;
        lock.unlock();
        std::exception_ptr broken;
        try {
            supervise();
        } catch (...) {
            broken = std::current_exception();
            watch_.abandon();
        }
        lock.lock();
        if (broken && !crash)
            crash = broken;
        // A cancellation that arrives between two statements is lost, so it is repeated.
        if (watch_.stopping()) {
            for (auto const& session : sessions_) {
                if (session)
                    session->cancel();
            }
        }
    }
    threads.clear();
    if (crash)
        std::rethrow_exception(crash);
}

} // namespace pgcarve::run
