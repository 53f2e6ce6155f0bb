// What a scratch server showed, held against what the static witness said.
//
// A finding that the server shows is proved; one of a rewrite, a scan, an index build or a wait that it does not show is
// withdrawn. What it shows and nobody foresaw is a finding of its own (L28). A statement that the parser could not read
// is analysed when the server could; one that the server refuses is not. Pure.
#pragma once

#include <string>
#include <vector>

#include "lint/lint.hpp"
#include "lint/rewrite.hpp"

namespace pgcarve::lint {

// One statement of the change set on the scratch server.
struct Observed {
    std::size_t file = 0; // of Input::files
    Span span;
    bool ran = false;
    std::string refused{}; // the server's message; "": not run, since the file had failed before
    bool watched = false;  // its locks could be seen: it ran in a transaction
    // Of tables that were there before the change set, as schema.name.
    std::vector<std::string> rewrites{};
    std::vector<std::string> scans{};
    std::vector<std::string> builds{}; // tables that an index is built on
    std::vector<TableLock> taken{};    // by this statement
    std::vector<TableLock> held{};     // at its end
    [[nodiscard]] Lock strongest_taken() const;
    [[nodiscard]] Lock holds(std::string const& table) const;
};

// Something of the scratch run that is no statement of the change set, and did not work: a file of the base, a sync.
struct Unproven {
    std::string file;
    model::Position at;
    std::string reason;
};

// A sync that was made on the scratch server and tried after the change.
struct SyncTried {
    model::SyncedTable table;
    bool tried = false;
    std::string broken{};  // what happened; "": both sides are equal, and the application could write
    std::string trouble{}; // why it was not tried
};

// What the change does to tables in a sync: for every S finding about a table that broke, proof; a table that broke with
// none, S13; one that could not be tried leaves its findings heuristic.
void prove_syncs(model::LintReport& report, Input const& input, std::vector<SyncTried> const& tried);

// A rewrite that was run in the place of its statement.
struct RewriteTried {
    Rewrite rewrite;
    std::string trouble; // what it did that it should not, or the server's words; "": nothing blocked
};

// Adds the SQL to the findings' advice, and what became of it. To be called before prove(), which takes findings away.
void prove_rewrites(model::LintReport& report, std::vector<RewriteTried> const& tried);

// The tables in a sync that the change set touches, by name.
[[nodiscard]] std::vector<model::SyncedTable> touched_syncs(Input const& input);

void prove(model::LintReport& report, Input const& input, std::vector<Observed> const& observed, std::vector<Unproven> const& unproven);

} // namespace pgcarve::lint
