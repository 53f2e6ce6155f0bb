// Goal: questions are asked of people only, results and messages go their own ways, and a signal stops what
// runs. Method: pipes in the place of a terminal, whose nature is a setting.
#include <gtest/gtest.h>

#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>

#include <sys/wait.h>
#include <unistd.h>

#include "pgcarve/options.hpp"
#include "pgcarve/signals.hpp"

namespace {

using namespace pgcarve;
using namespace std::chrono_literals;

class Pipe {
public:
    Pipe() {
        if (pipe(ends_.data()) != 0)
            throw std::runtime_error{"pipe failed"};
    }
    Pipe(Pipe const&) = delete;
    Pipe& operator=(Pipe const&) = delete;
    ~Pipe() {
        close_reader();
        close_writer();
    }
    void close_reader() { shut(ends_[0]); }
    void close_writer() { shut(ends_[1]); }
    [[nodiscard]] int reader() const { return ends_[0]; }
    [[nodiscard]] int writer() const { return ends_[1]; }
    void write(std::string const& text) const {
        ASSERT_EQ(::write(ends_[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
    }
    // Everything written so far; closes the writing end.
    std::string drain() {
        close_writer();
        std::string all;
        std::array<char, 4096> buffer{};
        for (ssize_t n = 0; (n = ::read(ends_[0], buffer.data(), buffer.size())) > 0;)
            all.append(buffer.data(), static_cast<std::size_t>(n));
        return all;
    }

private:
    static void shut(int& fd) {
        if (fd >= 0)
            ::close(std::exchange(fd, -1));
    }
    std::array<int, 2> ends_{};
};

// A context over three pipes.
struct Desk {
    explicit Desk(bool is_terminal, bool json = false) {
        cmd::TerminalSettings settings{in.reader(), out.writer(), err.writer()};
        settings.in_terminal = settings.out_terminal = settings.err_terminal = is_terminal;
        options.json = json;
        terminal.emplace(settings);
        log = cmd::make_log(*terminal, cmd::Verbosity::usual);
        context.emplace(options, *terminal, *log, interrupt);
    }
    Pipe in, out, err;
    cmd::GlobalOptions options;
    base::Interrupt interrupt;
    std::optional<cmd::Terminal> terminal;
    std::shared_ptr<spdlog::logger> log;
    std::optional<cmd::Context> context;
};

model::Plan small_plan() {
    model::Plan plan;
    plan.service = "checkout";
    plan.verb = "split";
    return plan;
}

TEST(Confirm, DryRunPrintsThePlanAndStops) {
    Desk text{false};
    EXPECT_EQ(text.context->confirm(small_plan(), {.yes = false, .dry_run = true}), base::Exit::done);
    EXPECT_TRUE(text.out.drain().starts_with("plan: split checkout\n"));
    EXPECT_EQ(text.err.drain(), "");
    Desk json{false, true};
    EXPECT_EQ(json.context->confirm(small_plan(), {.yes = false, .dry_run = true}), base::Exit::done);
    EXPECT_TRUE(json.out.drain().starts_with("{\n  \"schema_version\": 1"));
}

TEST(Confirm, YesGoesAheadAndKeepsStdoutForTheResult) {
    Desk json{false, true};
    EXPECT_EQ(json.context->confirm(small_plan(), {.yes = true, .dry_run = false}), std::nullopt);
    EXPECT_EQ(json.out.drain(), "");
    EXPECT_TRUE(json.err.drain().starts_with("plan: split checkout\n"));
}

TEST(Confirm, RefusesWithoutATerminal) {
    Desk desk{false};
    try {
        (void)desk.context->confirm(small_plan(), {});
        FAIL();
    } catch (base::Error const& e) {
        EXPECT_EQ(e.code(), "not-confirmed");
        EXPECT_EQ(e.exit(), base::Exit::usage);
    }
    EXPECT_NE(desk.out.drain().find("plan: split"), std::string::npos) << "the plan is shown all the same";
}

TEST(Confirm, AsksAtATerminalAndTakesOnlyAYes) {
    for (auto const* answer : {"y\n", "yes\n", "Y\n"}) {
        Desk desk{true};
        desk.in.write(answer);
        EXPECT_EQ(desk.context->confirm(small_plan(), {}), std::nullopt) << answer;
        EXPECT_NE(desk.err.drain().find("go ahead? [y/N] "), std::string::npos);
    }
    for (auto const* answer : {"\n", "n\n", "yup\n", " y\n"}) {
        Desk desk{true};
        desk.in.write(answer);
        EXPECT_EQ(desk.context->confirm(small_plan(), {}), base::Exit::usage) << answer;
        EXPECT_NE(desk.err.drain().find("nothing was changed"), std::string::npos);
    }
    Desk closed{true};
    closed.in.close_writer();
    EXPECT_EQ(closed.context->confirm(small_plan(), {}), base::Exit::usage);
}

TEST(Confirm, AnInterruptEndsTheQuestion) {
    Desk desk{true};
    desk.interrupt.request("SIGINT");
    EXPECT_THROW((void)desk.context->confirm(small_plan(), {}), base::Error);
}

TEST(Terminal, DrawsProgressAgainBelowMessages) {
    Desk desk{true};
    {
        cmd::Progress progress{*desk.terminal, *desk.log, cmd::Verbosity::usual};
        progress.update("1 of 3");
        desk.log->warn("careful");
    }
    EXPECT_EQ(desk.err.drain(), "\r\x1b[K1 of 3\r\x1b[Kwarning: careful\n1 of 3\r\x1b[K");
}

TEST(Terminal, APipeGetsNoProgressUnlessVerbose) {
    Desk desk{false};
    {
        cmd::Progress usual{*desk.terminal, *desk.log, cmd::Verbosity::usual};
        usual.update("quiet");
        cmd::Progress verbose{*desk.terminal, *desk.log, cmd::Verbosity::verbose};
        verbose.update("1 of 3");
        verbose.update("2 of 3");
    }
    auto const told = desk.err.drain();
    EXPECT_TRUE(told.ends_with(" info: 1 of 3\n")) << told;
    EXPECT_EQ(std::count(told.begin(), told.end(), '\n'), 1) << "one line in 30 s";
}

TEST(Terminal, AReaderThatLeftIsNoErrorButAFullDiskIs) {
    std::signal(SIGPIPE, SIG_IGN);
    Desk desk{false};
    desk.out.close_reader();
    EXPECT_NO_THROW(desk.terminal->print("nobody reads this"));
    auto* const full = std::fopen("/dev/full", "w");
    ASSERT_NE(full, nullptr);
    cmd::TerminalSettings settings;
    settings.out = fileno(full);
    cmd::Terminal terminal{settings};
    EXPECT_THROW(terminal.print("no room"), base::Error);
    std::fclose(full);
}

TEST(Config, IsReadOnceAndNamesTheNearestService) {
    auto const file =
        std::filesystem::temp_directory_path() / ("pgcarve-" + std::to_string(getpid()) + ".toml");
    std::ofstream{file} << "[shared]\ndsn = 'password=x'\n[service.checkout]\ntables = ['orders']\n"
                           "[service.billing]\ntables = ['bills']\n";
    Desk desk{false};
    desk.options.config = file;
    EXPECT_EQ(desk.context->service("checkout").schema, "checkout");
    EXPECT_EQ(desk.context->services({}).size(), 2U);
    EXPECT_EQ(desk.context->services("billing").front()->name, "billing");
    try {
        (void)desk.context->service("chekout");
        FAIL();
    } catch (base::Error const& e) {
        EXPECT_EQ(e.code(), "unknown-service");
        EXPECT_EQ(e.hint(), "did you mean checkout?");
        EXPECT_EQ(e.details(), std::vector<std::string>{"services: billing, checkout"});
    }
    auto const told = desk.err.drain();
    EXPECT_EQ(std::count(told.begin(), told.end(), '\n'), 1) << "the warning is told once: " << told;
    std::filesystem::remove(file);
}

TEST(Config, AFileThatCannotBeReadIsNamed) {
    for (std::string const path : {"/nonexistent/pgcarve.toml", "/tmp"}) {
        Desk desk{false};
        desk.options.config = path;
        try {
            (void)desk.context->config();
            FAIL() << path;
        } catch (base::Error const& e) {
            EXPECT_EQ(e.code(), "config-unreadable");
            EXPECT_NE(e.message().find(path), std::string::npos);
        }
    }
}

// In a child: a second signal ends the process.
TEST(Signals, TheFirstAsksTheSecondEnds) {
    auto const child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        base::Interrupt interrupt;
        cmd::SignalWatcher const watcher{interrupt};
        kill(getpid(), SIGTERM);
        if (!interrupt.wait_for(60s) || interrupt.reason() != "SIGTERM")
            _exit(100);
        kill(getpid(), SIGINT);
        pause();
        _exit(101);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 4);
}

TEST(Signals, WhatWasIgnoredStaysIgnored) {
    auto const child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        std::signal(SIGHUP, SIG_IGN);
        base::Interrupt interrupt;
        cmd::SignalWatcher const watcher{interrupt};
        kill(getpid(), SIGHUP);
        kill(getpid(), SIGTERM);
        if (!interrupt.wait_for(60s))
            _exit(100);
        _exit(interrupt.reason() == "SIGTERM" ? 0 : 101);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
}

} // namespace
