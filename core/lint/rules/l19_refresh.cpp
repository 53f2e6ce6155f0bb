#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    if (action.verb == Verb::refresh && !action.concurrently && context.existing(action.on))
        context.tell({.span = action.span,
                      .message = "nobody can read " + context.table() + " until its query is done",
                      .lock = "ACCESS EXCLUSIVE",
                      .object = context.table()});
}

} // namespace

Rule const& rule_l19() {
    static Rule const rule{
        .about = {.id = "L19",
                  .name = "refresh-blocking",
                  .title = "a materialized view is refreshed while nobody can read it",
                  .why = "REFRESH without CONCURRENTLY shuts readers out until the query is done.",
                  .lock = "ACCESS EXCLUSIVE",
                  .fix = "REFRESH MATERIALIZED VIEW CONCURRENTLY, which needs a unique index on the view",
                  .severity = model::Severity::warning,
                  .violating = {"REFRESH MATERIALIZED VIEW totals;"},
                  .accepted = {"REFRESH MATERIALIZED VIEW CONCURRENTLY totals;",
                               "CREATE MATERIALIZED VIEW fresh AS SELECT 1 AS one WITH NO DATA; REFRESH "
                               "MATERIALIZED VIEW fresh;"}},
        .shows = Shows::lock,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
