#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    if (action.verb == Verb::drop && action.object == Object::database)
        context.tell({.span = action.span,
                      .message = "the database " + shown(action.on) + " is gone",
                      .object = shown(action.on)});
}

} // namespace

Rule const& rule_c04() {
    static Rule const rule{.about = {.id = "C04",
                                     .name = "drop-database",
                                     .title = "a database is dropped",
                                     .why = "Everything in it is gone.",
                                     .lock = "",
                                     .fix = "not in a migration",
                                     .severity = model::Severity::error,
                                     .violating = {"DROP DATABASE shop;"},
                                     .accepted = {"DROP VIEW open_orders;"}},
                           .shows = Shows::nothing,
                           .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
