#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    if (action.verb == Verb::add_constraint && action.constraint == ConstraintKind::foreign_key && !action.validates &&
        context.state.version < 18 && context.state.is_partitioned(action.on))
        context.tell({.span = action.span,
                      .message = context.table() + " is partitioned: before PostgreSQL 18 the server refuses a foreign key that is NOT VALID there",
                      .object = context.table()});
}

} // namespace

Rule const& rule_l30() {
    static Rule const rule{
        .about = {.id = "L30",
                  .name = "not-valid-on-partitioned",
                  .title = "a partitioned table cannot have a foreign key that is NOT VALID",
                  .why = "Before PostgreSQL 18 the server refuses it, and the migration fails.",
                  .lock = "",
                  .fix = "add the foreign key NOT VALID to each partition, validate it there, then add it to the partitioned table",
                  .severity = model::Severity::error,
                  .violating = {"ALTER TABLE events ADD CONSTRAINT f FOREIGN KEY (id) REFERENCES orders NOT VALID;"},
                  .accepted = {"ALTER TABLE events_2026 ADD CONSTRAINT f FOREIGN KEY (id) REFERENCES orders NOT VALID;"}},
        .shows = Shows::refusal,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
