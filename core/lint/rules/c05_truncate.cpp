#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    if (action.verb == Verb::truncate && context.existing(action.on))
        context.tell({.span = action.span,
                      .message = "every row of " + context.table() +
                                 (action.cascade ? " and of all tables that refer to it" : "") + " is gone",
                      .lock = "ACCESS EXCLUSIVE",
                      .object = context.table()});
}

} // namespace

Rule const& rule_c05() {
    static Rule const rule{.about = {.id = "C05",
                                     .name = "truncate",
                                     .title = "a table is emptied",
                                     .why = "Its rows are gone, with CASCADE also those of every table that "
                                            "refers to it, and nobody can read it meanwhile.",
                                     .lock = "ACCESS EXCLUSIVE",
                                     .fix = "delete in batches what is to go",
                                     .severity = model::Severity::error,
                                     .violating = {"TRUNCATE order_lines;"},
                                     .accepted = {"CREATE TABLE fresh (id int); TRUNCATE fresh;",
                                                  "DELETE FROM order_lines WHERE order_id = 1;"}},
                           .shows = Shows::lock,
                           .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
