#include "run/proof/crew.hpp"

#include <chrono>
#include <thread>

#include <fmt/format.h>

#include "run/proof/in_threads.hpp"
#include "run/proof/moment.hpp"

namespace pgcarve::run {

namespace {
constexpr std::chrono::milliseconds nap{20};
}

Crew::Crew(pg::SessionSettings settings, std::size_t count, base::Millis limit, base::Millis longest, VerifiedTables& tables, VerifyWatch& watch)
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
    std::size_t taken = 0;
    in_threads(
        sessions_.size(),
        [&] {
            std::unique_lock lock{mutex_};
            auto& own = sessions_[taken++];
            lock.unlock();
            work(own, moment, next);
        },
        supervise,
        [&] {
            std::lock_guard const lock{mutex_};
            for (auto const& session : sessions_) {
                if (session)
                    session->cancel();
            }
        },
        watch_);
}

} // namespace pgcarve::run
