#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    if (action.verb == Verb::add_column && context.on_existing_table() && action.definitions[0].generated)
        context.tell({.span = action.span,
                      .message = "the generated column " + action.columns[0] + " rewrites every row of " +
                                 context.table(),
                      .lock = "ACCESS EXCLUSIVE",
                      .object = context.table() + "." + action.columns[0]});
}

} // namespace

Rule const& rule_l02() {
    static Rule const rule{
        .about = {.id = "L02",
                  .name = "add-column-generated",
                  .title = "a new stored generated column",
                  .why = "The column is computed for every row: the table is rewritten while nobody can read "
                         "or write it.",
                  .lock = "ACCESS EXCLUSIVE",
                  .fix = "add a plain column, keep it with a trigger, fill old rows in batches",
                  .severity = model::Severity::error,
                  .violating =
                      {"ALTER TABLE orders ADD COLUMN twice numeric GENERATED ALWAYS AS (total * 2) STORED;"},
                  .accepted = {"ALTER TABLE orders ADD COLUMN twice numeric;",
                               "CREATE TABLE fresh (a int, b int GENERATED ALWAYS AS (a * 2) STORED);"}},
        .shows = Shows::rewrite,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
