// What pgcarve writes and asks: results to stdout, everything else to stderr, questions only
// to a person at a terminal.
//
// A progress line is drawn again below whatever else is written to stderr. In a pipe there is
// no progress line.
//
// Errors: "output-failed" (exit 4) when a result cannot be written; a reader that has gone
// away (`| head`) is no error. Messages that cannot be written are lost: there is nowhere to say so.
//
// Threads: everything may be called from any thread.
#pragma once

#include <chrono>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "base/interrupt.hpp"
#include "report/render.hpp"

namespace pgcarve::cmd {

struct TerminalSettings {
    int in = 0;
    int out = 1;
    int err = 2;
    bool in_terminal = false;
    bool out_terminal = false;
    bool err_terminal = false;
    bool colour_out = false;
    bool colour_err = false;
    int width = 100; // of tables; 0: do not cut
};

// Looks at the file descriptors, NO_COLOR, TERM and the window's size. A result that goes to a file or a
// program is never cut.
[[nodiscard]] TerminalSettings detect_terminal(bool no_color);

class Terminal {
public:
    explicit Terminal(TerminalSettings settings)
        : settings_{settings} {}

    void print(std::string_view result);  // to stdout
    void message(std::string_view lines); // to stderr; ends with a newline
    void progress(std::string_view line); // "" takes it away
    [[nodiscard]] bool draws_progress() const { return settings_.err_terminal; }

    // Somebody can be asked and can see the question.
    [[nodiscard]] bool can_ask() const { return settings_.in_terminal && settings_.err_terminal; }
    // One line; nullopt at the end of input or when interrupted. REQUIRES: can_ask().
    [[nodiscard]] std::optional<std::string> ask(std::string_view question, base::Interrupt const& interrupt);

    [[nodiscard]] report::Style out_style() const { return {settings_.colour_out, settings_.width}; }
    [[nodiscard]] report::Style err_style() const { return {settings_.colour_err, settings_.width}; }

private:
    void write_err(std::string_view text);

    TerminalSettings settings_;
    std::mutex mutex_;
    std::string progress_; // as drawn
    bool reader_gone_ = false;
};

} // namespace pgcarve::cmd
