#include "pgcarve/log.hpp"

#include <array>

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>

namespace pgcarve::cmd {

namespace {

report::Style style_of(Terminal const& terminal) {
    return terminal.err_style();
}

class TerminalSink : public spdlog::sinks::base_sink<std::mutex> {
public:
    explicit TerminalSink(Terminal& terminal)
        : terminal_{terminal} {}

protected:
    void sink_it_(spdlog::details::log_msg const& message) override {
        spdlog::memory_buf_t buffer;
        formatter_->format(message, buffer);
        std::string text{buffer.data(), buffer.size()};
        bool const marked = message.color_range_end > message.color_range_start;
        if (style_of(terminal_).colour && marked && message.level != spdlog::level::info) {
            auto const* const code = message.level >= spdlog::level::err    ? "\x1b[31m"
                                     : message.level >= spdlog::level::warn ? "\x1b[33m"
                                                                            : "\x1b[2m";
            text.insert(message.color_range_end, "\x1b[0m");
            text.insert(message.color_range_start, code);
        }
        terminal_.message(text);
    }
    void flush_() override {}

private:
    Terminal& terminal_;
};

spdlog::level::level_enum level_of(Verbosity verbosity) {
    switch (verbosity) {
    case Verbosity::quiet:
        return spdlog::level::err;
    case Verbosity::usual:
        return spdlog::level::info;
    case Verbosity::verbose:
        return spdlog::level::debug;
    }
    return spdlog::level::info;
}

} // namespace

std::shared_ptr<spdlog::logger> make_log(Terminal& terminal, Verbosity verbosity) {
    auto sink = std::make_shared<TerminalSink>(terminal);
    auto log = std::make_shared<spdlog::logger>("pgcarve", std::move(sink));
    log->set_level(level_of(verbosity));
    log->set_pattern(terminal.draws_progress() ? "%^%l%$: %v" : "%Y-%m-%dT%H:%M:%S%z %^%l%$: %v");
    return log;
}

Progress::Progress(Terminal& terminal, spdlog::logger& log, Verbosity verbosity)
    : terminal_{terminal}
    , log_{log}
    , verbosity_{verbosity} {}

Progress::~Progress() {
    terminal_.progress("");
}

void Progress::update(std::string const& line) {
    using namespace std::chrono_literals;
    bool const drawn = terminal_.draws_progress();
    if (verbosity_ == Verbosity::quiet || (!drawn && verbosity_ != Verbosity::verbose))
        return;
    std::lock_guard const hold{mutex_};
    auto const now = Clock::now();
    if (now < next_)
        return;
    next_ = now + (drawn ? Clock::duration{100ms} : Clock::duration{30s});
    if (drawn)
        terminal_.progress(line);
    else
        log_.info("{}", line);
}

} // namespace pgcarve::cmd
