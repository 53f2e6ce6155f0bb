#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    bool const moves = action.verb == Verb::rename || action.verb == Verb::set_schema;
    if (moves && action.object == Object::table && context.existing(action.on) &&
        !context.comes_again(action.on))
        context.tell({.span = action.span,
                      .message = "whoever knows the table as " + context.table() + " fails from now on",
                      .lock = "ACCESS EXCLUSIVE",
                      .object = context.table()});
    if (action.verb == Verb::rename && action.object == Object::schema)
        context.tell({.span = action.span,
                      .message = "whoever knows the schema as " + shown(action.on) + " fails from now on",
                      .object = shown(action.on)});
}

} // namespace

Rule const& rule_c07() {
    static Rule const rule{
        .about = {.id = "C07",
                  .name = "rename-table",
                  .title = "a table is renamed or moved to another schema",
                  .why = "The running version of the application knows the old name: it fails.",
                  .lock = "ACCESS EXCLUSIVE",
                  .fix = "rename it, and in the same transaction create a view with the old name",
                  .severity = model::Severity::error,
                  .violating = {"ALTER TABLE orders RENAME TO purchases;",
                                "CREATE SCHEMA shop; ALTER TABLE orders SET SCHEMA shop;"},
                  .accepted = {"CREATE TABLE fresh (a int); ALTER TABLE fresh RENAME TO newer;",
                               "BEGIN; ALTER TABLE orders RENAME TO purchases; CREATE VIEW orders AS SELECT "
                               "* FROM purchases; COMMIT;",
                               "ALTER INDEX orders_state_idx RENAME TO orders_state;"}},
        .shows = Shows::lock,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
