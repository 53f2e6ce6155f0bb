// The log on stderr, and progress. -q leaves errors, -v adds what is done in detail.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <string>

#include <spdlog/logger.h>

#include "pgcarve/terminal.hpp"

namespace pgcarve::cmd {

enum class Verbosity { quiet, usual, verbose };

// "warning: message" on a terminal, with the time before it elsewhere.
[[nodiscard]] std::shared_ptr<spdlog::logger> make_log(Terminal& terminal, Verbosity verbosity);

// Tells how far something is: one line that is drawn again and again on a terminal; elsewhere nothing,
// or with -v a log line every 30 s. The line goes when the object does. May be updated from any thread.
class Progress {
public:
    Progress(Terminal& terminal, spdlog::logger& log, Verbosity verbosity);
    Progress(Progress const&) = delete;
    Progress& operator=(Progress const&) = delete;
    ~Progress();

    void update(std::string const& line);

private:
    using Clock = std::chrono::steady_clock;
    Terminal& terminal_;
    spdlog::logger& log_;
    Verbosity verbosity_;
    std::mutex mutex_;
    Clock::time_point next_{}; // the first update is shown at once
};

} // namespace pgcarve::cmd
