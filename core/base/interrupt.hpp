// A request to stop, from a signal or another thread, that running work can notice.
//
// Work either asks now and then (`check`, `wait_for`) or registers what breaks off a call
// that would block: typically the cancellation of a session's running query. Who catches
// signals is not decided here (cmd/).
//
// Threads: everything may be called from any thread. Callbacks run on the thread that calls
// request(), one after the other; once a Guard is destroyed its callback does not run any more.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "base/duration.hpp"

namespace pgcarve::base {

class Interrupt {
public:
    class Guard {
    public:
        Guard(Guard const&) = delete;
        Guard& operator=(Guard const&) = delete;
        Guard(Guard&& other) noexcept;
        Guard& operator=(Guard&&) = delete;
        ~Guard();

    private:
        friend class Interrupt;
        Guard(Interrupt* owner, int id)
            : owner_{owner}
            , id_{id} {}
        Interrupt* owner_;
        int id_;
    };

    // Sets the flag and runs the callbacks. `reason` ("SIGINT") is kept from the first call.
    void request(std::string reason);

    [[nodiscard]] bool requested() const noexcept { return requested_; }
    [[nodiscard]] std::string reason() const;
    // Throws Error "interrupted" (exit 4) once requested.
    void check() const;
    // Sleeps; true at once when requested, false when the time has passed.
    bool wait_for(Millis time);
    // Runs `callback` at request(), at once when that has already happened. It must not throw and must not
    // register or remove callbacks.
    [[nodiscard]] Guard on_request(std::function<void()> callback);

private:
    std::atomic<bool> requested_{false};
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::string reason_;
    std::map<int, std::function<void()>> callbacks_;
    int next_id_ = 0;
};

} // namespace pgcarve::base
