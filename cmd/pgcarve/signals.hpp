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

private:
    void watch();

    base::Interrupt& interrupt_;
    sigset_t signals_{};
    sigset_t before_{};
    std::atomic<bool> stopping_{false};
    std::thread thread_;
};

} // namespace pgcarve::cmd
