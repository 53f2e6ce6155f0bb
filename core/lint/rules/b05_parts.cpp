#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    bool const on_table =
        action.object == Object::table && action.verb != Verb::drop && action.verb != Verb::insert &&
        action.verb != Verb::update && action.verb != Verb::remove && action.verb != Verb::merge &&
        action.verb != Verb::select && action.verb != Verb::create_as && action.verb != Verb::grant &&
        action.verb != Verb::revoke && action.verb != Verb::lock && action.verb != Verb::truncate;
    bool const policy = action.object == Object::policy && action.verb != Verb::drop;
    bool const sequence = action.object == Object::sequence && !action.other.name.empty();
    if (action.on.name.empty() || action.in_body || action.temporary || !context.first ||
        (!on_table && !policy && !sequence))
        return;
    auto const owner =
        sequence ? context.boundary->sequence(context.resolve(action.on)) : context.owner(action.on);
    auto const tell = [&](Span span, std::string const& what, sql::QName const& name, Owner const& other) {
        context.tell({.span = span,
                      .message = shown(action.on) + " belongs to " + owner.text() + ", the " + what + " " +
                                 shown(name) + " to " + other.text(),
                      .object = context.resolve(action.on).display() + " -> " + shown(name)});
    };
    if (sequence && crosses(owner, context.owner(action.other)))
        tell(action.span, "table", action.other, context.owner(action.other));
    for (auto const& parent : action.parents) {
        if (crosses(owner, context.owner(parent)))
            tell(action.span, "table", parent, context.owner(parent));
    }
    bool const joins = action.verb == Verb::attach_partition || action.verb == Verb::inherit;
    if (joins && crosses(owner, context.owner(action.other)))
        tell(action.span, "table", action.other, context.owner(action.other));
    for (auto const& ref : context.statement.refs) {
        if (ref.use == Use::type || ref.use == Use::function) {
            auto const other = context.boundary->by_schema(ref.name.schema);
            if (crosses(owner, other))
                tell(ref.span, ref.use == Use::type ? "type" : "function", ref.name, other);
        } else if (ref.use == Use::sequence && !sequence) {
            auto const other = context.boundary->sequence(context.resolve(ref.name));
            if (crosses(owner, other) && context.once(shown(action.on) + " " + shown(ref.name)))
                tell(ref.span, "sequence", ref.name, other);
        } else if (policy && crosses(owner, context.owner(ref.name))) {
            tell(ref.span, "table", ref.name, context.owner(ref.name));
        }
    }
}

} // namespace

Rule const& rule_b05() {
    static Rule const rule{
        .about = {.id = "B05",
                  .name = "boundary-part",
                  .title = "a table made of another owner's parts",
                  .why = "A type, domain, sequence, parent or partition of another owner keeps the table "
                         "from moving.",
                  .lock = "",
                  .fix = "give the table a type, a sequence, a parent of its own",
                  .severity = model::Severity::error,
                  .violating = {"CREATE TABLE order_notes (kind crm.kind);",
                                "CREATE TABLE order_notes (LIKE customers);",
                                "CREATE TABLE order_notes (id bigint DEFAULT nextval('customers_id_seq'));",
                                "CREATE POLICY p ON orders USING (EXISTS (SELECT FROM customers));"},
                  .accepted = {"CREATE TABLE order_notes (LIKE orders);",
                               "CREATE TABLE order_notes (id bigint DEFAULT nextval('orders_id_seq'), kind "
                               "checkout.kind);"}},
        .shows = Shows::nothing,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
