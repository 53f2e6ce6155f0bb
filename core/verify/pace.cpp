#include "verify/pace.hpp"

#include <algorithm>
#include <utility>

namespace pgcarve::verify {

using Seconds = std::chrono::duration<double>;

void Pace::advance(Time now) {
    auto const passed = std::max(Seconds{0}, Seconds{now - last_});
    last_ = std::max(last_, now);
    if (readers_ == 0 && waiting_)
        rested_ += std::min(passed, owed_);
    if (busy_)
        owed_ += passed * (1 + ratio_) * readers_;
    owed_ = std::max(Seconds{0}, owed_ - passed);
}

void Pace::sample(bool others_active, Time now) {
    std::lock_guard const lock{mutex_};
    if (never())
        return;
    busy_ = others_active;
    advance(now);
    bool const first = !std::exchange(sampled_, true);
    if (busy_)
        active_ = now;
    else if (first)
        active_ = now - quiet;
    else if (now - active_ >= quiet)
        owed_ = Seconds{0};
}

bool Pace::rest(Time now) {
    std::lock_guard const lock{mutex_};
    advance(now);
    waiting_ = owed_ > Seconds{0};
    return waiting_;
}

void Pace::begin(Time now) {
    std::lock_guard const lock{mutex_};
    if (never())
        return;
    advance(now);
    ++readers_;
    waiting_ = false;
}

void Pace::end(Time now) {
    std::lock_guard const lock{mutex_};
    if (never())
        return;
    advance(now);
    --readers_;
}

bool Pace::sparing() const {
    std::lock_guard const lock{mutex_};
    return !never() && last_ - active_ < quiet;
}

bool Pace::resting() const {
    std::lock_guard const lock{mutex_};
    return waiting_ && readers_ == 0 && owed_ > Seconds{0};
}

Seconds Pace::rested() const {
    std::lock_guard const lock{mutex_};
    return rested_;
}

} // namespace pgcarve::verify
