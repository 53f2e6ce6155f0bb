#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    if (action.object != Object::table || !context.existing(action.on))
        return;
    if (action.verb == Verb::detach_partition && !action.concurrently && context.existing(action.other))
        context.tell({.span = action.span,
                      .message = "nobody can read or write " + context.table() + " while " +
                                 shown(action.other) + " is detached",
                      .fix = context.state.version < 14 ? "DETACH ... CONCURRENTLY needs PostgreSQL 14: until then only a short lock_timeout, and again"
                                                        : "DETACH PARTITION ... CONCURRENTLY, outside a transaction",
                      .lock = "ACCESS EXCLUSIVE",
                      .object = context.table()});
    if (action.verb == Verb::attach_partition && context.existing(action.other)) {
        auto const* const table = context.state.table(action.other);
        bool proven = false;
        if (table != nullptr) {
            for (auto const& [name, constraint] : table->constraints)
                proven = proven || (constraint.validated && (constraint.kind == ConstraintKind::check ||
                                                             constraint.kind == ConstraintKind::none));
        }
        if (!proven)
            context.tell({.span = action.span,
                          .message = "every row of " + shown(action.other) +
                                     " is read under the lock to see that it fits",
                          .fix = "before it, add a CHECK of the partition's bounds to " +
                                 shown(action.other) + ", NOT VALID, and validate it",
                          .lock = "ACCESS EXCLUSIVE",
                          .object = shown(action.other)});
    }
}

} // namespace

Rule const& rule_l17() {
    static Rule const rule{
        .about =
            {.id = "L17",
             .name = "partition-blocking",
             .title = "a partition is attached or detached under a lock that blocks",
             .why = "DETACH without CONCURRENTLY shuts everybody out of the whole partitioned table; ATTACH "
                    "reads every row of the new partition unless a check proves its bounds.",
             .lock = "ACCESS EXCLUSIVE",
             .fix = "DETACH PARTITION ... CONCURRENTLY; before ATTACH add a CHECK of the bounds to the "
                    "table, NOT VALID, and validate it",
             .severity = model::Severity::error,
             .violating = {"ALTER TABLE events DETACH PARTITION events_2026;",
                           "ALTER TABLE events ATTACH PARTITION events_2027 FOR VALUES FROM ('2027-01-01') "
                           "TO ('2028-01-01');"},
             .accepted =
                 {"ALTER TABLE events DETACH PARTITION events_2026 CONCURRENTLY;",
                  "ALTER TABLE events_2027 ADD CONSTRAINT bounds CHECK (day >= '2027-01-01' AND day < "
                  "'2028-01-01') NOT VALID; ALTER TABLE events_2027 VALIDATE CONSTRAINT bounds; ALTER TABLE "
                  "events ATTACH PARTITION events_2027 FOR VALUES FROM ('2027-01-01') TO ('2028-01-01');"}},
        .shows = Shows::lock,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
