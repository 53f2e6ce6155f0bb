#include "support/proxy.hpp"

#include <chrono>
#include <cstring>
#include <stdexcept>

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace pgcarve::test {

namespace {

sockaddr_un address(std::filesystem::path const& folder) {
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    auto const path = (folder / ".s.PGSQL.5432").string();
    if (path.size() >= sizeof to.sun_path)
        throw std::runtime_error{"the socket's path is too long: " + path};
    std::memcpy(to.sun_path, path.c_str(), path.size() + 1);
    return to;
}

int open_socket() {
    int const made = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (made < 0)
        throw std::runtime_error{"socket failed"};
    return made;
}

} // namespace

Proxy::Proxy(std::filesystem::path server) : server_{std::move(server)} {
    char name[] = "/tmp/pgcarve-net-XXXXXX";
    if (mkdtemp(name) == nullptr)
        throw std::runtime_error{"mkdtemp failed"};
    folder_ = name;
    listener_ = open_socket();
    auto const here = address(folder_);
    if (bind(listener_, reinterpret_cast<sockaddr const*>(&here), sizeof here) != 0 || listen(listener_, 64) != 0) // NOLINT
        throw std::runtime_error{"the proxy cannot listen"};
    acceptor_ = std::thread{[this] { accept_loop(); }};
}

Proxy::~Proxy() {
    ending_ = true;
    acceptor_.join();
    sever();
    for (auto& one : pumps_)
        one.join();
    for (int const one : sockets_)
        close(one);
    close(listener_);
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
}

void Proxy::sever() {
    std::lock_guard const lock{mutex_};
    for (int const one : sockets_)
        shutdown(one, SHUT_RDWR);
}

void Proxy::accept_loop() {
    while (!ending_) {
        pollfd waiting{listener_, POLLIN, 0};
        if (poll(&waiting, 1, 50) <= 0)
            continue;
        int const client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (client < 0)
            continue;
        int const upstream = open_socket();
        auto const there = address(server_);
        if (connect(upstream, reinterpret_cast<sockaddr const*>(&there), sizeof there) != 0) { // NOLINT
            close(upstream); // the server is down, and the client sees it so
            close(client);
            continue;
        }
        std::lock_guard const lock{mutex_};
        sockets_.push_back(client);
        sockets_.push_back(upstream);
        pumps_.emplace_back([this, client, upstream] { pump(client, upstream); });
        pumps_.emplace_back([this, client, upstream] { pump(upstream, client); });
    }
}

void Proxy::pump(int from, int to) const {
    std::vector<char> buffer(1U << 16U);
    for (;;) {
        auto const got = recv(from, buffer.data(), buffer.size(), 0);
        while (stalled_ && !ending_)
            std::this_thread::sleep_for(std::chrono::milliseconds{10});
        if (got <= 0)
            break;
        for (ssize_t sent = 0; sent < got;) {
            auto const more = send(to, buffer.data() + sent, static_cast<std::size_t>(got - sent), MSG_NOSIGNAL);
            if (more <= 0)
                break;
            sent += more;
        }
    }
    shutdown(from, SHUT_RDWR);
    shutdown(to, SHUT_RDWR);
}

} // namespace pgcarve::test
