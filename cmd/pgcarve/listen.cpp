#include "pgcarve/listen.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <optional>

#include <fmt/format.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.hpp"

namespace pgcarve::cmd {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds patience{5};      // with one client
constexpr std::size_t longest_request = 16 * 1024; // Prometheus sends some hundred bytes
constexpr int backlog = 16;

class Descriptor {
public:
    explicit Descriptor(int fd)
        : fd_{fd} {}
    Descriptor(Descriptor const&) = delete;
    Descriptor& operator=(Descriptor const&) = delete;
    ~Descriptor() { close(fd_); }

private:
    int fd_;
};

struct Address {
    std::string host;
    std::string port;
};

Address parse(std::string const& text) {
    auto const colon = text.rfind(':');
    auto const wrong = [&] {
        return base::Error{base::Exit::usage, "usage", fmt::format("\"{}\" is no address to listen at", text), "write it as 127.0.0.1:9187, [::1]:9187 or :9187"};
    };
    if (colon == std::string::npos || colon + 1 == text.size() || text.find_first_not_of("0123456789", colon + 1) != std::string::npos)
        throw wrong();
    auto host = text.substr(0, colon);
    if (host.size() > 1 && host.front() == '[' && host.back() == ']')
        host = host.substr(1, host.size() - 2);
    else if (host.find(':') != std::string::npos)
        throw wrong();
    return {host, text.substr(colon + 1)};
}

bool wait(int fd, short events, Clock::time_point deadline) {
    for (;;) {
        auto const left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
        if (left <= 0)
            return false;
        pollfd watched{fd, events, 0};
        int const found = ::poll(&watched, 1, static_cast<int>(left));
        if (found > 0)
            return true;
        if (found < 0 && errno != EINTR)
            return false;
    }
}

// The head of the request; nullopt when the client is too slow, says too much or goes away.
std::optional<std::string> read_head(int client, Clock::time_point deadline) {
    std::string head;
    std::array<char, 4096> buffer{};
    while (head.find("\r\n\r\n") == std::string::npos) {
        if (head.size() > longest_request || !wait(client, POLLIN, deadline))
            return std::nullopt;
        auto const got = recv(client, buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
            return std::nullopt;
        if (got > 0)
            head.append(buffer.data(), static_cast<std::size_t>(got));
    }
    return head;
}

char const* reason(int status) {
    switch (status) {
    case 200:
        return "OK";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    default:
        return "Internal Server Error";
    }
}

void send_all(int client, std::string_view text, Clock::time_point deadline) {
    while (!text.empty() && wait(client, POLLOUT, deadline)) {
        auto const sent = send(client, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN && errno != EINTR)
            return;
        if (sent > 0)
            text.remove_prefix(static_cast<std::size_t>(sent));
    }
}

} // namespace

Listener::Listener(std::string const& address) {
    auto const [host, port] = parse(address);
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
    addrinfo* found = nullptr;
    auto const fail = [&](std::string const& why) {
        throw base::Error{base::Exit::usage, "cannot-listen", fmt::format("cannot listen at {}: {}", address, why), {}};
    };
    int const error = getaddrinfo(host.empty() ? nullptr : host.c_str(), port.c_str(), &hints, &found);
    if (error != 0)
        fail(gai_strerror(error));
    std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> const all{found, &freeaddrinfo};
    std::string why = "it has no address";
    for (auto const* at = all.get(); at != nullptr && fd_ < 0; at = at->ai_next) {
        int const fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
        int const yes = 1;
        if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 && bind(fd, at->ai_addr, at->ai_addrlen) == 0 &&
            ::listen(fd, backlog) == 0) {
            fd_ = fd;
            break;
        }
        why = std::strerror(errno);
        if (fd >= 0)
            close(fd);
    }
    if (fd_ < 0)
        fail(why);
    sockaddr_storage bound{};
    socklen_t size = sizeof bound;
    std::array<char, NI_MAXSERV> number{};
    if (getsockname(fd_, reinterpret_cast<sockaddr*>(&bound), &size) == 0 &&
        getnameinfo(reinterpret_cast<sockaddr*>(&bound), size, nullptr, 0, number.data(), number.size(), NI_NUMERICSERV) == 0)
        port_ = std::stoi(number.data());
}

Listener::~Listener() { close(fd_); }

void Listener::serve(base::Interrupt& interrupt, int wake_fd, std::function<Answer()> const& metrics) {
    while (!interrupt.requested()) {
        std::array<pollfd, 2> watched{pollfd{fd_, POLLIN, 0}, pollfd{wake_fd, POLLIN, 0}};
        if (::poll(watched.data(), watched.size(), -1) < 0 || watched[0].revents == 0)
            continue;
        int const client = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
        if (client < 0)
            continue; // it went away meanwhile
        Descriptor const closed{client};
        one(client, interrupt, metrics);
    }
}

void Listener::one(int client, base::Interrupt& interrupt, std::function<Answer()> const& metrics) {
    auto const head = read_head(client, Clock::now() + patience);
    if (!head || interrupt.requested())
        return;
    auto const line = head->substr(0, head->find("\r\n"));
    auto const first = line.find(' ');
    auto const second = line.find(' ', first == std::string::npos ? first : first + 1);
    auto const method = line.substr(0, first);
    auto const path = second == std::string::npos ? std::string{} : line.substr(first + 1, second - first - 1);
    Answer answer;
    if (method != "GET" && method != "HEAD")
        answer = {405, "text/plain", "only GET\n"};
    else if (path == "/metrics" || path.starts_with("/metrics?"))
        answer = metrics();
    else if (path == "/")
        answer = {200, "text/plain", "pgcarve: the metrics are at /metrics\n"};
    else
        answer = {404, "text/plain", "the metrics are at /metrics\n"};
    auto const text = fmt::format("HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}", answer.status, reason(answer.status),
                                  answer.type, answer.body.size(), method == "HEAD" ? "" : answer.body);
    send_all(client, text, Clock::now() + patience);
    shutdown(client, SHUT_WR);
}

} // namespace pgcarve::cmd
