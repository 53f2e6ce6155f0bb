#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    if (action.verb != Verb::create || action.object != Object::trigger)
        return;
    auto const owner = context.owner(action.on);
    auto const routine_owner = context.boundary->by_schema(context.resolve(action.other).schema);
    if (crosses(owner, routine_owner))
        context.tell({.span = action.span,
                      .message = shown(action.on) + " belongs to " + owner.text() +
                                 ", the trigger's function " + shown(action.other) + " to " +
                                 routine_owner.text(),
                      .object = context.resolve(action.on).display() + "." + action.name});
    auto const* const routine = context.state.routine(action.other);
    for (auto const& ref :
         routine != nullptr && !routine->body.empty() ? routine->body[0].refs : std::vector<Ref>{}) {
        auto const other = ref.use == Use::read || ref.use == Use::write ? context.owner(ref.name) : Owner{};
        if (crosses(owner, other, ref.use == Use::write) && context.once(action.name + " " + shown(ref.name)))
            context.tell({.span = action.span,
                          .message = shown(action.on) + " belongs to " + owner.text() +
                                     ", and the trigger's function uses " + shown(ref.name) + " of " +
                                     other.text(),
                          .object = context.resolve(action.on).display() + "." + action.name});
    }
}

} // namespace

Rule const& rule_b04() {
    static Rule const rule{
        .about =
            {.id = "B04",
             .name = "boundary-trigger",
             .title = "a trigger that reaches another owner",
             .why = "A write of one service does another one's work, in its transaction and under its locks; "
                    "it breaks when either moves.",
             .lock = "",
             .fix = "write an event to a table of the service's own, and let the other service read it",
             .severity = model::Severity::error,
             .violating =
                 {"CREATE FUNCTION crm.note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; "
                  "CREATE TRIGGER t AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION crm.note();",
                  "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN UPDATE customers SET "
                  "name = NEW.note; RETURN NEW; END'; CREATE TRIGGER t AFTER INSERT ON orders FOR EACH ROW "
                  "EXECUTE FUNCTION note();"},
             .accepted = {"CREATE TRIGGER t AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION touch();"}},
        .shows = Shows::nothing,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
