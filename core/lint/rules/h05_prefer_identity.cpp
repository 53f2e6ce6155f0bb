#include "lint/hygiene.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    for (auto const& column : context.new_columns()) {
        if (!column.serial)
            continue;
        auto const name = column_of(context, column.name);
        context.tell({.span = context.action.span, .message = name + " is " + column.type.text() + ": an identity column is the standard", .object = name});
    }
}

} // namespace

Rule const& rule_h05() {
    static Rule const rule{
        .about = {.id = "H05",
                  .name = "prefer-identity",
                  .title = "a serial column in a new table",
                  .why = "The sequence of a serial column has rights of its own, which GRANT on the table does not give, and a "
                         "value given by hand is taken without a word. An identity column is the standard, and GENERATED "
                         "ALWAYS refuses such values.",
                  .lock = "",
                  .fix = "bigint GENERATED ALWAYS AS IDENTITY; BY DEFAULT where rows are loaded with their keys",
                  .severity = model::Severity::off,
                  .violating = {"CREATE TABLE fresh (id bigserial PRIMARY KEY);",
                                "ALTER TABLE orders ADD COLUMN number serial;"},
                  .accepted = {"CREATE TABLE fresh (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY);"}},
        .shows = Shows::nothing,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
