#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    if (action.verb != Verb::drop || action.object != Object::index || action.concurrently)
        return;
    auto const* const index = context.state.index(action.other);
    if (index != nullptr && context.state.is_new(index->table))
        return;
    context.tell({.span = action.span,
                  .message = "dropping the index " + shown(action.other) +
                             " waits for everybody who uses its table, and everybody waits for it",
                  .lock = "ACCESS EXCLUSIVE",
                  .object = shown(action.other)});
}

} // namespace

Rule const& rule_l13() {
    static Rule const rule{
        .about =
            {.id = "L13",
             .name = "drop-index-blocking",
             .title = "an index is dropped while nobody can use the table",
             .why = "DROP INDEX waits for every transaction that uses the table, and everybody else waits "
                    "behind it.",
             .lock = "ACCESS EXCLUSIVE",
             .fix = "DROP INDEX CONCURRENTLY, outside a transaction",
             .severity = model::Severity::warning,
             .violating = {"DROP INDEX orders_state_idx;"},
             .accepted =
                 {"DROP INDEX CONCURRENTLY orders_state_idx;",
                  "CREATE TABLE fresh (id int); CREATE INDEX fresh_id ON fresh (id); DROP INDEX fresh_id;"}},
        .shows = Shows::lock,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
