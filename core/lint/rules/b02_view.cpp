#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    bool const view =
        (action.verb == Verb::create && (action.object == Object::view || action.object == Object::rule)) ||
        action.verb == Verb::create_as;
    if (!view || action.temporary)
        return;
    auto owner = context.owner(action.on);
    for (auto const& ref : context.statement.refs) {
        if (ref.use != Use::read && ref.use != Use::write)
            continue;
        auto const other = context.owner(ref.name);
        // A view that nobody claims belongs to the first service whose rows it shows.
        if (owner.kind == Owner::Kind::nobody && other.kind == Owner::Kind::service &&
            action.object != Object::rule)
            owner = other;
        if (crosses(owner, other) && context.resolve(ref.name) != context.resolve(action.on))
            context.tell({.span = ref.span,
                          .message = shown(action.on) + " belongs to " + owner.text() + ", " +
                                     shown(ref.name) + " to " + other.text() + ": this " +
                                     (action.object == Object::rule ? "rule" : "view") + " crosses",
                          .object = context.resolve(action.on).display() + " -> " +
                                    context.resolve(ref.name).display()});
    }
}

} // namespace

Rule const& rule_b02() {
    static Rule const rule{
        .about = {.id = "B02",
                  .name = "boundary-view",
                  .title = "a view of tables of two owners",
                  .why = "The view keeps one owner's tables from moving, and is a way to read past the "
                         "other's interface.",
                  .lock = "",
                  .fix = "let the service that owns the rows answer for them, or replicate a reference table",
                  .severity = model::Severity::error,
                  .violating = {"CREATE VIEW order_customers AS SELECT o.id, c.name FROM orders AS o JOIN "
                                "customers AS c ON c.id = o.customer_id;",
                                "CREATE MATERIALIZED VIEW order_names AS SELECT name FROM customers;"},
                  .accepted = {"CREATE VIEW order_open AS SELECT o.id FROM orders AS o JOIN countries AS c "
                               "ON c.code = o.country;"}},
        .shows = Shows::nothing,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
