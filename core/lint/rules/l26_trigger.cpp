#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    bool const created = action.verb == Verb::create && action.object == Object::trigger;
    if ((created || action.verb == Verb::enable_trigger || action.verb == Verb::disable_trigger) &&
        context.existing(action.on))
        context.tell({.span = action.span,
                      .message = "writes to " + context.table() + " wait for this",
                      .lock = "SHARE ROW EXCLUSIVE",
                      .object = context.table()});
}

} // namespace

Rule const& rule_l26() {
    static Rule const rule{
        .about =
            {.id = "L26",
             .name = "trigger-on-existing-table",
             .title = "a trigger is created, switched on or off",
             .why = "Off by default: the lock is short, and lock-timeout-missing tells when it is waited for "
                    "without an end.",
             .lock = "SHARE ROW EXCLUSIVE",
             .fix = "SET lock_timeout before it",
             .severity = model::Severity::off,
             .violating = {"CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION touch();",
                           "ALTER TABLE orders DISABLE TRIGGER orders_touch;"},
             .accepted = {"CREATE TABLE fresh (id int); CREATE TRIGGER t BEFORE INSERT ON fresh FOR EACH ROW "
                          "EXECUTE FUNCTION touch();"}},
        .shows = Shows::lock,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
