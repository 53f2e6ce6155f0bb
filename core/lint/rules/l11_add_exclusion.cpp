#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    if (action.verb == Verb::add_constraint && action.constraint == ConstraintKind::exclusion &&
        context.on_existing_table())
        context.tell({.span = action.span,
                      .message = "the exclusion constraint's index is built while nobody can read or write " +
                                 context.table(),
                      .lock = "ACCESS EXCLUSIVE",
                      .object = context.table() + (action.name.empty() ? "" : "." + action.name)});
}

} // namespace

Rule const& rule_l11() {
    static Rule const rule{
        .about =
            {.id = "L11",
             .name = "add-exclusion",
             .title = "an exclusion constraint has no way around the lock",
             .why = "Its index is built and every row is checked while nobody can read or write the table; "
                    "there is no NOT VALID and no CONCURRENTLY for it.",
             .lock = "ACCESS EXCLUSIVE",
             .fix = "plan a maintenance window, or move the rows to a new table that has the constraint",
             .severity = model::Severity::error,
             .violating = {"ALTER TABLE events_2027 ADD CONSTRAINT one_day EXCLUDE USING btree (id WITH =);"},
             .accepted = {"CREATE TABLE fresh (id bigint, EXCLUDE USING btree (id WITH =));"}},
        .shows = Shows::build,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
