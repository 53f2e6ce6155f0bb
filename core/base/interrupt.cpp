#include "base/interrupt.hpp"

#include <utility>

#include "base/error.hpp"

namespace pgcarve::base {

Interrupt::Guard::Guard(Guard&& other) noexcept
    : owner_{std::exchange(other.owner_, nullptr)}
    , id_{other.id_} {}

Interrupt::Guard::~Guard() {
    if (owner_ == nullptr)
        return;
    std::lock_guard const hold{owner_->mutex_};
    owner_->callbacks_.erase(id_);
}

void Interrupt::request(std::string reason) {
    std::lock_guard const hold{mutex_};
    if (!requested_)
        reason_ = std::move(reason);
    requested_ = true;
    changed_.notify_all();
    // Under the mutex, so that a Guard's destructor waits for a callback that is running.
    for (auto const& [id, callback] : callbacks_)
        callback();
}

std::string Interrupt::reason() const {
    std::lock_guard const hold{mutex_};
    return reason_;
}

void Interrupt::check() const {
    if (requested_)
        throw Error{Exit::unavailable, "interrupted", "stopped by " + reason(),
                    "run the same command again: it goes on from here"};
}

bool Interrupt::wait_for(Millis time) {
    std::unique_lock hold{mutex_};
    return changed_.wait_for(hold, time, [this] { return requested_.load(); });
}

Interrupt::Guard Interrupt::on_request(std::function<void()> callback) {
    std::lock_guard const hold{mutex_};
    if (requested_)
        callback();
    auto const id = next_id_++;
    callbacks_.emplace(id, std::move(callback));
    return Guard{this, id};
}

} // namespace pgcarve::base
