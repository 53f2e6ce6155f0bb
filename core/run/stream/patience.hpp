// Trouble that passes without a decision of anybody's, and the waiting for it.
//
// Threads: one at a time.
#pragma once

#include <functional>

#include "base/error.hpp"
#include "run/context.hpp"

namespace pgcarve::run {

// A server that is away, has no room or no connection to spare, or whose locks were not free: trying again is safe, and
// all there is to do.
[[nodiscard]] bool passes(base::Error const& e);

class Patience {
public:
    explicit Patience(Context& context) : context_{context} {}

    // Warns of `why` and waits: a second at first, twice as long each time, at most half a minute. `meanwhile` is called
    // several times a second; true from it, or a stop request, ends the wait.
    void wait(base::Error const& why, std::function<bool()> const& meanwhile);
    // Something has worked: the next wait is a short one.
    void well() noexcept { pause_ = first; }

private:
    static constexpr base::Millis first{1'000};
    Context& context_;
    base::Millis pause_ = first;
};

} // namespace pgcarve::run
