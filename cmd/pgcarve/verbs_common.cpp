#include <cstdlib>

#include <fmt/format.h>
#include <pwd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/duration.hpp"
#include "pgcarve/verbs.hpp"

namespace pgcarve::cmd {

namespace {

std::string failpoint() {
    char const* const spec = std::getenv("PGCARVE_FAILPOINT"); // for tests: where to die
    return spec != nullptr ? spec : "";
}

std::string describe(mirror::BackfillProgress const& p) {
    auto line = fmt::format("{}: {} rows", p.table, p.rows_done);
    if (p.rows_estimated > 0 && static_cast<double>(p.rows_done) < p.rows_estimated) {
        line += fmt::format(" of about {:.0f} ({:.0f} %)", p.rows_estimated, 100.0 * static_cast<double>(p.rows_done) / p.rows_estimated);
        if (p.rows_per_second > 0)
            line += fmt::format(", about {} left", base::describe_duration(base::Millis{static_cast<long long>(
                                                       1000.0 * (p.rows_estimated - static_cast<double>(p.rows_done)) / p.rows_per_second)}));
    }
    if (p.rows_per_second > 0)
        line += fmt::format(", {:.0f} rows/s", p.rows_per_second);
    return p.throttled.empty() ? line : line + ", waiting: " + p.throttled;
}

std::string run_hook(std::string const& command, std::string const& service, std::string const& phase) {
    setenv("PGCARVE_SERVICE", service.c_str(), 1);
    setenv("PGCARVE_PHASE", phase.c_str(), 1);
    int const status = std::system(("(" + command + ") >&2").c_str()); // NOLINT(cert-env33-c): the operator's own command
    if (status == 0)
        return {};
    return WIFEXITED(status) ? fmt::format("exit code {}", WEXITSTATUS(status)) : std::string{"killed"};
}

} // namespace

std::string operator_name() {
    char host[256] = "?";
    gethostname(host, sizeof host - 1);
    auto const* const user = getpwuid(geteuid());
    return fmt::format("{}@{}", user != nullptr ? user->pw_name : std::to_string(geteuid()), host);
}

RunContext::RunContext(Context& context)
    : progress_{context.terminal, context.log, context.options.verbosity}
    , run_{.map = context.config(),
           .interrupt = context.interrupt,
           .operator_name = operator_name(),
           .events = {.info = [&context](std::string const& text) { context.log.info(text); },
                      .warn = [&context](std::string const& text) { context.log.warn(text); },
                      .backfill = [this](mirror::BackfillProgress const& p) { progress_.update(describe(p)); }},
           .failpoints = run::Failpoints{failpoint()},
           .run_hook = run_hook} {}

run::Confirm ask(Context& context, Consent const& consent, std::optional<base::Exit>& exit) {
    return [&context, &consent, &exit](model::Plan const& plan) {
        exit = context.confirm(plan, consent);
        return !exit;
    };
}

} // namespace pgcarve::cmd
