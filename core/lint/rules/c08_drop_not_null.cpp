#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    if (action.verb != Verb::drop_not_null || !context.on_existing_table())
        return;
    auto const* const column = context.state.column(action.on, action.columns[0]);
    if (column == nullptr || !column->is_new)
        context.tell({.span = action.span,
                      .message = "readers of " + context.table() + " may find nulls in " + action.columns[0] +
                                 " from now on",
                      .lock = "ACCESS EXCLUSIVE",
                      .object = context.table() + "." + action.columns[0]});
}

} // namespace

Rule const& rule_c08() {
    static Rule const rule{
        .about =
            {.id = "C08",
             .name = "drop-not-null",
             .title = "a column may be null from now on",
             .why = "A reader that does not expect nulls fails at the first one.",
             .lock = "ACCESS EXCLUSIVE",
             .fix = "let every reader expect nulls first",
             .severity = model::Severity::warning,
             .violating = {"ALTER TABLE orders ALTER COLUMN ref DROP NOT NULL;"},
             .accepted =
                 {"CREATE TABLE fresh (a int NOT NULL); ALTER TABLE fresh ALTER COLUMN a DROP NOT NULL;"}},
        .shows = Shows::lock,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
