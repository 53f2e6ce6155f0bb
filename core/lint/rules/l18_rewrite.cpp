#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    bool const rewrites = (action.verb == Verb::vacuum && action.full) || action.verb == Verb::cluster ||
                          action.verb == Verb::set_tablespace || action.verb == Verb::set_logged ||
                          action.verb == Verb::set_access_method;
    if (!rewrites || (!action.on.name.empty() && !context.existing(action.on)))
        return;
    auto const what = action.on.name.empty() ? std::string{"every table"} : context.table();
    context.tell({.span = action.span,
                  .message = what + " is copied as a whole while nobody can read or write it",
                  .lock = "ACCESS EXCLUSIVE",
                  .object = what});
}

} // namespace

Rule const& rule_l18() {
    static Rule const rule{
        .about = {.id = "L18",
                  .name = "rewrite-table",
                  .title = "a statement that writes the whole table anew",
                  .why = "VACUUM FULL, CLUSTER, and a new tablespace, persistence or access method copy "
                         "every row while nobody can read or write the table.",
                  .lock = "ACCESS EXCLUSIVE",
                  .fix = "use pg_repack, or copy into a new table and change over",
                  .severity = model::Severity::error,
                  .violating = {"VACUUM FULL orders;", "CLUSTER orders USING orders_pkey;",
                                "ALTER TABLE orders SET UNLOGGED;"},
                  .accepted = {"VACUUM orders;", "ALTER TABLE orders SET (fillfactor = 90);"}},
        .shows = Shows::lock,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
