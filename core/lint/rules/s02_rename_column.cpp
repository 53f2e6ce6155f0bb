#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    if (action.verb != Verb::rename || action.object != Object::column)
        return;
    for (auto const& synced : context.synced(action.on))
        context.tell({.span = action.span,
                      .message = synced.text() + ": both sides must have column " + sql::display_ident(action.old_name) + " under one name",
                      .fix = target_first(synced, "RENAME COLUMN " + sql::quote_ident(action.old_name) + " TO " + sql::quote_ident(action.name)),
                      .object = synced.here().table.display() + "." + action.old_name});
}

} // namespace

Rule const& rule_s02() {
    static Rule const rule{
        .about = {.id = "S02",
                  .name = "sync-rename-column",
                  .title = "a column is renamed under a running sync",
                  .why = "A stream finds columns by name, so it stops at the first row after that. A mirror fails with "
                         "the column of its key, and the write of the application with it; under another column it goes "
                         "on, but both sides are called differently and no verification is clean until they are not.",
                  .lock = "",
                  .fix = "rename it after the window; or rename it at both sides, the target first, and let the sync take"
                         " it up",
                  .severity = model::Severity::error,
                  .violating = {"ALTER TABLE orders RENAME COLUMN note TO remark;",
                                "ALTER TABLE customers RENAME COLUMN email TO mail;",
                                "ALTER TABLE checkout.orders RENAME COLUMN note TO remark;"},
                  .accepted = {"ALTER TABLE order_lines RENAME COLUMN sku TO article;"}},
        .shows = Shows::nothing,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
