// What a rule is, and what it is told.
//
// A rule is one file in rules/: a description, examples, and a function that looks at one action at a time,
// with the state before it. `Rule const& rule_L05()` in it is all that it takes: the build makes the list.
//
// Examples are judged in the tests against this schema, and run on a server with it (example_schema()).
#pragma once

#include <functional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lint/boundary.hpp"
#include "lint/state.hpp"
#include "lint/sync.hpp"
#include "model/lint.hpp"

namespace pgcarve::lint {

enum class Runner { plain, flyway, sqitch, alembic, django, rails, diesel, goose, atlas };

struct Told {
    Span span;
    std::string message;
    std::string fix = {};  // "": the rule's own
    std::string lock = {}; // "": none
    std::string object = {};
    bool warn_only = false; // an error that may be none
};

// What stands anywhere in the file, also behind the statement that is judged.
struct Whole {
    std::set<std::string> created; // names of what it creates
    std::set<std::string> keyed;   // names of tables that ALTER TABLE gives a primary key
    std::set<std::string> dropped; // names of what it drops IF EXISTS
    std::set<std::pair<std::string, std::string>> indexed; // table and the first column of an index or key
};

struct Context {
    Action const& action;
    Statement const& statement;
    State const& state;
    Effect const& effect;       // of this action
    Boundary const* boundary;   // nullptr without a boundary map
    std::string const& service; // whose folder the file is in; "" when nobody's
    Runner runner;
    bool first; // the first action of its statement
    bool last;
    bool wrapped;                         // the runner wraps the file
    Whole const& whole;
    std::function<void(Told)> const& tell;
    // True at the first call with this key in this file.
    std::function<bool(std::string const&)> const& once;
    SyncView const* sync = nullptr; // nullptr when nothing is known of running syncs
    std::string_view text = {};     // the file's

    // The syncs that a name of this file takes part in; one without a schema means the source's table, if it can.
    [[nodiscard]] std::vector<Synced> synced(sql::QName const& name) const;
    [[nodiscard]] std::string_view text_of(Span span) const { return text.substr(span.begin, span.end - span.begin); }

    [[nodiscard]] bool comes_again(sql::QName const& name) const { return whole.created.contains(name.name); }
    [[nodiscard]] bool existing(sql::QName const& name) const { return !state.is_new(name); }
    [[nodiscard]] bool on_existing_table() const {
        return (action.object == Object::table || action.object == Object::materialized_view) &&
               existing(action.on);
    }
    [[nodiscard]] std::string table() const; // the action's, as it was written
    // The columns that the action adds to a table or makes one with; none for a temporary table.
    [[nodiscard]] std::span<Column const> new_columns() const;
    // The owner of what a name stands for in this file. REQUIRES: boundary.
    [[nodiscard]] Owner owner(sql::QName const& table) const;
    [[nodiscard]] sql::QName resolve(sql::QName const& name) const;
};

// What a server shows when the statement is run; for the tests.
enum class Shows { lock, rewrite, scan, build, refusal, nothing };

struct Rule {
    model::LintRule about;
    Shows shows = Shows::nothing;
    void (*judge)(Context const&) = nullptr;
    int version = 15;        // of the server that the examples are for
    std::string config = {}; // boundary rules: the pgcarve.toml of the examples, when not the usual one
};

// In the order of their ids.
[[nodiscard]] std::vector<Rule const*> const& all_rules();
[[nodiscard]] Rule const* find_rule(std::string_view id_or_name);
// Those that an id, a name or the letter of a family stands for; none: there is no such rule.
[[nodiscard]] std::vector<Rule const*> find_rules(std::string_view id_name_or_family);

// Tables with rows that the examples change.
[[nodiscard]] std::string_view example_schema();
// Who owns them, for the boundary rules.
[[nodiscard]] std::string_view example_config();

// What is kept in step, for the sync rules: orders by a mirror, customers by a stream.
[[nodiscard]] model::SyncState example_sync();

// schema.name, unqualified as written.
[[nodiscard]] std::string shown(sql::QName const& name);

} // namespace pgcarve::lint
