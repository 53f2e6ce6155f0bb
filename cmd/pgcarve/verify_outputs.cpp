#include "pgcarve/verify_outputs.hpp"

#include <chrono>

#include "pgcarve/file.hpp"

namespace pgcarve::cmd {

namespace {

std::int64_t now() {
    return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string rendered(std::string const& format, std::vector<model::Verification> const& all, report::Reasons const& reasons, Context& context) {
    if (format == "json" || (format.empty() && context.options.json))
        return report::json(all);
    if (format == "junit")
        return report::verification_junit(all, reasons);
    if (format == "markdown")
        return report::verification_markdown(all, reasons);
    if (format == "prometheus")
        return report::verification_prometheus(all, now());
    return report::text(all, context.terminal.out_style());
}

} // namespace

void VerifyOutputs::declare(CLI::App& verb) {
    verb.add_option("--output", output, "tty (default), json, junit, markdown, prometheus")
        ->type_name("FORMAT")
        ->check(CLI::IsMember({"tty", "json", "junit", "markdown", "prometheus"}).description(""));
    verb.add_option("--textfile", textfile, "also for Prometheus' node exporter: this file is replaced in one step")->type_name("PATH");
    verb.add_option("--junit", junit, "also as JUnit XML to this file")->type_name("PATH");
    verb.add_option("--markdown", markdown, "also as a summary in Markdown to this file")->type_name("PATH");
    verb.add_option("--json", json, "also as JSON to this file")->type_name("PATH");
}

void VerifyOutputs::put(std::vector<model::Verification> const& all, report::Reasons const& reasons, Context& context) const {
    for (auto const& [path, format] : {std::pair{&textfile, "prometheus"}, {&junit, "junit"}, {&markdown, "markdown"}, {&json, "json"}}) {
        if (!path->empty())
            write_atomically(*path, rendered(format, all, reasons, context));
    }
    context.terminal.print(rendered(output, all, reasons, context));
}

} // namespace pgcarve::cmd
