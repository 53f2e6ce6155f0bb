#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    if (action.verb < Verb::add_column || action.verb > Verb::alter_other || !context.on_existing_table() ||
        !context.first)
        return;
    if (!context.once(context.table()))
        context.tell({.span = action.span,
                      .message = context.table() + " is altered again",
                      .object = context.table()});
}

} // namespace

Rule const& rule_l24() {
    static Rule const rule{
        .about = {.id = "L24",
                  .name = "merge-alter-table",
                  .title = "several ALTER TABLE of one table",
                  .why = "Off by default: each waits for the lock anew when they are not in one transaction.",
                  .lock = "",
                  .fix = "write them as one ALTER TABLE with several commands",
                  .severity = model::Severity::off,
                  .violating = {"ALTER TABLE orders ADD COLUMN a int; ALTER TABLE orders ADD COLUMN b int;"},
                  .accepted = {"ALTER TABLE orders ADD COLUMN a int, ADD COLUMN b int;"}},
        .shows = Shows::nothing,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
