#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "lint/catalog_text.hpp"
#include "lint/inventory.hpp"
#include "lint/lint.hpp"
#include "pgcarve/git.hpp"
#include "pgcarve/options.hpp"
#include "pgcarve/process.hpp"
#include "pgcarve/scratch_server.hpp"
#include "report/lint.hpp"
#include "run/live_facts.hpp"
#include "run/scratch.hpp"

namespace pgcarve::cmd {

namespace {

namespace fs = std::filesystem;

constexpr std::uintmax_t longest_file = std::uintmax_t{64} << 20U;

struct LintVerbOptions {
    std::vector<std::string> files;
    std::vector<std::string> schema;
    std::string output;
    std::string runner = "plain";
    int pg_version = 0; // 0: what the DSN's server is, or 15
    bool strict = false;
    bool allow_gaps = false;
    std::string stdin_path;
    std::string baseline;
    std::string write_baseline;
    std::string inventory;
    std::string sync_state;
    std::string dsn;
    std::string database;
    std::string git_base;
    bool history = false;
    bool scratch = false;
    std::string scratch_dsn;
    bool rules = false;
    std::string explain;
    std::vector<std::string> severity;
};

base::Error unreadable(std::string const& path, std::string const& why) {
    return {base::Exit::usage, "file-unreadable", fmt::format("cannot read {}: {}", path, why), {}};
}

std::string read_text(std::string const& path) {
    std::error_code error;
    auto const size = fs::file_size(path, error);
    if (!error && size > longest_file)
        throw unreadable(path, fmt::format("it is longer than {} MB", longest_file >> 20U));
    std::ifstream in{path, std::ios::binary};
    if (!in)
        throw unreadable(path, std::strerror(errno));
    std::string text{std::istreambuf_iterator<char>{in}, {}};
    if (in.bad())
        throw unreadable(path, "it ends with an error");
    return text;
}

std::string read_stdin() {
    std::string text;
    char buffer[65536];
    for (ssize_t got = 0; (got = ::read(0, buffer, sizeof buffer)) != 0;) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            throw unreadable("standard input", std::strerror(errno));
        text.append(buffer, static_cast<std::size_t>(got));
        if (text.size() > longest_file)
            throw unreadable("standard input", fmt::format("it is longer than {} MB", longest_file >> 20U));
    }
    return text;
}

// Diesel's metadata.toml beside a file: one key that matters.
bool diesel_leaves_unwrapped(std::string const& path) {
    auto const metadata = fs::path{path}.parent_path() / "metadata.toml";
    std::error_code error;
    if (!fs::exists(metadata, error))
        return false;
    std::istringstream lines{read_text(metadata.string())};
    for (std::string line; std::getline(lines, line);) {
        std::erase_if(line, [](char c) { return c == ' ' || c == '\t' || c == '\r'; });
        if (line.starts_with("run_in_transaction=false"))
            return true;
    }
    return false;
}

// What takes a migration back, by the names that diesel, golang-migrate and Flyway give it.
bool is_way_back(fs::path const& path) {
    auto const name = path.filename().string();
    return name == "down.sql" || name.ends_with(".down.sql") ||
           (name.starts_with('U') && name.find("__") != std::string::npos);
}

// Paths as their runners order them: a run of digits is a number, so V10 comes behind V9; diesel leaves out dashes.
bool comes_before(std::string_view a, std::string_view b, bool dashes) {
    std::size_t i = 0;
    std::size_t j = 0;
    auto const is_digit = [](char c) { return c >= '0' && c <= '9'; };
    auto const skip = [&](std::string_view text, std::size_t& at) {
        while (!dashes && at < text.size() && text[at] == '-')
            ++at;
    };
    auto const number = [&](std::string_view text, std::size_t& at) {
        std::string digits;
        for (; at < text.size() && (is_digit(text[at]) || (!dashes && text[at] == '-')); ++at) {
            if (is_digit(text[at]) && !(digits.empty() && text[at] == '0'))
                digits += text[at];
        }
        return digits;
    };
    for (skip(a, i), skip(b, j); i < a.size() && j < b.size(); skip(a, i), skip(b, j)) {
        if (is_digit(a[i]) && is_digit(b[j])) {
            auto const one = number(a, i);
            auto const other = number(b, j);
            if (one != other)
                return one.size() != other.size() ? one.size() < other.size() : one < other;
        } else if (a[i] != b[j]) {
            return a[i] < b[j];
        } else {
            ++i;
            ++j;
        }
    }
    return i == a.size() && j < b.size() ? true : (i == a.size()) == (j == b.size()) && a < b;
}

// Folders stand for the .sql files below them, in order, without those that go back.
std::vector<std::string> expand(std::vector<std::string> const& paths, bool diesel) {
    std::vector<std::string> files;
    for (auto const& path : paths) {
        std::error_code error;
        if (!fs::is_directory(path, error)) {
            files.push_back(path);
            continue;
        }
        std::vector<std::string> found;
        for (auto const& entry : fs::recursive_directory_iterator{path}) {
            if (entry.is_regular_file() && entry.path().extension() == ".sql" && !is_way_back(entry.path()))
                found.push_back(entry.path().string());
        }
        if (found.empty())
            throw base::Error{base::Exit::usage, "no-files", fmt::format("{} holds no .sql file", path), {}};
        std::ranges::sort(found, [&](std::string const& a, std::string const& b) { return comes_before(a, b, !diesel); });
        files.insert(files.end(), found.begin(), found.end());
    }
    return files;
}

lint::Baseline parse_baseline(std::string const& path) {
    lint::Baseline baseline;
    auto const json = nlohmann::json::parse(read_text(path), nullptr, false);
    auto const bad = [&] {
        return unreadable(path, "it is no baseline of pgcarve: write it anew with --write-baseline");
    };
    if (!json.is_object() || json.value("schema_version", 0) != 1 || !json.contains("findings") ||
        !json["findings"].is_array())
        throw bad();
    for (auto const& entry : json["findings"]) {
        for (auto const* const key : {"rule", "file", "fingerprint"}) {
            if (!entry.is_object() || !entry.contains(key) || !entry[key].is_string())
                throw bad();
        }
        baseline.entries.push_back({entry["rule"], entry["file"], entry["fingerprint"]});
    }
    return baseline;
}

void save_baseline(std::string const& path, model::LintReport const& report) {
    nlohmann::ordered_json json;
    json["schema_version"] = 1;
    json["findings"] = nlohmann::ordered_json::array();
    for (auto const& finding : report.findings) {
        if (finding.rule[0] != 'A')
            json["findings"].push_back(
                {{"rule", finding.rule}, {"file", finding.file}, {"fingerprint", finding.fingerprint}});
    }
    std::ofstream out{path, std::ios::binary};
    out << json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
    out.close();
    if (!out)
        throw base::Error{base::Exit::usage,
                          "file-unwritable",
                          fmt::format("cannot write {}: {}", path, std::strerror(errno)),
                          {}};
}

std::string today() {
    std::chrono::year_month_day const day{
        std::chrono::floor<std::chrono::days>(std::chrono::system_clock::now())};
    return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(day.year()), static_cast<unsigned>(day.month()),
                       static_cast<unsigned>(day.day()));
}

model::Severity severity_of(std::string const& word) {
    return word == "off" ? model::Severity::off : word == "warning" ? model::Severity::warning : model::Severity::error;
}

using Severities = std::map<std::string, model::Severity>;

// Into `out` by rule id, for a rule or a whole family; `where` tells who said so.
void set_severity(std::string const& rule, model::Severity severity, std::string const& where, Severities& out) {
    auto const found = lint::find_rules(rule);
    if (found.empty())
        throw base::Error{base::Exit::usage, "config", fmt::format("{}: there is no rule {}", where, rule), "`pgcarve lint --rules` lists the rules"};
    for (auto const* const one : found)
        out[one->about.id] = severity;
}

// Severities of pgcarve.toml; a rule that is not there is an error. Of a family and a rule of it the rule counts: a
// family's letter stands before all else that begins with it, and capitals before the names.
void read_severities(model::BoundaryMap const& map, lint::Options& options) {
    auto const where = map.file + ": lint.severity";
    for (auto const& [key, word] : map.lint.severity) {
        auto const space = key.rfind(' '); // "legacy/** L12": for these files only
        if (space == std::string::npos) {
            set_severity(key, severity_of(word), where, options.severity);
            continue;
        }
        lint::Options::Folder folder;
        folder.path = key.substr(0, space);
        set_severity(key.substr(space + 1), severity_of(word), where, folder.severity);
        options.folders.push_back(std::move(folder));
    }
    // Of several that fit a file the longest one counts, since the last one does.
    std::ranges::stable_sort(options.folders, {}, [](lint::Options::Folder const& folder) { return folder.path.size(); });
    for (auto const& accepted : map.lint.accept) {
        if (lint::find_rule(accepted.rule) == nullptr)
            throw base::Error{base::Exit::usage, "config", fmt::format("{}: {}: there is no rule {}", map.file, accepted.where.key, accepted.rule),
                              "`pgcarve lint --rules` lists the rules"};
    }
}

// --severity RULE=WORD, over all that pgcarve.toml says; the last one counts.
void read_asked(std::vector<std::string> const& asked, lint::Options& options) {
    for (auto const& one : asked) {
        auto const equals = one.find('=');
        auto const word = equals == std::string::npos ? std::string{} : one.substr(equals + 1);
        if (word != "off" && word != "warning" && word != "error")
            throw base::Error{base::Exit::usage, "usage", fmt::format("--severity {}: it is no RULE=off, RULE=warning or RULE=error", one),
                              "--severity H=warning switches the hygiene rules on"};
        set_severity(one.substr(0, equals), severity_of(word), "--severity " + one, options.asked);
    }
}

std::vector<model::LintRule> rules() {
    std::vector<model::LintRule> out;
    for (auto const* const rule : lint::all_rules())
        out.push_back(rule->about);
    return out;
}

// The map when there is one: a file that was named, or that lies here, must be good.
model::BoundaryMap const* boundary(Context& context) {
    std::error_code error;
    if (context.options.config == "./pgcarve.toml" && !fs::exists(context.options.config, error))
        return nullptr;
    return &context.config();
}

// Context::result() knows only what options.hpp includes.
template <class T>
void print(T const& value, Context& context) {
    context.terminal.print(context.options.json ? report::json(value)
                                                : report::text(value, context.terminal.out_style()));
}

base::Exit explain(LintVerbOptions const& options, Context& context) {
    if (options.explain.empty()) {
        print(rules(), context);
        return base::Exit::done;
    }
    auto const* const rule = lint::find_rule(options.explain);
    if (rule == nullptr)
        throw base::Error{base::Exit::usage, "unknown-rule",
                          fmt::format("there is no rule {}", options.explain),
                          "`pgcarve lint --rules` lists the rules"};
    print(rule->about, context);
    return base::Exit::done;
}

lint::Input read_input(LintVerbOptions const& options, Context& context) {
    bool const pg_version_given = options.pg_version != 0;
    lint::Input input;
    input.options.runner = lint::runner_of(options.runner).value_or(lint::Runner::plain);
    input.options.server_version = pg_version_given ? options.pg_version : 15;
    input.options.today = today();
    input.options.allow_gaps = options.allow_gaps;
    input.options.history = options.history;
    bool const diesel = input.options.runner == lint::Runner::diesel;
    for (auto const& path : expand(options.schema, diesel))
        input.schema.push_back({path, read_text(path), diesel && diesel_leaves_unwrapped(path)});
    auto paths = expand(options.files, diesel);
    if (!options.git_base.empty()) {
        std::vector<std::string> named;
        std::ranges::copy_if(paths, std::back_inserter(named), [](std::string const& path) { return path != "-"; });
        auto const known = on_git_base(options.git_base, named);
        for (std::size_t i = 0; i < named.size(); ++i) {
            if (!known[i])
                continue;
            input.schema.push_back({named[i], read_text(named[i])});
            std::erase(paths, named[i]);
        }
    }
    for (auto const& path : paths) {
        if (path == "-")
            input.files.push_back(
                {options.stdin_path.empty() ? "<stdin>" : options.stdin_path, read_stdin()});
        else
            input.files.push_back({path, read_text(path), diesel && diesel_leaves_unwrapped(path)});
    }
    if (!options.baseline.empty())
        input.baseline = parse_baseline(options.baseline);
    if (!options.sync_state.empty())
        input.sync = lint::parse_sync_state(read_text(options.sync_state));
    if (!options.inventory.empty()) {
        auto const catalog = lint::parse_inventory(read_text(options.inventory));
        input.catalog = {options.inventory, lint::catalog_text(catalog)};
        if (!pg_version_given)
            input.options.server_version = catalog.server_version / 10000;
    }
    if (!options.dsn.empty()) {
        auto facts = run::live_facts(options.dsn);
        input.catalog = {"the catalog", lint::catalog_text(facts.catalog)};
        if (!input.sync)
            input.sync = std::move(facts.sync);
        if (!pg_version_given)
            input.options.server_version = facts.catalog.server_version / 10000;
    }
    input.database = options.database;
    input.map = boundary(context);
    if (!options.database.empty()) {
        if (input.map == nullptr || input.map->service(options.database) == nullptr ||
            !input.map->service(options.database)->database)
            throw base::Error{base::Exit::usage, "unknown-service",
                              fmt::format("--for-database: {} has no [service.{}.database]", context.options.config, options.database), {}};
    }
    read_asked(options.severity, input.options);
    if (input.map != nullptr)
        read_severities(*input.map, input.options);
    else
        context.log.info("there is no {}: the boundary rules are off", context.options.config);
    if (!input.sync)
        context.log.info("nothing is known of running syncs (--sync-state, --dsn): the sync rules are off");
    return input;
}

std::string rendered(std::string const& output, model::LintReport const& report, Context& context) {
    if (output == "json" || (output.empty() && context.options.json))
        return report::json(report);
    if (output == "gcc")
        return report::lint_gcc(report);
    if (output == "github")
        return report::lint_github(report);
    if (output == "sarif")
        return report::lint_sarif(report, rules(), PGCARVE_VERSION);
    if (output == "gitlab")
        return report::lint_gitlab(report);
    if (output == "junit")
        return report::lint_junit(report);
    if (output == "markdown")
        return report::lint_markdown(report);
    return report::text(report, context.terminal.out_style());
}

// Loads what pg_dump says of the schema that is there.
void load_dump(std::string const& from, std::string const& into) {
    auto const dump = run_process({"pg_dump", "--schema-only", "--no-owner", "--exclude-schema=pgcarve", "--dbname=" + from});
    if (dump.exit != 0)
        throw base::Error{base::Exit::not_proven, "scratch", "pg_dump: " + dump.err, {}};
    auto const load = run_process({"psql", "-X", "-q", "-o", "/dev/null", "--dbname=" + into, "-f", "-"}, dump.out);
    if (load.exit != 0)
        throw base::Error{base::Exit::not_proven, "scratch", "psql: " + load.err, {}};
}

void prove(LintVerbOptions const& options, lint::Input const& input, model::LintReport& report, Context& context) {
    std::optional<ScratchServer> server;
    run::ScratchRequest request;
    request.dsn = options.scratch_dsn;
    if (request.dsn.empty()) {
        context.log.info("starting a scratch server");
        server.emplace(options.pg_version);
        request.dsn = server->dsn();
        request.make_roles = true;
    }
    if (!options.dsn.empty())
        request.load = [&](std::string const& into) { load_dump(options.dsn, into); };
    auto const result = run::run_on_scratch(request, input, context.interrupt, lint::rewrites(report, input));
    lint::prove_rewrites(report, result.rewrites);
    lint::prove_syncs(report, input, result.syncs);
    for (auto const& tried : result.syncs) {
        if (!tried.tried)
            context.log.info("{} could not be tried on the scratch server: {}", tried.table.source.table.display(), tried.trouble);
    }
    lint::prove(report, input, result.observed, result.unproven);
}

base::Exit run_lint(LintVerbOptions const& options, Context& context) {
    if (options.rules || !options.explain.empty())
        return explain(options, context);
    if (options.files.empty() && options.stdin_path.empty())
        throw base::Error{base::Exit::usage, "usage", "no file was given",
                          "name files or folders, or - for standard input"};
    auto all = options;
    if (!options.stdin_path.empty() && std::ranges::find(all.files, "-") == all.files.end())
        all.files.emplace_back("-");
    auto const input = read_input(all, context);
    auto report = lint::lint(input);
    if (options.scratch || !options.scratch_dsn.empty())
        prove(options, input, report, context);
    if (!options.write_baseline.empty()) {
        save_baseline(options.write_baseline, report);
        context.terminal.message(fmt::format("wrote {}\n", options.write_baseline));
        return report.gaps.empty() || options.allow_gaps ? base::Exit::done : base::Exit::not_proven;
    }
    context.terminal.print(rendered(options.output, report, context));
    bool const fails = std::ranges::any_of(report.findings, [&](model::LintFinding const& finding) {
        return finding.severity == model::Severity::error || options.strict;
    });
    if (fails)
        return base::Exit::findings;
    return report.gaps.empty() || options.allow_gaps ? base::Exit::done : base::Exit::not_proven;
}

} // namespace

void register_lint(Registry& registry) {
    auto const options = std::make_shared<LintVerbOptions>();
    auto& verb = registry.add(
        {.name = "lint",
         .summary = "judge SQL migrations: lock safety, compatibility, service boundaries; needs no server",
         .examples = {"pgcarve lint migrations/2026-11-*.sql",
                      "pgcarve lint --runner flyway --schema schema.sql new/",
                      "pgcarve lint --output sarif migrations/ > lint.sarif",
                      "pgcarve lint --stdin-filepath migrations/1.sql < migrations/1.sql",
                      "pgcarve lint --explain L05"},
         .details =
             "Files are judged in the order given: what one creates is new for those behind it. With a\n"
             "pgcarve.toml the boundary rules are judged too. To answer for a finding, write before the\n"
             "statement:  -- pgcarve:ignore L05 the reason [until 2027-01-31]\n"
             "Exit codes: 0 nothing found, or warnings; 1 errors; 2 usage; 3 something was not analysed."},
        [options](Context& context) { return run_lint(*options, context); });
    verb.add_option("FILES", options->files, "SQL files, folders of them, or - for standard input")
        ->type_name("");
    verb.add_option("--schema", options->schema,
                    "what the change set meets (pg_dump --schema-only): not judged")
        ->type_name("FILE")
        ->allow_extra_args(false);
    verb.add_option("--output", options->output,
                    "tty (default), json, gcc, github, sarif, gitlab, junit, markdown")
        ->type_name("FORMAT")
        ->check(CLI::IsMember({"tty", "json", "gcc", "github", "sarif", "gitlab", "junit", "markdown"})
                    .description(""));
    verb.add_option("--runner", options->runner,
                    "what runs the files, and whether in a transaction: plain, flyway, sqitch, alembic, "
                    "django, rails, "
                    "diesel, goose, atlas")
        ->type_name("NAME")
        ->check(CLI::IsMember(lint::runner_names()).description(""));
    verb.add_option("--pg-version", options->pg_version, "the server's major version (default 15)")
        ->type_name("N")
        ->check(CLI::Range(13, 18).description(""));
    verb.add_option("--severity", options->severity,
                    "how grave a rule or a family is, over pgcarve.toml: L20=error, C01=off, H=warning for the hygiene rules; again for more")
        ->type_name("RULE=WORD")
        ->allow_extra_args(false); // what follows is a file
    verb.add_flag("--strict", options->strict, "warnings count as errors");
    verb.add_flag("--allow-not-analysed", options->allow_gaps,
                  "what could not be analysed does not fail the run");
    verb.add_option("--stdin-filepath", options->stdin_path, "read standard input, and judge it as this file")
        ->type_name("PATH");
    verb.add_option("--baseline", options->baseline, "findings that are known: told only when they are gone")
        ->type_name("FILE");
    verb.add_option("--write-baseline", options->write_baseline,
                    "write every finding to a baseline, and stop")
        ->type_name("FILE");
    auto* const inventory = verb.add_option("--inventory", options->inventory,
                                            "what the change set meets, as `pgcarve assess --save` wrote it")
                                ->type_name("FILE");
    verb.add_option("--sync-state", options->sync_state,
                    "what runs now, as `pgcarve status --format json` printed it: for the sync rules")
        ->type_name("FILE");
    verb.add_option("--git-base", options->git_base,
                    "judge only what is not on this branch: the other files are what the change meets")
        ->type_name("REF");
    verb.add_option("--dsn", options->dsn,
                    "a database to look at: its catalog settles types and constraints, its control schema what runs now")
        ->type_name("DSN")
        ->excludes(inventory);
    verb.add_flag("--history", options->history, "each file meets what the files before it made: judges years of migrations at once");
    auto* const scratch = verb.add_flag("--scratch", options->scratch,
                                        "prove it: run base and change on a server that is made for it and removed");
    verb.add_option("--scratch-dsn", options->scratch_dsn, "the same on a server that may be thrown away")
        ->type_name("DSN")
        ->excludes(scratch);
    verb.add_option("--for-database", options->database,
                    "the files are for this service's own database, not for the shared one")
        ->type_name("SERVICE");
    verb.add_flag("--rules", options->rules, "list the rules and stop");
    verb.add_option("--explain", options->explain, "tell all about one rule and stop")->type_name("RULE");
}

} // namespace pgcarve::cmd
