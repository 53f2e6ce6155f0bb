#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    if (!context.on_existing_table())
        return;
    bool const added = action.verb == Verb::add_constraint && action.constraint == ConstraintKind::unique &&
                       !action.uses_index;
    if (added || (action.verb == Verb::add_column && action.definitions[0].unique))
        context.tell(
            {.span = action.span,
             .message = "the unique index is built while nobody can read or write " + context.table(),
             .lock = "ACCESS EXCLUSIVE",
             .object = context.table() + (action.name.empty() ? "" : "." + action.name)});
}

} // namespace

Rule const& rule_l09() {
    static Rule const rule{
        .about =
            {.id = "L09",
             .name = "add-unique",
             .title = "a unique constraint builds its index under the lock",
             .why = "The index is built while nobody can read or write the table.",
             .lock = "ACCESS EXCLUSIVE",
             .fix = "CREATE UNIQUE INDEX CONCURRENTLY i ON ...; then ADD CONSTRAINT ... UNIQUE USING INDEX i",
             .severity = model::Severity::error,
             .violating = {"ALTER TABLE customers ADD CONSTRAINT one_email UNIQUE (email);",
                           "ALTER TABLE customers ADD COLUMN login text UNIQUE;"},
             .accepted = {"ALTER TABLE orders ADD CONSTRAINT one_ref UNIQUE USING INDEX orders_ref_idx;",
                          "CREATE TABLE fresh (id int UNIQUE);"}},
        .shows = Shows::build,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
