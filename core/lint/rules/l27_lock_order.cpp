#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    for (auto const& lock : context.effect.locks) {
        if (lock.mode != Lock::access_exclusive || lock.table.name.empty())
            continue;
        for (auto const& held : context.state.held) {
            if (held.by.begin == context.statement.span.begin || held.table.name.empty() ||
                held.table == lock.table || held.mode != Lock::access_exclusive ||
                !context.once(std::to_string(context.state.transaction)))
                continue;
            context.tell({.span = context.action.span,
                          .message = "the transaction holds ACCESS EXCLUSIVE on " + held.table.display() +
                                     " and now wants it on " + lock.table.display(),
                          .lock = "ACCESS EXCLUSIVE",
                          .object = lock.table.display()});
        }
    }
}

} // namespace

Rule const& rule_l27() {
    static Rule const rule{
        .about = {.id = "L27",
                  .name = "several-tables-locked",
                  .title = "one transaction locks several tables",
                  .why = "A transaction that reads the same tables in another order waits for this one while "
                         "this one waits for it: a deadlock, and one of them fails.",
                  .lock = "",
                  .fix = "change one table in each transaction",
                  .severity = model::Severity::warning,
                  .violating = {"BEGIN; ALTER TABLE orders ADD COLUMN a int; ALTER TABLE customers ADD "
                                "COLUMN a int; COMMIT;"},
                  .accepted = {"ALTER TABLE orders ADD COLUMN a int; ALTER TABLE customers ADD COLUMN a int;",
                               "BEGIN; ALTER TABLE orders ADD COLUMN a int; ALTER TABLE orders ADD COLUMN b "
                               "int; COMMIT;"}},
        .shows = Shows::nothing,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
