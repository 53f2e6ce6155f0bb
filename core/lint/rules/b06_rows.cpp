#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    bool const dml = action.verb == Verb::insert || action.verb == Verb::update ||
                     action.verb == Verb::remove || action.verb == Verb::merge || action.verb == Verb::select;
    if (!dml || !context.first)
        return;
    Ref const* first = nullptr;
    Owner owner;
    for (auto const& ref : context.statement.refs) {
        if (ref.use != Use::read && ref.use != Use::write)
            continue;
        auto const other = context.owner(ref.name);
        if (other.kind == Owner::Kind::unknown ||
            (other.kind == Owner::Kind::reference && ref.use == Use::read))
            continue;
        if (first == nullptr) {
            first = &ref;
            owner = other;
        } else if (!(owner == other) && context.once(shown(first->name) + " " + shown(ref.name))) {
            context.tell({.span = ref.span,
                          .message = shown(first->name) + " belongs to " + owner.text() + ", " +
                                     shown(ref.name) + " to " + other.text() + ": this statement crosses",
                          .object = context.resolve(first->name).display() + " -> " +
                                    context.resolve(ref.name).display()});
        }
    }
}

} // namespace

Rule const& rule_b06() {
    static Rule const rule{
        .about = {.id = "B06",
                  .name = "boundary-rows",
                  .title = "one statement uses rows of two owners",
                  .why =
                      "It works only while both are in one database, and writes past the other's interface.",
                  .lock = "",
                  .fix = "let each service change its own rows; hand over what it needs as values",
                  .severity = model::Severity::error,
                  .violating =
                      {"UPDATE orders SET note = c.name FROM customers AS c WHERE c.id = orders.customer_id;",
                       "INSERT INTO orders (id, ref) SELECT id, id FROM customers;"},
                  .accepted = {"UPDATE orders SET note = 'x' WHERE id = 1;",
                               "INSERT INTO order_lines (order_id) SELECT id FROM orders;"}},
        .shows = Shows::nothing,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
