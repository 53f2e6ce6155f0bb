#include <chrono>
#include <cstdlib>

#include <fmt/format.h>

#include "pgcarve/verbs.hpp"
#include "report/audit.hpp"
#include "run/audit.hpp"

namespace pgcarve::cmd {

namespace {

struct AuditVerbOptions {
    std::string service;
    run::AuditOptions audit;
    bool stop = false;
};

// 500MB, 20GB, 1TB: powers of 1024, as PostgreSQL has them.
std::optional<std::int64_t> parse_size(std::string const& text) {
    std::size_t digits = 0;
    while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9')
        ++digits;
    constexpr std::size_t most_digits = 9;
    if (digits == 0 || digits > most_digits)
        return std::nullopt;
    auto const unit = text.substr(digits);
    unsigned const shift = unit == "kB" ? 10 : unit == "MB" ? 20 : unit == "GB" ? 30 : unit == "TB" ? 40 : 0;
    auto const value = std::int64_t{std::stoll(text.substr(0, digits))};
    if (shift == 0 || value > (std::int64_t{1} << (62U - shift)))
        return std::nullopt;
    return value << shift;
}

std::string temporary_folder() {
    char const* const named = std::getenv("TMPDIR");
    return named != nullptr && *named != '\0' ? named : "/tmp";
}

base::Exit run_audit(AuditVerbOptions const& options, Context& context) {
    RunContext run{context};
    if (options.stop) {
        run::stop_audit(run.get(), options.service);
        context.terminal.message(fmt::format("the audit of {} has ended: its slot and its publication are gone, what it found is kept\n", options.service));
        return base::Exit::done;
    }
    bool const json = context.options.json;
    auto const style = context.terminal.out_style();
    auto audit = options.audit;
    audit.folder = temporary_folder();
    Progress progress{context.terminal, context.log, context.options.verbosity};
    run::AuditEvents events;
    events.ready = [&] { context.log.info("auditing service {}", options.service); };
    events.found.difference = [&](model::AuditDifference const& d) { context.terminal.print(json ? report::json_line(options.service, d) : report::text(d, style)); };
    events.found.equal = [&](model::AuditEqual const& e) { context.terminal.print(json ? report::json_line(options.service, e) : report::text(e, style)); };
    events.found.undecided = [&](std::string const& what) { context.log.warn("not proven: {}", what); };
    events.found.tick = [&](model::AuditSummary const& s) {
        progress.update(fmt::format("audit {}: {} transactions judged up to {}, {} differ", s.service, s.transactions, s.position.text(), s.differences));
    };
    auto const summary = run::audit_service(run.get(), options.service, audit, events);
    progress.update("");
    context.terminal.print(json ? report::json_line(summary) : report::text(summary, style));
    if (summary.differences > 0)
        return base::Exit::findings;
    return summary.lost || summary.undecided > 0 ? base::Exit::not_proven : base::Exit::done;
}

} // namespace

void register_audit(Registry& registry) {
    auto const options = std::make_shared<AuditVerbOptions>();
    auto& verb = registry.add(
        {.name = "audit",
         .summary = "follow the log and report every transaction whose writes to the two sides differ",
         .examples = {"pgcarve audit checkout", "pgcarve --format json audit checkout --for 24h", "pgcarve audit checkout --until-caught-up", "pgcarve audit checkout --stop"},
         .details = "Runs until it is stopped (SIGTERM or SIGINT) and goes on where it was when it is run again, without\n"
                    "repeating or missing a transaction. While it is not run, the server keeps its log for it: --stop ends\n"
                    "that. With --format json each line is a document; the last one is the summary.\n"
                    "Exit code: 0 no difference, 1 differences, 3 not proven (the log was lost, or rows could not be\n"
                    "judged), 4 a server was lost: run it again."},
        [options](Context& context) { return run_audit(*options, context); });
    verb.add_option("SERVICE", options->service, "the service, as pgcarve.toml names it")->type_name("")->required();
    auto* const stop = verb.add_flag("--stop", options->stop, "drop the slot and the publication; what was found is kept");
    verb.add_option_function<std::string>(
            "--for",
            [options](std::string const& text) {
                options->audit.duration = base::parse_duration(text);
                if (!options->audit.duration)
                    throw CLI::ValidationError{"--for", fmt::format("\"{}\" is no duration such as 90s or 2h", text)};
            },
            "end after this time")
        ->type_name("DURATION")
        ->excludes(stop);
    verb.add_flag("--until-caught-up", options->audit.until_caught_up, "end once everything is judged that was committed before the call")->excludes(stop);
    verb.add_option_function<std::string>(
            "--max-retained-wal",
            [options](std::string const& text) {
                auto const size = parse_size(text);
                if (!size)
                    throw CLI::ValidationError{"--max-retained-wal", fmt::format("\"{}\" is no size such as 500MB or 20GB", text)};
                options->audit.max_retained_bytes = *size;
            },
            "drop the slot, which ends the audit as not proven, rather than keep more log than this (default 20GB)")
        ->type_name("SIZE")
        ->excludes(stop);
}

} // namespace pgcarve::cmd
