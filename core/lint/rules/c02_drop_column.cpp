#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    if (action.verb != Verb::drop_column || !context.on_existing_table())
        return;
    auto const* const column = context.state.column(action.on, action.columns[0]);
    if (column != nullptr && column->is_new)
        return;
    context.tell(
        {.span = action.span,
         .message = "the values of " + action.columns[0] + " are gone, and whoever still names it fails",
         .lock = "ACCESS EXCLUSIVE",
         .object = context.table() + "." + action.columns[0]});
}

} // namespace

Rule const& rule_c02() {
    static Rule const rule{
        .about =
            {.id = "C02",
             .name = "drop-column",
             .title = "a column is dropped",
             .why =
                 "Its values are gone, and a running version of the application which still names it fails.",
             .lock = "ACCESS EXCLUSIVE",
             .fix = "let a release that no longer uses it run first, then drop it and say so: -- "
                    "pgcarve:ignore C02 unused since ...",
             .severity = model::Severity::error,
             .violating = {"ALTER TABLE orders DROP COLUMN note;"},
             .accepted = {"CREATE TABLE fresh (id int, b int); ALTER TABLE fresh DROP COLUMN b;",
                          "ALTER TABLE orders ALTER COLUMN note DROP DEFAULT;"}},
        .shows = Shows::lock,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
