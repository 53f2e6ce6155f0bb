#include "pgcarve/process.hpp"

#include <array>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.hpp"

extern char** environ; // NOLINT

namespace pgcarve::cmd {

namespace {

[[noreturn]] void fail(std::string const& what) {
    throw base::Error{base::Exit::bug, "process", fmt::format("{}: {}", what, std::strerror(errno)), {}};
}

// Closed by exec, so that no child of another thread keeps an end open.
struct Pipe {
    std::array<int, 2> ends{-1, -1};
    Pipe() {
        if (::pipe2(ends.data(), O_CLOEXEC) != 0)
            fail("pipe");
    }
    Pipe(Pipe const&) = delete;
    Pipe& operator=(Pipe const&) = delete;
    ~Pipe() {
        close(0);
        close(1);
    }
    void close(std::size_t end) {
        if (ends[end] >= 0)
            ::close(ends[end]);
        ends[end] = -1;
    }
};

// Takes what is there; false at the end.
bool take(int from, std::string& to) {
    std::array<char, 65536> buffer{};
    auto const got = ::read(from, buffer.data(), buffer.size());
    if (got > 0)
        to.append(buffer.data(), static_cast<std::size_t>(got));
    return got > 0 || (got < 0 && (errno == EINTR || errno == EAGAIN));
}

// Feeds and reads until both outputs are closed; a program that reads nothing does not stop this.
void converse(Pipe& in, Pipe& out, Pipe& err, std::string const& input, ProcessResult& result) {
    ::fcntl(in.ends[1], F_SETFL, O_NONBLOCK);
    std::size_t sent = 0;
    if (input.empty())
        in.close(1);
    while (out.ends[0] >= 0 || err.ends[0] >= 0) {
        std::array<pollfd, 3> waiting{{{out.ends[0], POLLIN, 0}, {err.ends[0], POLLIN, 0}, {in.ends[1], POLLOUT, 0}}};
        if (::poll(waiting.data(), waiting.size(), -1) < 0) {
            if (errno == EINTR)
                continue;
            fail("poll");
        }
        if (waiting[0].revents != 0 && !take(out.ends[0], result.out))
            out.close(0);
        if (waiting[1].revents != 0 && !take(err.ends[0], result.err))
            err.close(0);
        if (waiting[2].revents != 0) {
            auto const wrote = ::write(in.ends[1], input.data() + sent, input.size() - sent);
            if (wrote > 0)
                sent += static_cast<std::size_t>(wrote);
            if (sent == input.size() || (wrote < 0 && errno != EINTR && errno != EAGAIN))
                in.close(1);
        }
    }
}

} // namespace

ProcessResult run_process(std::vector<std::string> const& arguments, std::string const& input) {
    Pipe in;
    Pipe out;
    Pipe err;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in.ends[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out.ends[1], 1);
    posix_spawn_file_actions_adddup2(&actions, err.ends[1], 2);
    std::vector<char*> raw;
    for (auto const& argument : arguments)
        raw.push_back(const_cast<char*>(argument.c_str())); // NOLINT: what exec's interface asks for
    raw.push_back(nullptr);
    pid_t child = 0;
    int const started = ::posix_spawnp(&child, raw[0], &actions, nullptr, raw.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    ProcessResult result;
    if (started != 0) {
        result.exit = 127;
        result.err = fmt::format("{}: {}", arguments[0], std::strerror(started));
        return result;
    }
    in.close(0);
    out.close(1);
    err.close(1);
    converse(in, out, err, input, result);
    int status = 0;
    while (::waitpid(child, &status, 0) < 0) {
        if (errno != EINTR)
            fail("waitpid");
    }
    result.exit = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return result;
}

} // namespace pgcarve::cmd
