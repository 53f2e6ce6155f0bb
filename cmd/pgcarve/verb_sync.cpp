#include <chrono>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "pgcarve/verbs.hpp"
#include "run/sync.hpp"

namespace pgcarve::cmd {

namespace {

using Clock = std::chrono::steady_clock;

struct SyncOptions {
    std::string service;
    run::SyncOptions sync;
    Consent consent;
};

// sd_notify(3): one datagram to the socket that systemd names; without systemd, nothing.
void notify(std::string const& state) {
    char const* const path = std::getenv("NOTIFY_SOCKET");
    if (path == nullptr || (path[0] != '/' && path[0] != '@') || std::strlen(path) >= sizeof(sockaddr_un::sun_path))
        return;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path, std::strlen(path));
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    int const socket_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (socket_fd < 0)
        return;
    auto const length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + std::strlen(path));
    // A readiness that nobody hears is systemd's to miss.
    static_cast<void>(sendto(socket_fd, state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<sockaddr const*>(&address), length));
    close(socket_fd);
}

// A line a second on a terminal, a line a minute elsewhere.
class Reporter {
public:
    explicit Reporter(Context& context) : context_{context} {}

    run::SyncEvents events(std::string const& service) {
        run::SyncEvents events;
        events.copy = [this](sync::CopyProgress const& p) {
            auto line = fmt::format("copied {} rows", p.rows);
            if (p.estimated_rows > static_cast<double>(p.rows))
                line += fmt::format(" of about {:.0f} ({:.0f} %)", p.estimated_rows, 100.0 * static_cast<double>(p.rows) / p.estimated_rows);
            auto const seconds = std::chrono::duration<double>(Clock::now() - started_).count();
            if (seconds > 0.5)
                line += fmt::format(", {:.0f} rows/s, {:.1f} MB/s", static_cast<double>(p.rows) / seconds, static_cast<double>(p.bytes) / seconds / 1e6);
            line += fmt::format(", {} tables left", p.tables_left);
            say(p.waits.empty() ? line : line + ", waiting: " + p.waits);
        };
        events.ready = [this, service](std::string const& phase) {
            context_.log.info("service {} is {}: the stream runs", service, phase);
            notify(fmt::format("READY=1\nSTATUS={}", phase));
        };
        events.tick = [this](run::SyncTick const& t) {
            auto const line = fmt::format("{} transactions, {} changes applied, {} bytes behind", t.transactions, t.changes, t.lag_bytes);
            notify(fmt::format("WATCHDOG=1\nSTATUS={}", line));
            say(line);
        };
        return events;
    }

private:
    void say(std::string const& line) {
        if (context_.options.verbosity == Verbosity::quiet)
            return;
        if (context_.terminal.draws_progress()) {
            context_.terminal.progress(line);
        } else if (Clock::now() - last_ >= std::chrono::minutes{1}) {
            last_ = Clock::now();
            context_.log.info(line);
        }
    }

    Context& context_;
    Clock::time_point started_ = Clock::now();
    Clock::time_point last_ = Clock::now();
};

base::Exit run_sync(SyncOptions const& options, Context& context) {
    RunContext run{context};
    std::optional<base::Exit> said;
    Reporter reporter{context};
    auto const outcome = run::sync_service(run.get(), options.service, options.sync, ask(context, options.consent, said), reporter.events(options.service));
    context.terminal.progress("");
    if (!outcome.confirmed)
        return said.value_or(base::Exit::usage);
    notify("STOPPING=1");
    context.terminal.message(fmt::format("service {} is {}: {} rows copied, {} transactions applied{}\n", options.service, outcome.phase, outcome.rows,
                                         outcome.transactions, outcome.caught_up ? ", in step" : "; stopped, and goes on when it is run again"));
    context.terminal.message(fmt::format("next: {}\n", outcome.next));
    return base::Exit::done;
}

} // namespace

void register_sync(Registry& registry) {
    auto const options = std::make_shared<SyncOptions>();
    auto& verb = registry.add(
        {.name = "sync",
         .summary = "database hop: copy the service's tables into its own database, then keep them in step",
         .examples = {"pgcarve sync checkout --dry-run", "pgcarve sync checkout --yes", "pgcarve sync checkout --yes --until-caught-up"},
         .details = "Runs until it is stopped (SIGTERM or SIGINT: exit code 0) and goes on where it was when it is run\n"
                    "again. A server that is lost is tried again until it is back. With --until-caught-up, exit code 0\n"
                    "means in step; stopped before that, it is 4."},
        [options](Context& context) { return run_sync(*options, context); });
    verb.add_option("SERVICE", options->service, "the service, as pgcarve.toml names it")->type_name("")->required();
    verb.add_flag("--until-caught-up", options->sync.until_caught_up, "return once everything committed before the call is applied");
    verb.add_option("--workers", options->sync.workers, "connections that copy at the same time")->check(CLI::Range(1, 32))->capture_default_str();
    options->consent.declare(verb);
}

} // namespace pgcarve::cmd
