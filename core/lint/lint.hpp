// Judges a change set of SQL migrations without a server.
//
// Not here: reading files and the date (cmd/), the boundary map's text (config/), how results look (report/).
//
// Fail closed: every statement is judged, or it is a gap of the report. Files are judged in the order given,
// since what one creates is new for those behind it.
//
// Never throws for what stands in the files. Threads: any number of calls at once.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "lint/ignores.hpp"
#include "lint/rule.hpp"

namespace pgcarve::lint {

struct File {
    std::string name; // as findings tell it
    std::string text;
    bool no_transaction = false; // its runner was told not to wrap it, by something beside the file
};

struct Options {
    Runner runner = Runner::plain;
    int server_version = 15;
    std::string today; // YYYY-MM-DD
    bool allow_gaps = false;
    bool history = false; // each file meets what those before it have made, as if they had been run long ago
    std::map<std::string, model::Severity> severity; // by rule id, over the rules' own
    struct Folder {
        std::string path; // a pattern
        std::map<std::string, model::Severity> severity;
    };
    std::vector<Folder> folders; // over both; the last one that fits a file counts
    std::map<std::string, model::Severity> asked; // over all of it
    // The severity of a rule in a file, when it was chosen.
    [[nodiscard]] std::optional<model::Severity> chosen(std::string const& rule, std::string const& file) const;
};

struct Input {
    std::vector<File> schema; // what the change set meets; not judged
    std::optional<File> catalog; // the same, from a catalog: for the static witness alone
    std::vector<File> files;
    model::BoundaryMap const* map = nullptr;
    std::optional<model::SyncState> sync; // nullopt: unknown, and the sync rules are off
    std::string database;                 // which one the files are for: "" the shared one, else a service's own
    std::optional<Baseline> baseline;
    Options options;
};

[[nodiscard]] model::LintReport lint(Input const& input);

// A file as it is judged: its statements, without the way back, and whether the runner opens a transaction around them.
struct Script {
    std::vector<Statement> statements;
    std::vector<Span> comments;
    bool wrapped = false;
};
[[nodiscard]] Script read_script(File const& file, Runner runner);

[[nodiscard]] std::optional<Runner> runner_of(std::string_view name);
[[nodiscard]] std::vector<std::string> runner_names();

} // namespace pgcarve::lint
