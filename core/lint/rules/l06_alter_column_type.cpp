#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    if (action.verb != Verb::alter_type || !context.on_existing_table())
        return;
    auto const& column = action.columns[0];
    auto const* const known = context.state.column(action.on, column);
    auto const change = judge_type_change(known != nullptr ? known->type : std::nullopt, action.type);
    if (!action.converts &&
        (change == TypeChange::free || (change == TypeChange::unless_utc && context.state.utc))) {
        if (rebuilds_indexes(action, context.state))
            context.tell({.span = action.span,
                          .message = "the rows of " + context.table() + " stay as they are, but indexes on " + column + " are built anew, under the lock",
                          .fix = "drop these indexes before, and build them CONCURRENTLY afterwards; or a new column, filled in batches",
                          .lock = "ACCESS EXCLUSIVE",
                          .object = context.table() + "." + column});
        return;
    }
    auto const& to = action.type.name.name;
    bool const often_free = to == "text" || to == "varchar" || to == "numeric" || to == "citext" ||
                            to == "inet" || (to == "timestamptz" && context.state.utc);
    std::string message =
        "changing " + column + " to " + action.type.text() + " rewrites every row of " + context.table();
    std::string fix;
    bool unsure = false;
    if (action.converts) {
        message += ", since USING computes new values";
    } else if (change == TypeChange::unless_utc ||
               (change == TypeChange::unknown && to == "timestamptz" && !context.state.utc)) {
        message += change == TypeChange::unknown ? ", unless it is a timestamp and TimeZone is UTC"
                                                 : ", unless TimeZone is UTC";
        fix = "SET timezone = 'UTC' before it, when the old values are in UTC; else as for any new type: a "
              "new column, filled in batches";
    } else if (change == TypeChange::unknown && often_free) {
        message = "changing " + column + " to " + action.type.text() + " rewrites " + context.table() +
                  ", unless its old type only widens (--schema FILE tells)";
        unsure = true;
    }
    context.tell({.span = action.span,
                  .message = message,
                  .fix = fix,
                  .lock = "ACCESS EXCLUSIVE",
                  .object = context.table() + "." + column,
                  .warn_only = unsure});
}

} // namespace

Rule const& rule_l06() {
    static Rule const rule{
        .about = {.id = "L06",
                  .name = "alter-column-type",
                  .title = "a column's new type rewrites the table",
                  .why = "Unless the old values are good as they stand (varchar widened, varchar to text, "
                         "numeric widened with the same scale), every row and every index is written anew "
                         "while nobody can read or write the table.",
                  .lock = "ACCESS EXCLUSIVE",
                  .fix = "add a column of the new type, keep it with a trigger, fill it in batches, let the "
                         "application change over, drop the old one",
                  .severity = model::Severity::error,
                  .violating = {"ALTER TABLE orders ALTER COLUMN ref TYPE numeric;",
                                "ALTER TABLE orders ALTER COLUMN note TYPE varchar(10);",
                                "ALTER TABLE orders ALTER COLUMN total TYPE numeric(12,4);",
                                "ALTER TABLE orders ALTER COLUMN note TYPE text USING upper(note);"},
                  .accepted =
                      {"ALTER TABLE orders ALTER COLUMN note TYPE varchar(40);",
                       "ALTER TABLE orders ALTER COLUMN note TYPE text;",
                       "ALTER TABLE orders ALTER COLUMN note TYPE text USING note::text;",
                       "ALTER TABLE orders ALTER COLUMN total TYPE numeric(14,2);",
                       "SET timezone = 'UTC'; ALTER TABLE orders ALTER COLUMN placed_at TYPE timestamptz;"}},
        .shows = Shows::rewrite,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
