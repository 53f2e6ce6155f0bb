#include "lint/rewrite.hpp"

#include <algorithm>
#include <tuple>

namespace pgcarve::lint {

namespace {

std::string written(sql::QName const& name) {
    return name.schema.empty() ? sql::quote_ident(name.name) : name.quoted();
}

// CONCURRENTLY behind the n-th word of the statement that is one of these.
std::vector<std::string> concurrently(std::string_view statement, std::initializer_list<std::string_view> words) {
    Lexer lexer{statement};
    Token token;
    while (lexer.next(token)) {
        auto const word = lower_word(statement, token);
        if (std::ranges::find(words, std::string_view{word}) != words.end())
            return {std::string{statement.substr(0, token.end)} + " CONCURRENTLY" + std::string{statement.substr(token.end)}};
    }
    return {};
}

std::vector<std::string> not_valid(Action const& action, std::string_view statement) {
    if (action.name.empty())
        return {};
    return {std::string{statement} + " NOT VALID", "ALTER TABLE " + written(action.on) + " VALIDATE CONSTRAINT " + sql::quote_ident(action.name)};
}

std::vector<std::string> by_check(Action const& action) {
    auto const table = "ALTER TABLE " + written(action.on);
    auto const column = sql::quote_ident(action.columns[0]);
    auto const name = sql::quote_ident(sql::bounded_name(action.on.name + "_" + action.columns[0], "_not_null"));
    return {table + " ADD CONSTRAINT " + name + " CHECK (" + column + " IS NOT NULL) NOT VALID", table + " VALIDATE CONSTRAINT " + name,
            table + " ALTER COLUMN " + column + " SET NOT NULL", table + " DROP CONSTRAINT " + name};
}

std::vector<std::string> by_index(Action const& action) {
    if (action.columns.empty() || action.uses_index)
        return {};
    std::string columns;
    std::string name = action.on.name;
    for (auto const& column : action.columns) {
        columns += (columns.empty() ? "" : ", ") + sql::quote_ident(column);
        name += "_" + column;
    }
    name = sql::quote_ident(action.name.empty() ? sql::bounded_name(name, "_key") : action.name);
    return {"CREATE UNIQUE INDEX CONCURRENTLY " + name + " ON " + written(action.on) + " (" + columns + ")",
            "ALTER TABLE " + written(action.on) + " ADD CONSTRAINT " + name + " UNIQUE USING INDEX " + name};
}

std::vector<std::string> rewritten(std::string const& rule, Action const& action, std::string_view statement) {
    if (rule == "L05" && action.verb == Verb::set_not_null)
        return by_check(action);
    if ((rule == "L07" || rule == "L08") && action.verb == Verb::add_constraint)
        return not_valid(action, statement);
    if (rule == "L09" && action.verb == Verb::add_constraint)
        return by_index(action);
    if (rule == "L12" || rule == "L13")
        return concurrently(statement, {"index"});
    if (rule == "L14")
        return concurrently(statement, {"index", "table", "schema", "database"});
    if (rule == "L19")
        return concurrently(statement, {"view"});
    if (rule == "L17" && action.verb == Verb::detach_partition)
        return {std::string{statement} + " CONCURRENTLY"};
    return {};
}

bool within(model::Position at, model::Position from, model::Position to) {
    return std::tie(at.line, at.column) >= std::tie(from.line, from.column) && std::tie(at.line, at.column) < std::tie(to.line, to.column);
}

} // namespace

std::vector<Rewrite> rewrites(model::LintReport const& report, Input const& input) {
    std::vector<Rewrite> out;
    for (std::size_t i = 0; i < input.files.size(); ++i) {
        auto const& file = input.files[i];
        if (std::ranges::none_of(report.findings, [&](model::LintFinding const& finding) { return finding.file == file.name; }))
            continue;
        Lines const lines{file.text};
        for (auto const& statement : read_script(file, input.options.runner).statements) {
            if (statement.actions.size() != 1 || statement.actions[0].in_body)
                continue;
            auto const from = lines.at(statement.span.begin);
            auto const to = lines.at(statement.span.end);
            auto const text = std::string_view{file.text}.substr(statement.span.begin, statement.span.end - statement.span.begin);
            for (std::size_t at = 0; at < report.findings.size(); ++at) {
                auto const& finding = report.findings[at];
                if (finding.file != file.name || !within(finding.from, from, to))
                    continue;
                if (auto sql = rewritten(finding.rule, statement.actions[0], text); !sql.empty())
                    out.push_back({at, i, statement.span, std::move(sql)});
            }
        }
    }
    return out;
}

} // namespace pgcarve::lint
