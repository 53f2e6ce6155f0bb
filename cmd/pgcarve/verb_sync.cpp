#include <chrono>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "config/parse.hpp"
#include "config/sync_limits.hpp"
#include "pgcarve/config_file.hpp"
#include "pgcarve/signals.hpp"
#include "pgcarve/verbs.hpp"
#include "run/stream/copy_throttle.hpp"
#include "run/stream/mend.hpp"
#include "run/stream/sync.hpp"

namespace pgcarve::cmd {

namespace {

using Clock = std::chrono::steady_clock;

struct SyncOptions {
    std::string service;
    bool until_caught_up = false;
    std::optional<int> workers;
    std::optional<long long> max_retained_wal;
    std::optional<std::string> on_wal_limit;
    std::string throttle;
    std::vector<std::string> set_aside;
    std::vector<std::string> bring_back;
    bool heal = false;
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
            notify(std::exchange(ready_, true) ? "WATCHDOG=1" : "READY=1");
            if (!began_)
                began_ = p.rows; // by earlier runs
            auto line = fmt::format("copied {} rows", p.rows);
            if (p.estimated_rows > static_cast<double>(p.rows))
                line += fmt::format(" of about {:.0f} ({:.0f} %)", p.estimated_rows, 100.0 * static_cast<double>(p.rows) / p.estimated_rows);
            auto const seconds = std::chrono::duration<double>(Clock::now() - started_).count();
            auto const rate = static_cast<double>(p.rows - *began_) / std::max(seconds, 0.5);
            if (seconds > 0.5)
                line += fmt::format(", {:.0f} rows/s, {:.1f} MB/s", rate, static_cast<double>(p.bytes) / seconds / 1e6);
            if (rate > 0 && p.estimated_rows > static_cast<double>(p.rows))
                line += fmt::format(", about {} left", base::describe_duration(base::Millis{static_cast<long long>(1000.0 * (p.estimated_rows - static_cast<double>(p.rows)) / rate)}));
            line += fmt::format(", {} tables left", p.tables_left);
            if (p.mended > 0)
                line += fmt::format(", {} rows were wrong", p.mended);
            say(p.waits.empty() ? line : line + ", waiting: " + p.waits);
        };
        events.ready = [this, service](std::string const& phase) {
            context_.log.info("service {} is {}: the stream runs", service, phase);
            ready_ = true;
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
    std::optional<long long> began_;
    bool ready_ = false; // systemd has been told: a copy takes longer than it waits for a start
};

// What the file and the options say; read again after a SIGHUP. A file that is wrong by then changes nothing.
class LiveLimits {
public:
    LiveLimits(Context& context, SyncOptions const& options) : context_{context}, options_{options}, now_{read(context.config().throttle)} {
        if (isatty(STDERR_FILENO) == 0)
            SignalWatcher::count_hangups();
    }

    run::SyncOptions::Limits now() {
        if (auto const hangups = SignalWatcher::hangups(); hangups != seen_) {
            seen_ = hangups;
            again();
        }
        return now_;
    }

private:
    void again() {
        try {
            std::vector<config::Problem> warnings;
            now_ = read(config::parse_or_throw(read_config(context_.options.config), context_.options.config, warnings).throttle);
            context_.log.info("{} was read again: the limits in [sync] and [throttle] hold from now on", context_.options.config);
        } catch (base::Error const& e) {
            context_.log.warn("{} cannot be used, and the limits stay as they were: {}", context_.options.config, e.message());
            for (auto const& detail : e.details())
                context_.log.warn("{}", detail);
        }
    }

    [[nodiscard]] run::SyncOptions::Limits read(model::Throttle const& throttle) const {
        auto sync = config::sync_limits_of(read_config(context_.options.config));
        sync.workers = options_.workers.value_or(sync.workers);
        sync.max_retained_wal = options_.max_retained_wal.value_or(sync.max_retained_wal);
        if (options_.on_wal_limit)
            sync.drop_at_wal_limit = *options_.on_wal_limit == "drop";
        return {sync, throttle};
    }

    Context& context_;
    SyncOptions const& options_;
    run::SyncOptions::Limits now_;
    int seen_ = 0;
};

base::Exit ask_to_wait(SyncOptions const& options, Context& context) {
    bool const off = options.throttle == "off";
    RunContext run{context};
    run::throttle_copy(run.get(), options.service, off ? "" : options.throttle);
    context.terminal.message(off ? fmt::format("{}: rows are copied again\n", options.service)
                                 : fmt::format("{}: copying waits; the stream goes on\nnext: pgcarve sync {} --throttle off\n", options.service, options.service));
    return base::Exit::done;
}

base::Exit run_mend(SyncOptions const& options, run::MendRequest const& request, Context& context) {
    RunContext run{context};
    std::optional<base::Exit> said;
    auto const outcome = run::change_apart(run.get(), options.service, request, ask(context, options.consent, said));
    if (!outcome.confirmed)
        return said.value_or(base::Exit::usage);
    for (auto const& table : outcome.tables)
        context.terminal.message(fmt::format("{}: {}\n", table.display(), request.what == run::MendRequest::What::set_aside ? "set aside" : "to be mended"));
    context.terminal.message(fmt::format("next: {}\n", outcome.next));
    return base::Exit::done;
}

base::Exit run_sync(SyncOptions const& options, Context& context) {
    using What = run::MendRequest::What;
    if (!options.throttle.empty())
        return ask_to_wait(options, context);
    if (options.heal)
        return run_mend(options, {.what = What::heal}, context);
    if (!options.set_aside.empty())
        return run_mend(options, {.what = What::set_aside, .tables = options.set_aside}, context);
    if (!options.bring_back.empty())
        return run_mend(options, {.what = What::bring_back, .tables = options.bring_back}, context);
    RunContext run{context};
    std::optional<base::Exit> said;
    Reporter reporter{context};
    LiveLimits limits{context, options};
    run::SyncOptions const sync{.until_caught_up = options.until_caught_up, .limits = [&limits] { return limits.now(); }};
    auto const outcome = run::sync_service(run.get(), options.service, sync, ask(context, options.consent, said), reporter.events(options.service));
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
                    "means in step; stopped before that, it is 4. Without a terminal, SIGHUP reads [sync] and\n"
                    "[throttle] of pgcarve.toml again; what these options say goes before the file."},
        [options](Context& context) { return run_sync(*options, context); });
    verb.add_option("SERVICE", options->service, "the service, as pgcarve.toml names it")->type_name("")->required();
    verb.add_flag("--until-caught-up", options->until_caught_up, "return once everything committed before the call is applied");
    verb.add_option("--workers", options->workers, "connections that copy at the same time (2)")->check(CLI::Range(1, 32));
    verb.add_option("--max-retained-wal", options->max_retained_wal, "log that the source may keep for the slot (50GB): above it, copying waits")
        ->type_name("SIZE")
        ->transform(CLI::AsSizeValue(false));
    verb.add_option("--on-wal-limit", options->on_wal_limit, "above it: pause, or drop the slot to save the source's disk")
        ->check(CLI::IsMember({"pause", "drop"}));
    auto* const heal = verb.add_flag("--heal", options->heal, "a new slot, then compare every range with the source and change what differs");
    auto* const aside = verb.add_option("--set-aside", options->set_aside, "leave this table alone, and go on with the others")->type_name("TABLE")->allow_extra_args(false);
    auto* const back = verb.add_option("--bring-back", options->bring_back, "mend this table and follow it again")->type_name("TABLE")->allow_extra_args(false);
    auto* const throttle = verb.add_option("--throttle", options->throttle, "have copying wait, also of a sync that runs, and say why; off: go on")->type_name("REASON|off");
    heal->excludes(aside)->excludes(back)->excludes(throttle);
    throttle->excludes(aside)->excludes(back);
    aside->excludes(back);
    options->consent.declare(verb);
}

} // namespace pgcarve::cmd
