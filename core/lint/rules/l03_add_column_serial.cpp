#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    if (action.verb == Verb::add_column && context.on_existing_table() &&
        (action.definitions[0].serial || action.definitions[0].identity))
        context.tell({.span = action.span,
                      .message = "the column " + action.columns[0] + " numbers every row of " +
                                 context.table() + ": the table is rewritten",
                      .lock = "ACCESS EXCLUSIVE",
                      .object = context.table() + "." + action.columns[0]});
}

} // namespace

Rule const& rule_l03() {
    static Rule const rule{
        .about = {.id = "L03",
                  .name = "add-column-serial",
                  .title = "a new serial or identity column",
                  .why = "Every row gets a number of its own: the table is rewritten while nobody can read "
                         "or write it.",
                  .lock = "ACCESS EXCLUSIVE",
                  .fix = "create a sequence, add a plain bigint column, SET DEFAULT nextval(...), fill old "
                         "rows in batches",
                  .severity = model::Severity::error,
                  .violating = {"ALTER TABLE orders ADD COLUMN number bigserial;",
                                "ALTER TABLE orders ADD COLUMN number bigint GENERATED ALWAYS AS IDENTITY;"},
                  .accepted = {"ALTER TABLE orders ADD COLUMN number bigint;",
                               "CREATE TABLE fresh (id bigserial PRIMARY KEY);"}},
        .shows = Shows::rewrite,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
