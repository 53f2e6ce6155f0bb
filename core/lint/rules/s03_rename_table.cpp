#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    bool const renames = action.verb == Verb::rename || action.verb == Verb::set_schema;
    if (renames && action.object == Object::table) {
        for (auto const& synced : context.synced(action.on))
            context.tell({.span = action.span, .message = synced.text() + ", which knows it by its name", .object = synced.here().table.display()});
    }
    if (action.verb == Verb::rename && action.object == Object::schema && context.sync != nullptr) {
        for (auto const& synced : context.sync->all()) {
            if (synced.here().table.schema == action.on.name && context.once(action.on.name))
                context.tell({.span = action.span, .message = synced.text() + ", which knows it by its name", .object = synced.here().table.display()});
        }
    }
}

} // namespace

Rule const& rule_s03() {
    static Rule const rule{
        .about = {.id = "S03",
                  .name = "sync-rename-table",
                  .title = "a table is renamed or moved to another schema under a running sync",
                  .why = "The sync knows its tables by name: a stream stops at the first row, at either side; what "
                         "pgcarve finds under a mirror is a table that is not there any more.",
                  .lock = "",
                  .fix = "leave the name until the sync is over; a view can bear the new one",
                  .severity = model::Severity::error,
                  .violating = {"ALTER TABLE orders RENAME TO purchases;",
                                "ALTER TABLE customers SET SCHEMA crm;",
                                "ALTER SCHEMA checkout RENAME TO shop;"},
                  .accepted = {"ALTER TABLE order_lines RENAME TO lines;",
                                "CREATE VIEW purchases AS SELECT id FROM orders;"}},
        .shows = Shows::nothing,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
