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
    std::map<std::string, model::Severity> severity; // by rule id, over the rules' own
};

struct Input {
    std::vector<File> schema; // what the change set meets; not judged
    std::vector<File> files;
    model::BoundaryMap const* map = nullptr;
    std::optional<Baseline> baseline;
    Options options;
};

[[nodiscard]] model::LintReport lint(Input const& input);

[[nodiscard]] std::optional<Runner> runner_of(std::string_view name);
[[nodiscard]] std::vector<std::string> runner_names();

} // namespace pgcarve::lint
