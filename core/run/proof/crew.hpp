// Sessions of one database that work through tasks at a moment, a thread each.
//
// A task has a transaction of its own with the moment's snapshot, so that a waiting DDL statement waits for one task at most.
//
// Errors: those of a task other than "this table cannot be compared" end the run, which throws them.
// Threads: one calls run() at a time; tasks run on threads of their own.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "run/proof/verify_watch.hpp"
#include "verify/snapshot.hpp"

namespace pgcarve::run {

class Crew {
public:
    struct Task {
        std::size_t table = 0; // index into the pairs
        std::function<void(pg::Session&)> work;
        std::function<void()> failed{}; // the table cannot be compared, or the work was cancelled
    };
    // From any thread; nullopt: there are no more.
    using Next = std::function<std::optional<Task>()>;

    // `limit`: of a moment's life: until then it rests where the server is busy. `longest`: of one statement.
    Crew(pg::SessionSettings settings, std::size_t count, base::Millis limit, base::Millis longest, VerifiedTables& tables, VerifyWatch& watch);

    // `supervise` is called now and then on the calling thread.
    void run(verify::Snapshot const& moment, Next const& next, std::function<void()> const& supervise);

private:
    void work(std::unique_ptr<pg::Session>& own, verify::Snapshot const& moment, Next const& next);
    [[nodiscard]] bool wait(verify::Snapshot const& moment);
    void perform(pg::Session& session, std::string const& snapshot, Task const& task);

    pg::SessionSettings settings_;
    base::Millis limit_;
    base::Millis longest_;
    VerifiedTables& tables_;
    VerifyWatch& watch_;
    std::mutex mutex_;
    std::vector<std::unique_ptr<pg::Session>> sessions_;
};

} // namespace pgcarve::run
