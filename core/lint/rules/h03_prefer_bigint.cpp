#include <algorithm>

#include "lint/hygiene.hpp"

namespace pgcarve::lint {

namespace {

bool is_small(Type const& type) {
    return is_builtin(type, "int4") || is_builtin(type, "int2") || is_builtin(type, "serial") || is_builtin(type, "serial4") ||
           is_builtin(type, "smallserial") || is_builtin(type, "serial2");
}

bool in_key(Action const& action, Column const& column) {
    return column.primary || column.serial || column.identity || std::ranges::any_of(action.constraints, [&](TableConstraint const& constraint) {
        return constraint.kind == ConstraintKind::primary_key && constraint.columns == std::vector{column.name};
    });
}

void judge(Context const& context) {
    for (auto const& column : context.new_columns()) {
        if (!is_small(column.type) || !in_key(context.action, column))
            continue;
        auto const name = column_of(context, column.name);
        context.tell({.span = context.action.span, .message = "the key " + name + " is " + column.type.text() + ", and will be used up", .object = name});
    }
}

} // namespace

Rule const& rule_h03() {
    static Rule const rule{
        .about = {.id = "H03",
                  .name = "prefer-bigint",
                  .title = "a key that ends at two thousand million, or at 32767",
                  .why = "When an integer key is used up the application cannot insert any more, and to widen it rewrites the "
                         "table and every table that refers to it. Keys are the columns of a primary key and those that count "
                         "by themselves.",
                  .lock = "",
                  .fix = "bigint; for a column that refers to the key as well",
                  .severity = model::Severity::off,
                  .violating = {"CREATE TABLE fresh (id int PRIMARY KEY);",
                                "CREATE TABLE fresh (id serial);",
                                "CREATE TABLE fresh (id int GENERATED ALWAYS AS IDENTITY);",
                                "CREATE TABLE fresh (id integer, PRIMARY KEY (id));"},
                  .accepted = {"CREATE TABLE fresh (id bigint PRIMARY KEY, size int);",
                               "CREATE TABLE fresh (id bigserial PRIMARY KEY);",
                               "CREATE TABLE fresh (order_id bigint, line int, PRIMARY KEY (order_id, line));"}},
        .shows = Shows::nothing,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
