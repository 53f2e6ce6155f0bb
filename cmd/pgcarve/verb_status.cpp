#include <fmt/format.h>

#include "pgcarve/verbs.hpp"
#include "run/status.hpp"

namespace pgcarve::cmd {

namespace {

struct StatusOptions {
    std::optional<std::string> service;
    bool watch = false;
};

constexpr base::Millis watch_interval{2000};

base::Exit run_status(StatusOptions const& options, Context& context) {
    RunContext run{context};
    if (!options.watch) {
        context.result(run::status(run.get(), options.service));
        return base::Exit::done;
    }
    do {
        auto const now = run::status(run.get(), options.service);
        if (context.options.json)
            context.terminal.print(report::json(now));
        else
            context.terminal.print("\x1b[H\x1b[2J" + report::text(now, context.terminal.out_style()));
    } while (!context.interrupt.wait_for(watch_interval));
    return base::Exit::done;
}

} // namespace

void register_status(Registry& registry) {
    auto const options = std::make_shared<StatusOptions>();
    auto& verb = registry.add({.name = "status",
                               .summary = "phase, window, gate, and what to do next",
                               .examples = {"pgcarve status", "pgcarve status checkout --watch", "pgcarve --format json status"}},
                              [options](Context& context) { return run_status(*options, context); });
    verb.add_option("SERVICE", options->service, "one service; all of them when left out")->type_name("");
    verb.add_flag("--watch", options->watch, "draw it again every two seconds until Ctrl-C");
}

} // namespace pgcarve::cmd
