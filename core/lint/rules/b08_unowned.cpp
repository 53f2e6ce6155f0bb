#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    bool const creates =
        (action.verb == Verb::create || action.verb == Verb::create_as) && action.object == Object::table;
    if (!creates || action.temporary || action.partition)
        return;
    auto const name = context.resolve(action.on);
    if (context.boundary->table(name).kind == Owner::Kind::nobody &&
        !context.boundary->unowned_on_purpose(name))
        context.tell({.span = action.span,
                      .message = "no service owns the new table " + name.display(),
                      .object = name.display()});
}

} // namespace

Rule const& rule_b08() {
    static Rule const rule{
        .about = {.id = "B08",
                  .name = "boundary-unowned",
                  .title = "a new table that nobody owns",
                  .why = "What nobody owns is everybody's: it grows the shared database.",
                  .lock = "",
                  .fix = "add it to `tables` of a service in pgcarve.toml, or to `unowned` in [lint]",
                  .severity = model::Severity::warning,
                  .violating = {"CREATE TABLE loyalty (id bigint);"},
                  .accepted = {"CREATE TABLE order_notes (id bigint);",
                               "CREATE TEMPORARY TABLE scratch (id bigint);"}},
        .shows = Shows::nothing,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
