// SIGINT, SIGTERM and SIGHUP as a request to stop: the first one asks (the running verb undoes
// or rolls back, then exit 4), a second one ends the process at once, which every verb survives
// as it survives kill -9.
//
// A signal that was ignored when pgcarve started (nohup, background jobs of scripts) stays
// ignored. SIGPIPE is ignored: a reader that goes away shows as a failed write.
//
// REQUIRES: made before any other thread, so that every thread inherits the blocked signals.
// Children inherit them too: whoever starts one resets them.
#pragma once

#include <atomic>
#include <csignal>
#include <thread>

#include "base/interrupt.hpp"

namespace pgcarve::cmd {

class SignalWatcher {
public:
    explicit SignalWatcher(base::Interrupt& interrupt);
    SignalWatcher(SignalWatcher const&) = delete;
    SignalWatcher& operator=(SignalWatcher const&) = delete;
    ~SignalWatcher();

    // From here on SIGHUP asks for the settings to be read again, which is counted, instead of for a stop. Not for a program
    // whose terminal may go: that says SIGHUP as well.
    static void count_hangups() noexcept { counts_hangups_ = true; }
    [[nodiscard]] static int hangups() noexcept { return hangups_; }

private:
    void watch();

    base::Interrupt& interrupt_;
    sigset_t signals_{};
    sigset_t before_{};
    std::atomic<bool> stopping_{false};
    std::thread thread_;
    static inline std::atomic<bool> counts_hangups_{false};
    static inline std::atomic<int> hangups_{0};
};

} // namespace pgcarve::cmd
