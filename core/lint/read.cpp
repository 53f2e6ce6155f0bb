#include "lint/read.hpp"

#include "lint/tree.hpp"

namespace pgcarve::lint {

namespace {

// Kinds that only look like statements: a function's name may be one of the server's own.
bool is_routine(std::string const& kind) {
    return kind == "CreateFunctionStmt";
}

} // namespace

Statement read_statement(std::string_view text, Span span) {
    Statement statement;
    statement.span = span;
    auto const tree = parse_sql(std::string{text.substr(span.begin, span.end - span.begin)});
    Place const place{text, span.begin, span.end};
    if (tree.error) {
        statement.gaps.push_back({place.at(tree.error->offset), tree.error->message});
        return statement;
    }
    auto const& parsed = child(tree.root, "stmts");
    if (parsed.size() != 1) { // the splitter and the grammar disagree
        statement.gaps.push_back({span, "it is not one statement"});
        return statement;
    }
    statement.parsed = true;
    auto const& wrapped = child(parsed[0], "stmt");
    statement.needs = needs_of(wrapped);
    for (auto const& [kind, node] : wrapped.items()) {
        if (kind == "DoStmt") {
            read_do(node, place, statement);
        } else if (is_routine(kind)) {
            collect_refs(node, place, statement.refs);
            read_routine(node, place, statement);
        } else {
            collect_refs(wrapped, place, statement.refs);
            read_node(wrapped, place, statement.actions);
        }
    }
    return statement;
}

} // namespace pgcarve::lint
