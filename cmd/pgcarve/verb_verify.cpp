#include <charconv>
#include <chrono>

#include <fmt/format.h>

#include "pgcarve/verbs.hpp"
#include "pgcarve/verify_outputs.hpp"
#include "run/audit.hpp"
#include "run/history.hpp"
#include "run/proof/verification.hpp"

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
    std::optional<double> nice_ratio;
    int jobs = 0;
    bool show_values = false;
    base::Millis resume_within{std::chrono::hours{24}};
    base::Millis max_snapshot{std::chrono::minutes{5}};
    bool fresh = false;
    base::Millis keep_history{std::chrono::hours{24 * 180}};
    VerifyOutputs outputs;
};

model::Verification not_judged(std::string service) {
    model::Verification none;
    none.service = std::move(service);
    return none;
}

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
                       p.holding   ? ", waiting for load to go down"
                       : p.resting ? ", resting: other sessions are active"
                                   : "");
}

base::Exit run_verify(VerifyOptions const& options, Context& context) {
    RunContext run{context};
    std::vector<model::Verification> all;
    report::Reasons reasons;
    Progress progress{context.terminal, context.log, context.options.verbosity};
    auto const services = wanted_services(options, run.get());
    for (auto const& service : services) {
        verify::CompareOptions compare;
        compare.tables = options.tables;
        compare.where = options.where;
        compare.workers = options.jobs;
        compare.max_duration = options.max_duration;
        compare.max_active_sessions = options.max_load;
        compare.nice_ratio = options.nice_ratio.value_or(run.get().map.verify.nice_ratio);
        compare.show_values = options.show_values;
        compare.resume_within = options.resume_within;
        compare.fresh = options.fresh;
        compare.snapshot_limit = options.max_snapshot;
        verify::CompareEvents events;
        events.progress = [&](verify::CompareProgress const& p) { progress.update(line(service, p)); };
        events.interrupted = [&] { return context.interrupt.requested(); };
        events.note = run.get().events.info;
        try {
            all.push_back(run::verify_service(run.get(), service, options.incremental, compare, events));
        } catch (base::Error const& e) {
            if (e.exit() == base::Exit::usage)
                throw;
            // One service that cannot be judged yet must not hide the verdict on the others; and a night that was broken
            // off leaves outputs that say so, not those of the night before.
            if (options.service || e.exit() != base::Exit::not_proven) {
                for (auto i = all.size(); i < services.size(); ++i) {
                    reasons[services[i]] = services[i] == service ? e.message() : "not begun";
                    all.push_back(not_judged(services[i]));
                }
                options.outputs.put(all, reasons, context);
                throw;
            }
            context.log.warn(fmt::format("{}: {}", service, e.message()));
            reasons[service] = e.message();
            all.push_back(not_judged(service));
        }
        if (context.interrupt.requested())
            break;
    }
    progress.update("");
    for (auto i = all.size(); i < services.size(); ++i) {
        reasons[services[i]] = "stopped by " + context.interrupt.reason();
        all.push_back(not_judged(services[i]));
    }
    if (all.empty())
        context.terminal.message("no service has its rows on two sides: nothing to verify\n");
    options.outputs.put(all, reasons, context);
    context.interrupt.check();
    if (!options.service) {
        run::prune_history(run.get(), options.keep_history);
        for (auto const& done : run::guard_audits(run.get()))
            context.log.warn(done);
    }
    return exit_of(all);
}

} // namespace

void register_verify(Registry& registry) {
    auto const options = std::make_shared<VerifyOptions>();
    auto& verb = registry.add(
        {.name = "verify",
         .summary = "compare both sides row by row, at one moment, while both are in use",
         .examples = {"pgcarve verify checkout", "pgcarve verify checkout --incremental", "pgcarve verify --all --max-duration 2h --max-load 20",
                      "pgcarve verify --all --output markdown --junit verify.xml --textfile /var/lib/prometheus/node-exporter/pgcarve_verify.prom"},
         .details = "Without a service, or with --all: every service whose rows are on two sides. The verdict is kept\n"
                    "and feeds the gate. A run over all services also prunes the history.\n"
                    "Exit code: 0 equal, 1 rows differ, 3 not proven."},
        [options](Context& context) { return run_verify(*options, context); });
    verb.add_option("SERVICE", options->service, "one service; all of them when left out")->type_name("");
    verb.add_flag("--all", options->all, "every service whose rows are on two sides");
    auto* const full = verb.add_flag("--full", options->full, "compare every row (what it does unless told otherwise)");
    verb.add_flag("--incremental", options->incremental, "what changed since the last clean one, and a share of the rest")->excludes(full);
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
    verb.add_option("--max-load", options->max_load, "wait while more other sessions than this are active")->type_name("N")->check(CLI::Range(0, 1'000'000).description(""));
    verb.add_option("--nice-ratio", options->nice_ratio,
                    "while other sessions are active, rest R seconds for each second of reading; 0: never (default: [verify] nice_ratio, 7)")
        ->type_name("R")
        ->check(CLI::Validator{[](std::string const& text) {
                                   double ratio = 0;
                                   auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), ratio);
                                   bool const number = error == std::errc{} && end == text.data() + text.size();
                                   return number && ratio >= 0 && ratio <= 100 ? std::string{} : fmt::format("\"{}\" is no number from 0 to 100", text);
                               },
                               ""});
    verb.add_option("--jobs,-j", options->jobs, "sessions that compare (default: 2 to 4, by this machine's cores)")->type_name("N")->check(CLI::Range(1, 64));
    verb.add_flag("--show-values", options->show_values, "show the values that differ, not only their columns");
    verb.add_flag("--fresh", options->fresh, "neither take up a verification that was broken off nor share one that runs");
    verb.add_option_function<std::string>(
            "--resume-within",
            [options](std::string const& text) {
                auto const within = base::parse_duration(text);
                if (!within)
                    throw CLI::ValidationError{"--resume-within", fmt::format("\"{}\" is no duration such as 90m or 24h", text)};
                options->resume_within = *within;
            },
            "what a verification that was broken off has compared counts for this long (default 24h)")
        ->type_name("DURATION");
    verb.add_option_function<std::string>(
            "--max-snapshot",
            [options](std::string const& text) {
                auto const limit = base::parse_duration(text);
                if (!limit || limit->count() <= 0)
                    throw CLI::ValidationError{"--max-snapshot", fmt::format("\"{}\" is no duration such as 2m or 90s", text)};
                options->max_snapshot = *limit;
            },
            "go on with a new snapshot after this time (default 5m): an old one keeps VACUUM from clearing up")
        ->type_name("DURATION");
    verb.add_option_function<std::string>(
            "--keep-history",
            [options](std::string const& text) {
                auto const keep = base::parse_duration(text);
                if (!keep || *keep < std::chrono::hours{24})
                    throw CLI::ValidationError{"--keep-history", fmt::format("\"{}\" is no duration of a day or more, such as 180d", text)};
                options->keep_history = *keep;
            },
            "how long verifications are remembered (default 180d); what the gate needs is kept longer")
        ->type_name("DURATION");
    options->outputs.declare(verb);
}

} // namespace pgcarve::cmd
