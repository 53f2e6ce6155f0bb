#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    if (action.verb == Verb::alter_object && action.object == Object::domain && action.validates &&
        (action.constraint == ConstraintKind::check || action.constraint == ConstraintKind::not_null))
        context.tell({.span = action.span,
                      .message = "every column of the domain " + shown(action.on) +
                                 " is read, and its tables take no writes meanwhile",
                      .lock = "SHARE",
                      .object = shown(action.on)});
    if (!context.on_existing_table())
        return;
    bool const added =
        action.verb == Verb::add_constraint && action.validates &&
        (action.constraint == ConstraintKind::check || action.constraint == ConstraintKind::not_null);
    bool const with_column = action.verb == Verb::add_column && action.definitions[0].check;
    if (added || with_column)
        context.tell(
            {.span = action.span,
             .message =
                 "every row of " + context.table() + " is read under the lock to see that the check holds",
             .fix = with_column
                        ? "add the column, then the check NOT VALID, and validate it in another transaction"
                        : "",
             .lock = "ACCESS EXCLUSIVE",
             .object = context.table() + (action.name.empty() ? "" : "." + action.name)});
}

} // namespace

Rule const& rule_l08() {
    static Rule const rule{
        .about =
            {.id = "L08",
             .name = "add-check",
             .title = "a check is proven by reading the whole table",
             .why = "Every row is read while nobody can read or write the table.",
             .lock = "ACCESS EXCLUSIVE",
             .fix = "ADD CONSTRAINT ... NOT VALID, and in another transaction VALIDATE CONSTRAINT, which "
                    "lets reads and writes go on",
             .severity = model::Severity::error,
             .violating = {"ALTER TABLE orders ADD CONSTRAINT positive CHECK (total > 0);",
                           "ALTER TABLE orders ADD COLUMN weight int CHECK (weight > 0);"},
             .accepted = {"ALTER TABLE orders ADD CONSTRAINT positive CHECK (total > 0) NOT VALID;",
                          "CREATE TABLE fresh (n int CHECK (n > 0)); ALTER TABLE fresh ADD CHECK (n < 10);"}},
        .shows = Shows::scan,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
