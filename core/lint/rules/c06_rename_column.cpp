#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    if (action.verb != Verb::rename || action.object != Object::column || !context.existing(action.on))
        return;
    auto const* const column = context.state.column(action.on, action.old_name);
    if (column != nullptr && column->is_new)
        return;
    context.tell({.span = action.span,
                  .message = "whoever knows the column as " + action.old_name + " fails from now on",
                  .lock = "ACCESS EXCLUSIVE",
                  .object = context.table() + "." + action.old_name});
}

} // namespace

Rule const& rule_c06() {
    static Rule const rule{
        .about =
            {.id = "C06",
             .name = "rename-column",
             .title = "a column is renamed",
             .why = "The running version of the application knows the old name, the next one the new: one of "
                    "them fails.",
             .lock = "ACCESS EXCLUSIVE",
             .fix = "add a column, keep both with a trigger, change the application over, drop the old one",
             .severity = model::Severity::error,
             .violating = {"ALTER TABLE orders RENAME COLUMN note TO remark;"},
             .accepted = {"CREATE TABLE fresh (a int); ALTER TABLE fresh RENAME COLUMN a TO b;",
                          "ALTER TABLE orders RENAME CONSTRAINT orders_customer TO orders_customer_fkey;"}},
        .shows = Shows::lock,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
