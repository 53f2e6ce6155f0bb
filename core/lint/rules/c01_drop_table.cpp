#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    if (action.verb == Verb::drop && action.object == Object::table && context.existing(action.on))
        context.tell(
            {.span = action.span,
             .message = "the rows of " + context.table() + " are gone, and whoever still uses it fails",
             .lock = "ACCESS EXCLUSIVE",
             .object = context.table()});
}

} // namespace

Rule const& rule_c01() {
    static Rule const rule{
        .about =
            {.id = "C01",
             .name = "drop-table",
             .title = "a table is dropped",
             .why = "Its rows are gone, and a running version of the application which still uses it fails.",
             .lock = "ACCESS EXCLUSIVE",
             .fix = "let a release that no longer uses it run first; rename it for a while; then drop it and "
                    "say so: -- pgcarve:ignore C01 unused since ...",
             .severity = model::Severity::error,
             .violating = {"DROP TABLE order_lines;"},
             .accepted = {"CREATE TABLE fresh (id int); DROP TABLE fresh;", "DROP VIEW open_orders;"}},
        .shows = Shows::lock,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
