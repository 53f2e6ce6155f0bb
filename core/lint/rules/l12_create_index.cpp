#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    if (action.verb != Verb::create || action.object != Object::index || action.concurrently ||
        !context.existing(action.on))
        return;
    auto const* const table = context.state.table(action.on);
    bool const partitioned = table != nullptr && table->partitioned;
    if (partitioned && action.only)
        return;
    context.tell({.span = action.span,
                  .message = "writes to " + context.table() + " wait while the index is built",
                  .fix = partitioned ? "CREATE INDEX ... ON ONLY the partitioned table, CREATE INDEX "
                                       "CONCURRENTLY on each partition, then ALTER INDEX ... ATTACH PARTITION"
                                     : "",
                  .lock = "SHARE",
                  .object = context.table() + (action.name.empty() ? "" : "." + action.name)});
}

} // namespace

Rule const& rule_l12() {
    static Rule const rule{
        .about = {.id = "L12",
                  .name = "create-index-blocking",
                  .title = "an index is built while the table takes no writes",
                  .why = "CREATE INDEX lets reads go on and makes every write wait until it is built.",
                  .lock = "SHARE",
                  .fix = "CREATE INDEX CONCURRENTLY, outside a transaction",
                  .severity = model::Severity::error,
                  .violating = {"CREATE INDEX orders_note ON orders (note);",
                                "CREATE UNIQUE INDEX ON totals (total);"},
                  .accepted = {"CREATE INDEX CONCURRENTLY orders_note ON orders (note);",
                               "CREATE TABLE fresh (id int); CREATE INDEX ON fresh (id);",
                               "CREATE INDEX events_id ON ONLY events (id);"}},
        .shows = Shows::build,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
