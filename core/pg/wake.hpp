// A file descriptor that becomes readable when a stop is requested, for calls that wait in poll().
#pragma once

#include "base/interrupt.hpp"

namespace pgcarve::pg {

class WakeFd {
public:
    explicit WakeFd(base::Interrupt& interrupt); // throws std::system_error when there are no descriptors left
    WakeFd(WakeFd const&) = delete;
    WakeFd& operator=(WakeFd const&) = delete;
    ~WakeFd();
    [[nodiscard]] int get() const noexcept { return fd_; }

private:
    int fd_;
    base::Interrupt::Guard guard_;
};

} // namespace pgcarve::pg
