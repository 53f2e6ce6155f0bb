#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    if (action.verb == Verb::row_security && context.on_existing_table())
        context.tell({.span = action.span,
                      .message = "which rows of " + context.table() + " a role finds changes with this",
                      .lock = "ACCESS EXCLUSIVE",
                      .object = context.table()});
}

} // namespace

Rule const& rule_c10() {
    static Rule const rule{
        .about = {.id = "C10",
                  .name = "row-security",
                  .title = "row security is switched on or off",
                  .why = "Switched on, roles without a policy find no rows, silently; switched off, "
                         "everybody finds all of them.",
                  .lock = "ACCESS EXCLUSIVE",
                  .fix = "create the policies first, and try them with the application's role",
                  .severity = model::Severity::warning,
                  .violating = {"ALTER TABLE orders ENABLE ROW LEVEL SECURITY;"},
                  .accepted = {"CREATE TABLE fresh (id int); ALTER TABLE fresh ENABLE ROW LEVEL SECURITY;"}},
        .shows = Shows::lock,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
