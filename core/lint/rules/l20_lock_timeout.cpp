#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    if (context.state.lock_timeout || context.action.verb == Verb::vacuum)
        return;
    for (auto const& lock : context.effect.locks) {
        if (!blocks_writes(lock.mode) || !context.once(""))
            continue;
        auto const table = lock.table.name.empty() ? std::string{"the index's table"} : lock.table.display();
        context.tell({.span = context.statement.span,
                      .message = "the lock on " + table +
                                 " is waited for without lock_timeout (the first of this file)",
                      .lock = text(lock.mode),
                      .object = table});
    }
}

} // namespace

Rule const& rule_l20() {
    static Rule const rule{
        .about =
            {.id = "L20",
             .name = "lock-timeout-missing",
             .title = "a lock that blocks is waited for without an end",
             .why = "While the statement waits behind one long transaction, everybody else waits behind the "
                    "statement: a short lock becomes an outage.",
             .lock = "",
             .fix = "SET lock_timeout = '2s' before it, and run the migration again when it gives up "
                    "(SQLSTATE 55P03)",
             .severity = model::Severity::warning,
             .violating = {"ALTER TABLE orders ADD COLUMN kind text;"},
             .accepted =
                 {"SET lock_timeout = '2s'; ALTER TABLE orders ADD COLUMN kind text;",
                  "BEGIN; SET LOCAL lock_timeout = '2s'; ALTER TABLE orders ADD COLUMN kind text; COMMIT;",
                  "CREATE TABLE fresh (id int); ALTER TABLE fresh ADD COLUMN kind text;",
                  "INSERT INTO orders (id, ref) VALUES (1000, 1000);"}},
        .shows = Shows::nothing,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
