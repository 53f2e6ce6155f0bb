// The parser's tree, and the way from its nodes to facts. Private to the readers.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "lint/facts.hpp"

namespace pgcarve::lint {

using Node = nlohmann::json;

struct ParseError {
    std::string message;
    std::size_t offset = 0; // bytes from the start of what was parsed
};

// The statements of `sql`, or why not.
struct Tree {
    Node root;
    std::optional<ParseError> error;
};
[[nodiscard]] Tree parse_sql(std::string const& sql);
[[nodiscard]] Tree parse_plpgsql(std::string const& sql); // CREATE FUNCTION or DO

// Where a node's text stands in the file: statements in bodies are parsed from a copy.
struct Place {
    std::string_view file;
    std::size_t base = 0;                            // offset in the file of what was parsed
    std::size_t end = 0;                             // end of the statement in the file
    bool exact = true;                               // else every node stands at [base, end)
    [[nodiscard]] Span span(Node const& node) const; // by its location; the token there
    [[nodiscard]] Span at(std::size_t location) const;
};

[[nodiscard]] Node const& child(Node const& node, char const* key); // an empty node when absent
[[nodiscard]] std::string string_of(Node const& node, char const* key);
[[nodiscard]] bool flag_of(Node const& node, char const* key);
[[nodiscard]] long number_of(Node const& node, char const* key);
// A list of String nodes, or a List that holds them.
[[nodiscard]] std::vector<std::string> strings(Node const& list);
[[nodiscard]] sql::QName qname(std::vector<std::string> const& parts);
[[nodiscard]] sql::QName range_name(Node const& range_var);
[[nodiscard]] Type type_of(Node const& type_name);
[[nodiscard]] Object object_of(std::string const& object_type); // OBJECT_TABLE

void collect_refs(Node const& node, Place const& place, std::vector<Ref>& refs);
// How an expression used as a default is evaluated; `function` gets the first doubtful one.
[[nodiscard]] Volatility volatility(Node const& expression, std::string& function);
[[nodiscard]] NotNullColumns proven_not_null(Node const& expression);

// A statement node ({"AlterTableStmt": {…}}) to actions.
void read_node(Node const& wrapped, Place const& place, std::vector<Action>& actions);
void read_alter_table(Node const& node, Place const& place, std::vector<Action>& actions);
[[nodiscard]] Column read_column(Node const& node, Place const& place);
[[nodiscard]] Action read_constraint(Node const& node, Place const& place);

[[nodiscard]] std::vector<Need> needs_of(Node const& statement);

// Bodies: what a DO block does goes to the statement, what a routine does to its action.
void read_do(Node const& node, Place const& place, Statement& statement);
void read_routine(Node const& node, Place const& place, Statement& statement);

} // namespace pgcarve::lint
