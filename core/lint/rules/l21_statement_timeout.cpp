#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    if (!context.state.statement_timeout && blocks_writes(context.effect.strongest()) && context.once(""))
        context.tell({.span = context.statement.span,
                      .message = "this runs without statement_timeout (the first of this file)"});
}

} // namespace

Rule const& rule_l21() {
    static Rule const rule{
        .about = {.id = "L21",
                  .name = "statement-timeout-missing",
                  .title = "a statement that blocks may run without an end",
                  .why = "Off by default: many teams set it for the role that migrates.",
                  .lock = "",
                  .fix = "SET statement_timeout before it",
                  .severity = model::Severity::off,
                  .violating = {"ALTER TABLE orders ADD COLUMN kind text;"},
                  .accepted = {"SET statement_timeout = '1min'; ALTER TABLE orders ADD COLUMN kind text;"}},
        .shows = Shows::nothing,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
