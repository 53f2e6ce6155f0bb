#include "pgcarve/app.hpp"

#include <algorithm>
#include <span>
#include <sstream>
#include <string_view>

#include <fmt/format.h>

#include "base/nearest.hpp"
#include "pgcarve/options.hpp"
#include "pgcarve/signals.hpp"

namespace pgcarve::cmd {

namespace {

void declare(CLI::App& app, GlobalOptions& options) {
    app.name("pgcarve");
    app.set_help_flag("-h,--help", "print this help and stop");
    app.set_version_flag("--version", "pgcarve " PGCARVE_VERSION, "print the version and stop");
    app.add_option("--config", options.config, "the boundary map")
        ->envname("PGCARVE_CONFIG")
        ->type_name("FILE")
        ->capture_default_str();
    app.add_option_function<std::string>(
           "--format", [&options](std::string const& format) { options.json = format == "json"; },
           "how the result is printed: text (default) or json")
        ->type_name("text|json")
        ->check(CLI::IsMember({"text", "json"}).description(""));
    auto* const verbose = app.add_flag_callback(
        "-v,--verbose", [&options] { options.verbosity = Verbosity::verbose; }, "log in detail");
    app.add_flag_callback(
           "-q,--quiet", [&options] { options.verbosity = Verbosity::quiet; }, "log errors only")
        ->excludes(verbose);
    app.add_flag("--no-color", options.no_color, "no colours (nor with NO_COLOR set, nor in a pipe)");
    app.get_formatter()->column_width(32);
    app.get_formatter()->label("SUBCOMMAND", "VERB");
    app.footer("\nResults go to stdout, logs and progress to stderr. `pgcarve VERB --help` has examples.\n"
               "Exit codes: 0 done, nothing found; 1 findings; 2 usage or configuration; 3 not proven;\n"
               "4 a server was not reached or was lost, or interrupted: run it again; 5 needs a decision;\n"
               "70 a bug in pgcarve.");
}

// The format may stand after what could not be parsed.
bool asks_for_json(std::span<char const* const> arguments) {
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        std::string_view const argument{arguments[i]};
        if (argument == "--format=json" || (argument == "--format" && i + 1 < arguments.size() &&
                                            std::string_view{arguments[i + 1]} == "json"))
            return true;
    }
    return false;
}

base::Error usage_error(std::string message, std::string hint) {
    return {base::Exit::usage, "usage", std::move(message), std::move(hint)};
}

// CLI11's "The following argument was not expected: x." in our words and form.
base::Error usage_error(CLI::App const& app, Registry const& registry, CLI::ParseError const& error) {
    auto const chosen = app.get_subcommands();
    auto const help = chosen.empty() ? std::string{"pgcarve --help"}
                                     : fmt::format("pgcarve {} --help", chosen.front()->get_name());
    auto const extras = app.remaining(true);
    if (dynamic_cast<CLI::ExtrasError const*>(&error) != nullptr && !extras.empty()) {
        auto const& extra = extras.front();
        if (extra.starts_with('-'))
            return usage_error(fmt::format("unknown option {}", extra), help);
        if (!chosen.empty())
            return usage_error(fmt::format("unexpected argument {}", extra), help);
        auto const meant = base::nearest(extra, registry.names());
        return usage_error(fmt::format("unknown verb {}", extra),
                           meant ? fmt::format("did you mean `pgcarve {}`?", *meant) : help);
    }
    std::string message{error.what()};
    while (message.ends_with('.') || message.ends_with('\n'))
        message.pop_back();
    auto const capital = [&](std::size_t at) { return at < message.size() && message[at] >= 'A' && message[at] <= 'Z'; };
    if (capital(0) && !capital(1)) // SERVICE is a name, not the beginning of a sentence
        message[0] = static_cast<char>(message[0] - 'A' + 'a');
    return usage_error(message, help);
}

int tell(Terminal& terminal, bool json, base::Error const& error) {
    terminal.message(json ? report::json(error) : report::text(error, terminal.err_style()));
    return static_cast<int>(error.exit());
}

// What ended a verb, as an error to show. An error that an interrupt brought about (a cancelled query) is
// told as the interrupt; a bug or a decision stays what it is.
base::Error ending(base::Error const& error, base::Interrupt const& interrupt) {
    bool const cancelled = error.code() == "sql-57014"; // what the request did to a statement
    bool const stays = error.exit() == base::Exit::bug || (error.exit() == base::Exit::needs_decision && !cancelled);
    if (!interrupt.requested() || stays || error.code() == "interrupted")
        return error;
    base::Error told{base::Exit::unavailable, "interrupted", "stopped by " + interrupt.reason(),
                     "run the same command again: it goes on from here"};
    return told.with(error.code() + ": " + error.message());
}

int run_verb(Registry::Action const& action, Context& context) {
    try {
        return static_cast<int>(action(context));
    } catch (base::Error const& e) {
        return tell(context.terminal, context.options.json, ending(e, context.interrupt));
    } catch (std::exception const& e) {
        base::Error const bug{base::Exit::bug, "bug", e.what(),
                              "this is a bug in pgcarve: please report it with the command and its output"};
        return tell(context.terminal, context.options.json, bug);
    }
}

} // namespace

int run(int argc, char const* const* argv) {
    base::Interrupt interrupt;
    SignalWatcher const watcher{interrupt};

    GlobalOptions options;
    CLI::App app{"pgcarve carves services out of a shared PostgreSQL database, step by step, and back."};
    declare(app, options);
    Registry registry{app};
    register_verbs(registry);

    std::optional<base::Error> wrong;
    try {
        app.parse(argc, argv);
        if (registry.chosen() == nullptr)
            wrong = usage_error("no verb was given", "pgcarve --help lists them");
    } catch (CLI::ParseError const& e) {
        if (e.get_exit_code() == 0) { // --help, --version
            std::ostringstream out;
            app.exit(e, out, out);
            Terminal terminal{detect_terminal(options.no_color)};
            terminal.print(out.str());
            return static_cast<int>(base::Exit::done);
        }
        wrong = usage_error(app, registry, e);
    }

    Terminal terminal{detect_terminal(options.no_color)};
    if (wrong) {
        std::span const arguments{argv, static_cast<std::size_t>(argc)};
        return tell(terminal, asks_for_json(arguments), *wrong);
    }
    auto const log = make_log(terminal, options.verbosity);
    Context context{options, terminal, *log, interrupt};
    return run_verb(*registry.chosen(), context);
}

} // namespace pgcarve::cmd
