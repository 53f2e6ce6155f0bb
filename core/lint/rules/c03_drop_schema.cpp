#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    if (action.verb == Verb::drop && action.object == Object::schema)
        context.tell({.span = action.span,
                      .message = "the schema " + shown(action.on) +
                                 (action.cascade ? " and everything in it is gone" : " is gone"),
                      .object = shown(action.on)});
}

} // namespace

Rule const& rule_c03() {
    static Rule const rule{.about = {.id = "C03",
                                     .name = "drop-schema",
                                     .title = "a schema is dropped",
                                     .why = "Everything in it is gone with CASCADE, and what uses it fails.",
                                     .lock = "",
                                     .fix = "drop its objects one by one, each when nobody uses it any more",
                                     .severity = model::Severity::error,
                                     .violating = {"CREATE TABLE x (id int); DROP SCHEMA shop CASCADE;"},
                                     .accepted = {"CREATE SCHEMA IF NOT EXISTS shop;"}},
                           .shows = Shows::nothing,
                           .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
