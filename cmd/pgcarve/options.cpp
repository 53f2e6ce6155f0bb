#include "pgcarve/options.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include <fmt/format.h>

#include "base/nearest.hpp"
#include "config/parse.hpp"
#include "pgcarve/config_file.hpp"
#include "report/table.hpp"

namespace pgcarve::cmd {

std::string read_config(std::string const& path) {
    std::ifstream in{path, std::ios::binary};
    std::ostringstream all;
    if (in && in.peek() != std::ifstream::traits_type::eof()) // an empty file is a configuration too
        all << in.rdbuf();
    if (!in.is_open() || in.bad() || all.bad())
        throw base::Error{
            base::Exit::usage, "config-unreadable",
            fmt::format("cannot read {}: {}", path, std::strerror(errno)),
            "name the file with --config or PGCARVE_CONFIG; `pgcarve init --template` prints one to "
            "begin with"};
    return all.str();
}

namespace {

bool says_yes(std::string const& answer) {
    return answer == "y" || answer == "Y" || answer == "yes" || answer == "Yes" || answer == "YES";
}

} // namespace

void Consent::declare(CLI::App& verb) {
    auto* const go = verb.add_flag("--yes", yes, "go ahead without asking");
    verb.add_flag("--dry-run", dry_run, "show the plan and stop")->excludes(go);
}

model::BoundaryMap const& Context::config() {
    if (config_)
        return *config_;
    std::vector<config::Problem> warnings;
    config_ = config::parse_or_throw(read_config(options.config), options.config, warnings);
    for (auto const& warning : warnings)
        log.warn("{}", warning.text());
    return *config_;
}

model::Service const& Context::service(std::string const& name) {
    auto const& map = config();
    if (auto const* const found = map.service(name))
        return *found;
    std::vector<std::string> names;
    for (auto const& [known, service] : map.services)
        names.push_back(known);
    base::Error error{base::Exit::usage, "unknown-service",
                      fmt::format("{} has no service {}", options.config, report::printable(name))};
    if (auto const meant = base::nearest(name, names))
        error =
            base::Error{error.exit(), error.code(), error.message(), fmt::format("did you mean {}?", *meant)};
    else if (names.empty())
        error = base::Error{error.exit(), error.code(), error.message(),
                            fmt::format("add [service.{}] to it", report::printable(name))};
    if (!names.empty())
        error.with("services: " + report::joined(names));
    throw error;
}

std::vector<model::Service const*> Context::services(std::optional<std::string> const& name) {
    if (name)
        return {&service(*name)};
    std::vector<model::Service const*> all;
    for (auto const& [known, service] : config().services)
        all.push_back(&service);
    return all;
}

std::optional<base::Exit> Context::confirm(model::Plan const& plan, Consent const& consent,
                                           report::PlanDetail detail) {
    auto const style = options.json ? terminal.err_style() : terminal.out_style();
    return confirm(report::text(plan, style, detail), report::json(plan), consent);
}

std::optional<base::Exit> Context::confirm(std::string const& text, std::string const& json,
                                           Consent const& consent) {
    if (consent.dry_run) {
        terminal.print(options.json ? json : text);
        return base::Exit::done;
    }
    if (options.json)
        terminal.message(text);
    else
        terminal.print(text);
    if (consent.yes)
        return std::nullopt;
    if (!terminal.can_ask())
        throw base::Error{base::Exit::usage, "not-confirmed",
                          "nothing was changed: there is no terminal to ask at",
                          "add --yes to go ahead, or --dry-run to see the plan only"};
    auto const answer = terminal.ask("go ahead? [y/N] ", interrupt);
    interrupt.check();
    if (answer && says_yes(*answer))
        return std::nullopt;
    terminal.message("nothing was changed\n");
    return base::Exit::usage;
}

CLI::App& Registry::add(VerbText text, Action action) {
    if (text.examples.size() < 2)
        base::bug("the verb " + text.name + " has fewer than two examples");
    auto* const parser = app_.add_subcommand(text.name, text.summary);
    parser->group("Verbs");
    parser->fallthrough(); // global options may stand after the verb too
    std::string footer = text.details.empty() ? "" : "\n" + text.details + "\n";
    footer += "\nExamples:\n";
    for (auto const& example : text.examples)
        footer += "  " + example + "\n";
    parser->footer(footer + "\nOptions for every verb: pgcarve --help");
    verbs_.push_back({parser, std::move(action)});
    return *parser;
}

Registry::Action const* Registry::chosen() const {
    for (auto const& verb : verbs_) {
        if (verb.parser->parsed())
            return &verb.action;
    }
    return nullptr;
}

std::vector<std::string> Registry::names() const {
    std::vector<std::string> names;
    for (auto const& verb : verbs_)
        names.push_back(verb.parser->get_name());
    return names;
}

} // namespace pgcarve::cmd
