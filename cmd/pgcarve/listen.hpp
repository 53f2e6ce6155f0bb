// The smallest HTTP server that Prometheus needs: GET of one path, one answer, then the connection is closed.
//
// One client at a time: a scrape comes every few seconds, and what it asks for is asked of one server. A client that is slow
// to send or to read is cut off, so that it holds up nobody.
#pragma once

#include <functional>
#include <string>

#include "base/interrupt.hpp"

namespace pgcarve::cmd {

struct Answer {
    int status = 200;
    std::string type = "text/plain; version=0.0.4; charset=utf-8";
    std::string body;
};

class Listener {
public:
    // HOST:PORT, [HOST]:PORT or :PORT (every address); port 0 takes a free one. Errors: "usage", "cannot-listen" (exit 2).
    explicit Listener(std::string const& address);
    Listener(Listener const&) = delete;
    Listener& operator=(Listener const&) = delete;
    ~Listener();

    [[nodiscard]] int port() const noexcept { return port_; }
    // Until interrupted. `metrics` answers GET /metrics; it must not throw.
    void serve(base::Interrupt& interrupt, int wake_fd, std::function<Answer()> const& metrics);

private:
    void one(int client, base::Interrupt& interrupt, std::function<Answer()> const& metrics);

    int fd_ = -1;
    int port_ = 0;
};

} // namespace pgcarve::cmd
