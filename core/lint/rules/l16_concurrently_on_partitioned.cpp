#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    if (action.verb == Verb::create && action.object == Object::index && action.concurrently &&
        context.state.is_partitioned(action.on))
        context.tell({.span = action.span,
                      .message = context.table() + " is partitioned: the server refuses CONCURRENTLY there",
                      .object = context.table()});
}

} // namespace

Rule const& rule_l16() {
    static Rule const rule{
        .about = {.id = "L16",
                  .name = "concurrently-on-partitioned",
                  .title = "an index of a partitioned table cannot be built concurrently",
                  .why = "The server refuses CONCURRENTLY on a partitioned table.",
                  .lock = "",
                  .fix = "CREATE INDEX ... ON ONLY the partitioned table, CREATE INDEX CONCURRENTLY on each "
                         "partition, then ALTER INDEX ... ATTACH PARTITION",
                  .severity = model::Severity::error,
                  .violating = {"CREATE INDEX CONCURRENTLY events_id ON events (id);"},
                  .accepted = {"CREATE INDEX CONCURRENTLY events_id ON events_2026 (id);"}},
        .shows = Shows::refusal,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
