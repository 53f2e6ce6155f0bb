#include "pgcarve/signals.hpp"

#include <string_view>

#include <unistd.h>

#include "base/error.hpp"

namespace pgcarve::cmd {

namespace {

constexpr int wake_up = SIGUSR1; // from the destructor to the watching thread

char const* name_of(int signal) {
    switch (signal) {
    case SIGINT:
        return "SIGINT";
    case SIGTERM:
        return "SIGTERM";
    default:
        return "SIGHUP";
    }
}

bool is_ignored(int signal) {
    struct sigaction action {};
    return sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

void say(std::string_view text) {
    // The process is about to end or the operator is watching: a message that cannot be written is lost.
    if (::write(STDERR_FILENO, text.data(), text.size()) < 0)
        return;
}

} // namespace

SignalWatcher::SignalWatcher(base::Interrupt& interrupt)
    : interrupt_{interrupt} {
    std::signal(SIGPIPE, SIG_IGN);
    sigemptyset(&signals_);
    for (int const signal : {SIGINT, SIGTERM, SIGHUP}) {
        if (!is_ignored(signal))
            sigaddset(&signals_, signal);
    }
    sigaddset(&signals_, wake_up);
    pthread_sigmask(SIG_BLOCK, &signals_, &before_);
    thread_ = std::thread{[this] { watch(); }};
}

SignalWatcher::~SignalWatcher() {
    stopping_ = true;
    pthread_kill(thread_.native_handle(), wake_up);
    thread_.join();
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

void SignalWatcher::watch() {
    while (!stopping_) {
        int signal = 0;
        if (sigwait(&signals_, &signal) != 0 || signal == wake_up)
            continue;
        if (signal == SIGHUP && counts_hangups_) {
            ++hangups_;
            continue;
        }
        if (interrupt_.requested()) {
            say("\nstopped at once: run the same command again, it finishes or undoes what was begun\n");
            _exit(static_cast<int>(base::Exit::unavailable));
        }
        say("\nstopping; once more to stop at once\n");
        interrupt_.request(name_of(signal));
    }
}

} // namespace pgcarve::cmd
