#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    if (action.verb != Verb::set_not_null || !context.on_existing_table())
        return;
    auto const proof = context.state.not_null(action.on, action.columns[0]);
    if (proof == State::Proof::yes)
        return;
    auto const& column = action.columns[0];
    context.tell({.span = action.span,
                  .message = proof == State::Proof::likely
                                 ? "unless the constraint validated before says that " + column +
                                       " IS NOT NULL, every row of " + context.table() +
                                       " is read under the lock"
                                 : "every row of " + context.table() +
                                       " is read under the lock to see that " + column + " has no nulls",
                  .lock = "ACCESS EXCLUSIVE",
                  .object = context.table() + "." + column,
                  .warn_only = proof == State::Proof::likely});
}

} // namespace

Rule const& rule_l05() {
    static Rule const rule{
        .about = {.id = "L05",
                  .name = "set-not-null",
                  .title = "NOT NULL is proven by reading the whole table",
                  .why = "Every row is read while nobody can read or write the table. A CHECK that was "
                         "validated before is proof enough, and validating it blocks nobody.",
                  .lock = "ACCESS EXCLUSIVE",
                  .fix = "ADD CONSTRAINT c CHECK (column IS NOT NULL) NOT VALID; in another transaction "
                         "VALIDATE CONSTRAINT c; then SET NOT NULL; then DROP CONSTRAINT c",
                  .severity = model::Severity::error,
                  .violating = {"ALTER TABLE orders ALTER COLUMN state SET NOT NULL;",
                                "ALTER TABLE orders ADD CONSTRAINT c CHECK (state IS NOT NULL) NOT VALID; "
                                "ALTER TABLE orders ALTER COLUMN state SET NOT NULL;"},
                  .accepted =
                      {"ALTER TABLE orders ADD CONSTRAINT c CHECK (state IS NOT NULL) NOT VALID; ALTER TABLE "
                       "orders VALIDATE CONSTRAINT c; ALTER TABLE orders ALTER COLUMN state SET NOT NULL;",
                       "ALTER TABLE orders ALTER COLUMN ref SET NOT NULL;"}},
        .shows = Shows::scan,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
