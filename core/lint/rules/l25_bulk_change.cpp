#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    if ((action.verb == Verb::update || action.verb == Verb::remove) && action.whole &&
        context.existing(action.on))
        context.tell({.span = action.span,
                      .message = std::string{action.verb == Verb::update ? "UPDATE" : "DELETE"} +
                                 " without WHERE changes every row of " + context.table() +
                                 " in one transaction",
                      .lock = "ROW EXCLUSIVE",
                      .object = context.table()});
}

} // namespace

Rule const& rule_l25() {
    static Rule const rule{
        .about = {.id = "L25",
                  .name = "bulk-change",
                  .title = "every row is changed in one statement",
                  .why = "All its rows stay locked until the transaction ends, the old versions bloat the "
                         "table, and replicas fall behind.",
                  .lock = "",
                  .fix = "change the rows in batches by key, each in a transaction of its own",
                  .severity = model::Severity::warning,
                  .violating = {"UPDATE orders SET state = 'open';", "DELETE FROM order_lines;"},
                  .accepted = {"UPDATE orders SET state = 'open' WHERE id BETWEEN 1 AND 1000;",
                               "CREATE TABLE fresh (id int); UPDATE fresh SET id = 1;"}},
        .shows = Shows::nothing,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
