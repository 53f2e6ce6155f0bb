#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    bool const writes_rows = (action.verb == Verb::update || action.verb == Verb::remove ||
                              action.verb == Verb::merge || (action.verb == Verb::insert && action.reads)) &&
                             context.existing(action.on);
    if (!context.effect.slow() && !writes_rows)
        return;
    for (auto const& held : context.state.held) {
        if (held.by.begin == context.statement.span.begin || held.table.name.empty())
            continue;
        if (context.once(std::to_string(context.state.transaction)))
            context.tell({.span = action.span,
                          .message = "this may take long while the transaction holds " +
                                     std::string{text(held.mode)} + " on " + held.table.display(),
                          .lock = text(held.mode),
                          .object = held.table.display()});
        return;
    }
}

} // namespace

Rule const& rule_l22() {
    static Rule const rule{
        .about =
            {.id = "L22",
             .name = "work-under-lock",
             .title = "long work while the transaction holds a lock that blocks",
             .why = "A lock is held until the transaction ends: what comes after it in the same transaction "
                    "makes everybody wait for longer.",
             .lock = "",
             .fix = "end the transaction before the long statement, or put that in a file of its own",
             .severity = model::Severity::warning,
             .violating =
                 {"BEGIN; ALTER TABLE orders ADD COLUMN kind text; UPDATE orders SET kind = 'plain'; COMMIT;",
                  "BEGIN; ALTER TABLE customers ADD COLUMN kind text; CREATE INDEX ON orders (note); "
                  "COMMIT;"},
             .accepted =
                 {"ALTER TABLE orders ADD COLUMN kind text; UPDATE orders SET kind = 'plain' WHERE id < 10;",
                  "BEGIN; ALTER TABLE orders ADD COLUMN kind text; ALTER TABLE orders ALTER COLUMN kind SET "
                  "DEFAULT 'plain'; COMMIT;"}},
        .shows = Shows::nothing,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
