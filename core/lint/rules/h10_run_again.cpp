#include "lint/hygiene.hpp"

namespace pgcarve::lint {

namespace {

// Statements that have IF [NOT] EXISTS, by what they make or drop.
std::string can_be_guarded(Action const& action) {
    switch (action.verb) {
    case Verb::create:
        return action.object == Object::table ? action.on.name : action.object == Object::index ? action.name : "";
    case Verb::add_column:
    case Verb::drop_column:
        return action.columns.empty() ? action.on.name : action.columns[0];
    case Verb::drop_constraint:
        return action.name;
    case Verb::drop:
        return action.name.empty() ? action.on.name : action.name;
    default:
        return "";
    }
}

void judge(Context const& context) {
    auto const& action = context.action;
    auto const name = can_be_guarded(action);
    if (name.empty() || action.conditional || action.temporary || action.in_body || context.state.in_transaction)
        return;
    if (action.verb == Verb::create && context.whole.dropped.contains(name))
        return;
    context.tell({.span = action.span, .message = sql::display_ident(name) + ": run again after a failure, this fails", .object = name});
}

} // namespace

Rule const& rule_h10() {
    static Rule const rule{
        .about = {.id = "H10",
                  .name = "cannot-run-again",
                  .title = "a statement outside a transaction that fails when the file is run again",
                  .why = "When a file that is no transaction stops half way, what it did stays, and running it again stops at "
                         "the first statement. A DROP of the same name before it counts, and is the way for CREATE INDEX "
                         "CONCURRENTLY, whose broken index IF NOT EXISTS would take for a good one.",
                  .lock = "",
                  .fix = "IF NOT EXISTS or IF EXISTS; a transaction around the file; for an index DROP INDEX CONCURRENTLY IF "
                         "EXISTS before it",
                  .severity = model::Severity::off,
                  .violating = {"CREATE TABLE fresh (id bigint PRIMARY KEY);",
                                "CREATE INDEX CONCURRENTLY orders_note ON orders (note);",
                                "ALTER TABLE orders ADD COLUMN hint text;",
                                "DROP INDEX CONCURRENTLY orders_state_idx;"},
                  .accepted = {"CREATE TABLE IF NOT EXISTS fresh (id bigint PRIMARY KEY);",
                               "BEGIN; CREATE TABLE fresh (id bigint PRIMARY KEY); COMMIT;",
                               "DROP INDEX CONCURRENTLY IF EXISTS orders_note; CREATE INDEX CONCURRENTLY orders_note ON orders (note);",
                               "ALTER TABLE orders ADD COLUMN IF NOT EXISTS hint text;"}},
        .shows = Shows::nothing,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
