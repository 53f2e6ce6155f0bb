#include "pg/wake.hpp"

#include <cerrno>
#include <system_error>

#include <sys/eventfd.h>
#include <unistd.h>

namespace pgcarve::pg {

namespace {

int open_event() {
    int const fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        throw std::system_error{errno, std::generic_category(), "eventfd"};
    return fd;
}

} // namespace

WakeFd::WakeFd(base::Interrupt& interrupt)
    : fd_{open_event()}
    // Fails only where the counter is full: then it is readable already.
    , guard_{interrupt.on_request([fd = fd_] { static_cast<void>(eventfd_write(fd, 1)); })} {}

WakeFd::~WakeFd() { close(fd_); }

} // namespace pgcarve::pg
