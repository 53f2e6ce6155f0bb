#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    if (action.verb == Verb::grant) {
        auto const on = action.object == Object::schema ? context.boundary->by_schema(action.on.name)
                        : action.object == Object::sequence
                            ? context.boundary->sequence(context.resolve(action.on))
                        : action.object == Object::table ? context.owner(action.on)
                                                         : Owner{};
        for (auto const& role : action.words) {
            auto const to = context.boundary->role(role);
            if (crosses(to, on))
                context.tell({.span = action.span,
                              .message = "the role " + role + " is of " + to.text() + ", and " +
                                         shown(action.on) + " belongs to " + on.text(),
                              .object = shown(action.on) + " -> " + role});
        }
    }
    bool const path = action.verb == Verb::alter_object && action.name == "search_path";
    auto owner = action.object == Object::role ? context.boundary->role(action.on.name)
                                               : context.boundary->by_schema(action.on.schema);
    for (auto const& schema : path ? action.words : std::vector<std::string>{}) {
        auto const other = context.boundary->by_schema(schema);
        if (owner.kind == Owner::Kind::unknown)
            owner = other;
        if (crosses(owner, other))
            context.tell({.span = action.span,
                          .message = "the search_path of " + shown(action.on) + " leads to " + owner.text() +
                                     " and to " + other.text(),
                          .object = shown(action.on)});
    }
    bool const table = action.object == Object::table || action.object == Object::view ||
                       action.object == Object::materialized_view;
    if (action.verb == Verb::drop && action.cascade && table && context.existing(action.on) &&
        context.owner(action.on).kind != Owner::Kind::unknown)
        context.tell({.span = action.span,
                      .message = "CASCADE may drop what others built on " + context.table() +
                                 ", which belongs to " + context.owner(action.on).text(),
                      .object = context.resolve(action.on).display(),
                      .warn_only = true});
}

} // namespace

Rule const& rule_b09() {
    static Rule const rule{
        .about = {.id = "B09",
                  .name = "boundary-privilege",
                  .title = "a privilege or a path into another owner's tables",
                  .why = "A role that may use another service's tables will; so will one that finds them by "
                         "its search_path. CASCADE drops what others built on the object.",
                  .lock = "",
                  .fix = "grant it nothing there; name what is dropped without CASCADE",
                  .severity = model::Severity::error,
                  .violating = {"GRANT SELECT ON customers TO checkout_app;",
                                "ALTER ROLE checkout_app SET search_path = checkout, crm;",
                                "DROP TABLE orders CASCADE;"},
                  .accepted = {"GRANT SELECT ON orders TO checkout_app;",
                               "GRANT SELECT ON countries TO checkout_app;"}},
        .shows = Shows::nothing,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
