#include <fmt/format.h>

#include "pgcarve/verbs.hpp"
#include "run/verification.hpp"

namespace pgcarve::cmd {

namespace {

struct VerifyOptions {
    std::optional<std::string> service;
    bool all = false;
    bool full = false;
    bool incremental = false;
    std::vector<std::string> tables;
    std::string where;
    std::optional<base::Millis> max_duration;
    std::optional<int> max_load;
    int jobs = 0;
    bool show_values = false;
};

std::vector<std::string> wanted_services(VerifyOptions const& options, run::Context& run) {
    if (options.service && options.all)
        throw base::Error{base::Exit::usage, "usage", "a service and --all exclude each other", "pgcarve verify --help"};
    if (options.service)
        return {*options.service};
    return run::services_in_flight(run);
}

base::Exit exit_of(std::vector<model::Verification> const& all) {
    auto exit = base::Exit::done;
    for (auto const& v : all) {
        if (v.verdict == model::Verdict::different)
            return base::Exit::findings;
        if (v.verdict == model::Verdict::incomplete)
            exit = base::Exit::not_proven;
    }
    return exit;
}

std::string line(std::string const& service, verify::CompareProgress const& p) {
    return fmt::format("verify {}: {} of {} tables, {} of about {:.0f} rows, {:.0f} rows/s{}{}", service, p.tables_done, p.tables,
                       p.rows_done, p.rows_estimated, p.rows_per_second,
                       p.differences > 0 ? fmt::format(", {} differences", p.differences) : "",
                       p.holding ? ", waiting for load to go down" : "");
}

base::Exit run_verify(VerifyOptions const& options, Context& context) {
    RunContext run{context};
    std::vector<model::Verification> all;
    Progress progress{context.terminal, context.log, context.options.verbosity};
    for (auto const& service : wanted_services(options, run.get())) {
        verify::CompareOptions compare;
        compare.tables = options.tables;
        compare.where = options.where;
        compare.workers = options.jobs;
        compare.max_duration = options.max_duration;
        compare.max_active_sessions = options.max_load;
        compare.show_values = options.show_values;
        verify::CompareEvents events;
        events.progress = [&](verify::CompareProgress const& p) { progress.update(line(service, p)); };
        events.interrupted = [&] { return context.interrupt.requested(); };
        try {
            all.push_back(run::verify_service(run.get(), service, options.incremental, compare, events));
        } catch (base::Error const& e) {
            // One service that cannot be judged yet must not hide the verdict on the others.
            if (options.service || e.exit() != base::Exit::not_proven)
                throw;
            context.log.warn(fmt::format("{}: {}", service, e.message()));
            model::Verification none;
            none.service = service;
            all.push_back(std::move(none));
        }
        context.interrupt.check();
    }
    progress.update("");
    if (all.empty())
        context.terminal.message("no service has its rows on two sides: nothing to verify\n");
    context.result(all);
    return exit_of(all);
}

} // namespace

void register_verify(Registry& registry) {
    auto const options = std::make_shared<VerifyOptions>();
    auto& verb = registry.add(
        {.name = "verify",
         .summary = "compare both sides row by row, at one moment, while both are in use",
         .examples = {"pgcarve verify checkout", "pgcarve verify checkout --incremental", "pgcarve verify --all --max-duration 2h --max-load 20"},
         .details = "Without a service, or with --all: every service whose rows are on two sides. The verdict is kept\n"
                    "and feeds the gate. Exit code: 0 equal, 1 rows differ, 3 not proven."},
        [options](Context& context) { return run_verify(*options, context); });
    verb.add_option("SERVICE", options->service, "one service; all of them when left out")->type_name("");
    verb.add_flag("--all", options->all, "every service whose rows are on two sides");
    auto* const full = verb.add_flag("--full", options->full, "compare every row (what it does unless told otherwise)");
    verb.add_flag("--incremental", options->incremental, "in two databases: what changed since the last clean one, and a share of the rest")->excludes(full);
    verb.add_option("--tables", options->tables, "only these tables, separated by commas")->delimiter(',')->type_name("NAMES");
    verb.add_option("--where", options->where, "only rows for which this SQL condition holds, on either side")->type_name("SQL");
    verb.add_option_function<std::string>(
            "--max-duration",
            [options](std::string const& text) {
                options->max_duration = base::parse_duration(text);
                if (!options->max_duration)
                    throw CLI::ValidationError{"--max-duration", fmt::format("\"{}\" is no duration such as 90s or 2h", text)};
            },
            "stop after this time; what was not compared makes the verdict incomplete")
        ->type_name("DURATION");
    verb.add_option("--max-load", options->max_load, "wait while more other sessions than this are active")->type_name("N")->check(CLI::NonNegativeNumber);
    verb.add_option("--jobs,-j", options->jobs, "sessions that compare (default: 2 to 4, by this machine's cores)")->type_name("N")->check(CLI::Range(1, 64));
    verb.add_flag("--show-values", options->show_values, "show the values that differ, not only their columns");
}

} // namespace pgcarve::cmd
