#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    if (action.verb != Verb::add_column || !context.on_existing_table())
        return;
    auto const& column = action.definitions[0];
    bool const filled = (column.default_value != Volatility::none && !column.default_null) || column.serial ||
                        column.identity || column.generated;
    if (column.not_null && !filled)
        context.tell({.span = action.span,
                      .message = "the column " + column.name + " needs a value that the rows of " +
                                 context.table() + " do not have",
                      .lock = "ACCESS EXCLUSIVE",
                      .object = context.table() + "." + column.name});
}

} // namespace

Rule const& rule_l04() {
    static Rule const rule{
        .about = {.id = "L04",
                  .name = "add-required-column",
                  .title = "a new column that must have a value and has none",
                  .why = "It fails when the table has rows, and every writer that does not know the column "
                         "fails from then on.",
                  .lock = "ACCESS EXCLUSIVE",
                  .fix = "give it a constant default, or add it nullable, fill it, and require it later",
                  .severity = model::Severity::error,
                  .violating = {"ALTER TABLE orders ADD COLUMN kind text NOT NULL;",
                                "ALTER TABLE orders ADD COLUMN kind text NOT NULL DEFAULT NULL;"},
                  .accepted =
                      {"ALTER TABLE orders ADD COLUMN kind text;",
                       "ALTER TABLE orders ADD COLUMN kind text NOT NULL DEFAULT 'plain';",
                       "CREATE TABLE fresh (id bigint); ALTER TABLE fresh ADD COLUMN kind text NOT NULL;"}},
        .shows = Shows::refusal,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
