// How a comparison across two databases goes on: tells its progress, asks how busy the servers are, and ends it when it is
// interrupted or its time is over.
//
// Threads: look(), stop() and why() on the calling one; stopping(), holding() and abandon() from any.
#pragma once

#include <atomic>
#include <chrono>
#include <optional>
#include <string>

#include "run/across_tables.hpp"
#include "verify/compare.hpp"

namespace pgcarve::run {

class AcrossWatch {
public:
    // `source`: a session of the calling thread. Throws "load-unknown" (exit 2) when the load is limited and cannot be seen.
    AcrossWatch(Route const& route, pg::Session& source, verify::CompareOptions const& options, verify::CompareEvents const& events,
                AcrossTables& tables);
    // Within one database.
    AcrossWatch(pg::Session& session, verify::CompareOptions const& options, verify::CompareEvents const& events, AcrossTables& tables);

    void look(); // to be called now and then
    void stop(std::string why);
    void abandon() noexcept { stopping_ = true; } // something went wrong, which is told by itself

    [[nodiscard]] bool stopping() const noexcept { return stopping_; }
    [[nodiscard]] bool holding() const noexcept { return holding_; } // the servers are busy: begin nothing
    [[nodiscard]] std::string const& why() const noexcept { return why_; } // it was stopped; empty while it was not
    [[nodiscard]] bool interrupted() const noexcept { return interrupted_; }
    [[nodiscard]] double seconds() const;

private:
    using Clock = std::chrono::steady_clock;

    void report();
    [[nodiscard]] long long busy();
    void require_rights();
    [[nodiscard]] std::vector<pg::Session*> sessions();

    Route const* route_ = nullptr;
    pg::Session& source_;
    std::optional<pg::Session> target_; // its own: readers are at work in other threads
    verify::CompareOptions const& options_;
    verify::CompareEvents const& events_;
    AcrossTables& tables_;
    Clock::time_point begin_ = Clock::now();
    std::atomic<bool> stopping_{false};
    std::atomic<bool> holding_{false};
    std::string why_;
    bool interrupted_ = false;
};

} // namespace pgcarve::run
