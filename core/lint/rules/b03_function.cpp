#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    if (action.verb != Verb::create || action.object != Object::function || action.body.empty())
        return;
    auto owner = context.boundary->by_schema(context.resolve(action.on).schema);
    auto refs = context.statement.refs;
    refs.insert(refs.end(), action.body[0].refs.begin(), action.body[0].refs.end());
    for (auto const& ref : refs) {
        if (ref.use != Use::read && ref.use != Use::write)
            continue;
        auto const other = context.owner(ref.name);
        if (owner.kind == Owner::Kind::unknown && other.kind == Owner::Kind::service)
            owner = other;
        if (!crosses(owner, other, ref.use == Use::write) ||
            !context.once(action.on.name + " " + shown(ref.name)))
            continue;
        context.tell({.span = ref.span,
                      .message = "the function " + shown(action.on) + " is of " + owner.text() + ", and " +
                                 shown(ref.name) + " is of " + other.text(),
                      .object = shown(action.on) + " -> " + context.resolve(ref.name).display()});
    }
}

} // namespace

Rule const& rule_b03() {
    static Rule const rule{
        .about = {.id = "B03",
                  .name = "boundary-function",
                  .title = "a function that uses tables of two owners",
                  .why = "It is code of two services in one place, and stops working when one of them moves.",
                  .lock = "",
                  .fix = "split the function; let each service do its own part",
                  .severity = model::Severity::error,
                  .violating = {"CREATE FUNCTION order_name(bigint) RETURNS text LANGUAGE sql AS 'SELECT "
                                "c.name FROM orders o JOIN customers c ON c.id = o.customer_id';",
                                "CREATE FUNCTION checkout.f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN "
                                "UPDATE customers SET name = 'x'; END $$;"},
                  .accepted = {"CREATE FUNCTION order_state(bigint) RETURNS text LANGUAGE sql AS 'SELECT "
                               "state FROM orders';"}},
        .shows = Shows::nothing,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
