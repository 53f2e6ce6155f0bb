#include "pgcarve/terminal.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "report/table.hpp"

namespace pgcarve::cmd {

namespace {

// errno of the failed write, 0 when everything was written.
int write_all(int fd, std::string_view text) {
    while (!text.empty()) {
        auto const written = ::write(fd, text.data(), text.size());
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return errno;
        text.remove_prefix(static_cast<std::size_t>(written));
    }
    return 0;
}

int window_width(int fd) {
    constexpr int usual = 100;
    constexpr int narrowest = 60; // below, cut names help nobody
    winsize size{};
    if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return usual;
    return std::max<int>(size.ws_col, narrowest);
}

bool colour_wanted(bool no_color) {
    char const* const refused = std::getenv("NO_COLOR");
    char const* const term = std::getenv("TERM");
    return !no_color && (refused == nullptr || *refused == '\0') &&
           (term == nullptr || std::strcmp(term, "dumb") != 0);
}

constexpr std::string_view clear_line = "\r\x1b[K";

} // namespace

TerminalSettings detect_terminal(bool no_color) {
    TerminalSettings settings;
    settings.in_terminal = isatty(settings.in) == 1;
    settings.out_terminal = isatty(settings.out) == 1;
    settings.err_terminal = isatty(settings.err) == 1;
    settings.colour_out = settings.out_terminal && colour_wanted(no_color);
    settings.colour_err = settings.err_terminal && colour_wanted(no_color);
    settings.width = settings.out_terminal ? window_width(settings.out) : 0;
    return settings;
}

void Terminal::print(std::string_view result) {
    std::lock_guard const hold{mutex_};
    if (reader_gone_)
        return;
    if (!progress_.empty())
        write_err(clear_line);
    auto const failed = write_all(settings_.out, result);
    if (failed == EPIPE)
        reader_gone_ = true;
    else if (failed != 0)
        throw base::Error{base::Exit::unavailable, "output-failed",
                          fmt::format("cannot write the result: {}", std::strerror(failed)),
                          "look at the disk or the program that reads it, then run the command again"};
    write_err(progress_);
}

void Terminal::write_err(std::string_view text) {
    (void)write_all(settings_.err, text);
}

void Terminal::message(std::string_view lines) {
    std::lock_guard const hold{mutex_};
    if (progress_.empty())
        return write_err(lines);
    write_err(fmt::format("{}{}{}", clear_line, lines, progress_));
}

void Terminal::progress(std::string_view line) {
    std::lock_guard const hold{mutex_};
    if (!settings_.err_terminal)
        return;
    bool const was_drawn = !progress_.empty();
    progress_ = report::cut_middle(report::printable(line), window_width(settings_.err) - 1);
    if (was_drawn || !progress_.empty())
        write_err(fmt::format("{}{}", clear_line, progress_));
}

std::optional<std::string> Terminal::ask(std::string_view question, base::Interrupt const& interrupt) {
    progress("");
    message(question);
    constexpr int look_again_ms = 100; // signals arrive on another thread, so the wait is cut into pieces
    std::string line;
    while (!interrupt.requested()) {
        pollfd waiting{settings_.in, POLLIN, 0};
        if (poll(&waiting, 1, look_again_ms) <= 0)
            continue;
        char c = 0;
        auto const got = ::read(settings_.in, &c, 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        if (c == '\n')
            return line;
        line += c;
    }
    message("\n");
    return std::nullopt;
}

} // namespace pgcarve::cmd
