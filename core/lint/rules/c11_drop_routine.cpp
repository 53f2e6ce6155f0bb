#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    if (action.verb == Verb::alter_object && action.object == Object::extension)
        context.tell({.span = action.span,
                      .message = "the extension " + action.name +
                                 " may behave differently, and its update may lock what uses it",
                      .object = action.name});
    if (action.verb != Verb::drop)
        return;
    bool const counts = action.object == Object::function || action.object == Object::view ||
                        action.object == Object::materialized_view;
    bool const is_ours = action.object == Object::function ? context.state.routine(action.on) != nullptr
                                                           : context.state.is_new(action.on);
    if (counts && !is_ours && !context.comes_again(action.on))
        context.tell({.span = action.span,
                      .message = "whoever still uses the " + std::string{text(action.object)} + " " +
                                 shown(action.on) + " fails from now on",
                      .object = shown(action.on)});
}

} // namespace

Rule const& rule_c11() {
    static Rule const rule{
        .about =
            {.id = "C11",
             .name = "drop-used-object",
             .title = "a function, view or type is dropped, or an extension changed",
             .why = "What the running version of the application calls by this name fails. Not told when the "
                    "same file creates it anew.",
             .lock = "",
             .fix = "let a release that no longer uses it run first",
             .severity = model::Severity::warning,
             .violating = {"DROP FUNCTION gone(int);", "ALTER EXTENSION hstore UPDATE;"},
             .accepted =
                 {"CREATE FUNCTION fresh() RETURNS int LANGUAGE sql AS 'SELECT 1'; DROP FUNCTION fresh();"}},
        .shows = Shows::nothing,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
