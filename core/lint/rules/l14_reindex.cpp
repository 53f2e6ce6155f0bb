#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    if (action.verb != Verb::reindex || action.concurrently ||
        (!action.on.name.empty() && !context.existing(action.on)))
        return;
    auto const what = action.on.name.empty() ? action.name : context.table();
    context.tell({.span = action.span,
                  .message = "writes wait while " + what + " is built anew",
                  .lock = "SHARE",
                  .object = what});
}

} // namespace

Rule const& rule_l14() {
    static Rule const rule{
        .about = {.id = "L14",
                  .name = "reindex-blocking",
                  .title = "an index is built anew while the table takes no writes",
                  .why =
                      "REINDEX makes writes wait until it is done, and reads that would use the index too.",
                  .lock = "SHARE",
                  .fix = "REINDEX ... CONCURRENTLY, outside a transaction",
                  .severity = model::Severity::error,
                  .violating = {"REINDEX TABLE orders;", "REINDEX INDEX orders_state_idx;"},
                  .accepted = {"REINDEX TABLE CONCURRENTLY orders;"}},
        .shows = Shows::build,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
