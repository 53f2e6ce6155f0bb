// How a comparison across two databases goes on: tells its progress, asks how busy the servers are, and ends it when it is
// interrupted or its time is over.
//
// Threads: look(), stop() and why() on the calling one; stopping(), holding(), abandon() and pace() from any.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "run/proof/verified_tables.hpp"
#include "verify/compare.hpp"
#include "verify/pace.hpp"

namespace pgcarve::run {

class VerifyWatch {
public:
    // `source`: a session of the calling thread. Throws "load-unknown" (exit 2) when the load is limited and cannot be seen.
    VerifyWatch(Route const& route, pg::Session& source, AcrossOptions const& options, verify::CompareEvents const& events, VerifiedTables& tables);
    // Within one database.
    VerifyWatch(pg::Session& session, verify::CompareOptions const& options, verify::CompareEvents const& events, VerifiedTables& tables);

    void look(); // to be called now and then
    void stop(std::string why);
    void abandon() noexcept { stopping_ = true; } // something went wrong, which is told by itself

    [[nodiscard]] bool stopping() const noexcept { return stopping_; }
    [[nodiscard]] bool holding() const noexcept { return holding_; } // the servers are busy: begin nothing
    [[nodiscard]] verify::Pace& pace() noexcept { return pace_; }
    [[nodiscard]] std::string const& why() const noexcept { return why_; } // it was stopped; empty while it was not
    [[nodiscard]] bool interrupted() const noexcept { return interrupted_; }
    [[nodiscard]] double seconds() const;

private:
    using Clock = std::chrono::steady_clock;

    void report();
    VerifyWatch(pg::Session& source, verify::CompareOptions const& options, verify::CompareEvents const& events, VerifiedTables& tables,
                std::function<std::vector<pg::SessionSettings>()> const& others);
    void look_at_servers();

    // Where activity is looked at: sessions of its own, since readers are at work in other threads.
    pg::Session& source_;
    std::optional<pg::Session> target_;
    std::optional<pg::Session> scanned_; // a standby that is read in place of the source
    verify::CompareOptions const& options_;
    verify::CompareEvents const& events_;
    VerifiedTables& tables_;
    verify::Pace pace_;
    Clock::time_point begin_ = Clock::now();
    Clock::time_point looked_{};
    bool watching_ = false;
    std::atomic<bool> stopping_{false};
    std::atomic<bool> holding_{false};
    std::string why_;
    bool interrupted_ = false;
};

} // namespace pgcarve::run
