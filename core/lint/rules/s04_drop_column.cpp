#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    if (action.verb != Verb::drop_column)
        return;
    for (auto const& synced : context.synced(action.on))
        context.tell({.span = action.span,
                      .message = synced.text() + (synced.stream() ? ", which stops at the first row after this" : ", which stands on this column"),
                      .fix = synced.stream() ? "1. this migration, at the source " + synced.pair->source.table.display() + "\n2. ALTER TABLE " +
                                                   synced.pair->target.table.quoted() + " DROP COLUMN " + sql::quote_ident(action.columns[0]) +
                                                   ", at the target\n3. " + afterwards(synced)
                                             : std::string{},
                      .object = synced.here().table.display() + "." + action.columns[0]});
}

} // namespace

Rule const& rule_s04() {
    static Rule const rule{
        .about = {.id = "S04",
                  .name = "sync-drop-column",
                  .title = "a column is dropped under a running sync",
                  .why = "A stream stops at the first row without it. Under a mirror the server refuses it, since the "
                         "mirror stands on the column; with CASCADE the mirror breaks, and every write of the application"
                         " with it.",
                  .lock = "",
                  .fix = "take the column out of the application now, and drop it after the window",
                  .severity = model::Severity::error,
                  .violating = {"ALTER TABLE orders DROP COLUMN note;",
                                "ALTER TABLE customers DROP COLUMN email;",
                                "ALTER TABLE checkout.orders DROP COLUMN note;"},
                  .accepted = {"ALTER TABLE order_lines DROP COLUMN sku;"}},
        .shows = Shows::nothing,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
