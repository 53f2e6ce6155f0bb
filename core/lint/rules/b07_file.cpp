#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    if (context.service.empty() || action.on.name.empty() || action.temporary)
        return;
    bool const changes = action.verb != Verb::select && action.verb != Verb::comment &&
                         action.verb != Verb::grant && action.verb != Verb::revoke &&
                         action.verb != Verb::analyze && action.verb != Verb::vacuum &&
                         (action.object == Object::table || action.object == Object::index ||
                          action.object == Object::trigger || action.object == Object::policy ||
                          action.object == Object::column || action.object == Object::rule ||
                          action.object == Object::constraint);
    auto const owner = changes ? context.owner(action.on) : Owner{};
    bool const ours = owner.kind == Owner::Kind::service && owner.service == context.service;
    if (owner.kind != Owner::Kind::unknown && !ours && context.once(context.table()))
        context.tell({.span = action.span,
                      .message = "this file is of service " + context.service + ", and " + context.table() +
                                 " belongs to " + owner.text(),
                      .object = context.resolve(action.on).display()});
}

} // namespace

Rule const& rule_b07() {
    static Rule const rule{.about = {.id = "B07",
                                     .name = "boundary-file",
                                     .title = "a service's migration changes what another one owns",
                                     .why = "Each service's migrations are run when that service is "
                                            "released: nobody expects the other's tables to change then.",
                                     .lock = "",
                                     .fix = "move the statement to the migrations of the owner",
                                     .severity = model::Severity::error,
                                     .violating = {"ALTER TABLE customers ADD COLUMN a int;"},
                                     .accepted = {"ALTER TABLE orders ADD COLUMN a int;"}},
                           .shows = Shows::nothing,
                           .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
