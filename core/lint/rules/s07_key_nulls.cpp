#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    if (action.verb != Verb::drop_not_null)
        return;
    for (auto const& synced : context.synced(action.on)) {
        if (!synced.pair->key.empty() && synced.in_key(action.columns[0]))
            context.tell({.span = action.span,
                          .message = synced.text() + ", which tells rows apart by this column",
                          .object = synced.here().table.display() + "." + action.columns[0]});
    }
}

} // namespace

Rule const& rule_s07() {
    static Rule const rule{
        .about = {.id = "S07",
                  .name = "sync-key-nulls",
                  .title = "NULL is to be allowed in the key of a running sync",
                  .why = "A row without a key cannot be found at the other side. The server refuses it for a primary key "
                         "and for a replica identity; for another unique index it does not.",
                  .lock = "",
                  .fix = "keep the key NOT NULL until the sync is over",
                  .severity = model::Severity::error,
                  .violating = {"ALTER TABLE orders ALTER COLUMN id DROP NOT NULL;"},
                  .accepted = {"ALTER TABLE orders ALTER COLUMN id SET NOT NULL;",
                                "ALTER TABLE order_lines ALTER COLUMN line DROP NOT NULL;"}},
        .shows = Shows::nothing,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
