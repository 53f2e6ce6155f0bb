// The frame that every verb hangs in: global options, the registry of verbs, and the context
// that a verb's action gets.
//
// A verb is one file, verb_<name>.cpp: an options struct with defaults, `register_<name>`, which
// declares it to the registry, and an action, which runs after everything is parsed. An action
// makes one call into core and renders the result; it returns the exit code, and throws
// base::Error for what fails.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <spdlog/logger.h>

#include "base/error.hpp"
#include "base/interrupt.hpp"
#include "model/boundary.hpp"
#include "pgcarve/log.hpp"
#include "pgcarve/terminal.hpp"
#include "report/render.hpp"

namespace pgcarve::cmd {

struct GlobalOptions {
    std::string config = "./pgcarve.toml";
    bool json = false;
    Verbosity verbosity = Verbosity::usual;
    bool no_color = false;
};

// --yes and --dry-run, for verbs that change something.
struct Consent {
    bool yes = false;
    bool dry_run = false;
    void declare(CLI::App& verb);
};

class Context {
public:
    Context(GlobalOptions const& global, Terminal& where, spdlog::logger& logger, base::Interrupt& stop)
        : options{global}
        , terminal{where}
        , log{logger}
        , interrupt{stop} {}

    GlobalOptions const& options;
    Terminal& terminal;
    spdlog::logger& log;
    base::Interrupt& interrupt;

    // The configuration, read at the first call; its warnings are logged once. Errors: "config" and
    // "config-unreadable" (exit 2).
    [[nodiscard]] model::BoundaryMap const& config();
    // Error "unknown-service" (exit 2) with the nearest name.
    [[nodiscard]] model::Service const& service(std::string const& name);
    // The one that is named, else all of them, in the order of their names.
    [[nodiscard]] std::vector<model::Service const*> services(std::optional<std::string> const& name);

    // One result to stdout, in the format asked for.
    template <class T>
    void result(T const& value) {
        terminal.print(options.json ? report::json(value) : report::text(value, terminal.out_style()));
    }

    // Shows the plan and asks. nullopt: go ahead; else the exit code to return now: 0 for --dry-run, 2 when
    // the operator said no. Without a terminal and without --yes: Error "not-confirmed" (exit 2). With
    // --dry-run the plan is the result; otherwise, with --format json, it goes to stderr as text.
    [[nodiscard]] std::optional<base::Exit> confirm(model::Plan const& plan, Consent const& consent,
                                                    report::PlanDetail detail = report::PlanDetail::steps);
    // The same for what is no Plan.
    [[nodiscard]] std::optional<base::Exit> confirm(std::string const& text, std::string const& json,
                                                    Consent const& consent);

private:
    std::optional<model::BoundaryMap> config_;
};

struct VerbText {
    std::string name;
    std::string summary;               // one line, for pgcarve --help
    std::vector<std::string> examples; // at least two real commands, for the verb's --help
    std::string details = {};          // what else a user must know, before the examples
};

class Registry {
public:
    using Action = std::function<base::Exit(Context&)>;

    explicit Registry(CLI::App& app)
        : app_{app} {}
    // The verb's own parser, to declare its options on.
    CLI::App& add(VerbText text, Action action);
    // The action of the verb that was typed; nullptr when none was.
    [[nodiscard]] Action const* chosen() const;
    [[nodiscard]] std::vector<std::string> names() const;

private:
    struct Verb {
        CLI::App* parser;
        Action action;
    };
    CLI::App& app_;
    std::vector<Verb> verbs_;
};

// Every verb there is, in the order in which --help lists them (verbs.cpp).
void register_verbs(Registry& registry);

} // namespace pgcarve::cmd
