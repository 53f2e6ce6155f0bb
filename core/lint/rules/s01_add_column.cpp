#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    if (action.verb != Verb::add_column)
        return;
    for (auto const& synced : context.synced(action.on)) {
        if (!synced.source())
            continue;
        context.tell({.span = action.span,
                      .message = synced.text() + (synced.stream() ? ", which stops at the first row with the new column"
                                                                  : ", which does not copy the new column"),
                      .fix = target_first(synced, context.text_of(action.span)),
                      .object = synced.here().table.display() + "." + action.columns[0]});
    }
}

} // namespace

Rule const& rule_s01() {
    static Rule const rule{
        .about = {.id = "S01",
                  .name = "sync-add-column",
                  .title = "a column is added at the source of a running sync",
                  .why = "A mirror does not copy a column that it was not made for: what is written to it stays at one "
                         "side, and nobody is told. A stream stops at the first row with the new column, unless the target has it by then.",
                  .lock = "",
                  .fix = "target first: add the column there, then here, then regenerate the mirror (`pgcarve split`); a stream takes it up by itself",
                  .severity = model::Severity::error,
                  .violating = {"ALTER TABLE orders ADD COLUMN kind text;",
                                "ALTER TABLE customers ADD COLUMN kind text;"},
                  .accepted = {"ALTER TABLE order_lines ADD COLUMN kind text;",
                                "ALTER TABLE checkout.orders ADD COLUMN kind text;"}},
        .shows = Shows::nothing,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
