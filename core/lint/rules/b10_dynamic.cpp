#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    auto const tell = [&](Action const& dynamic) {
        context.tell(
            {.span = dynamic.span,
             .message = "what is executed here is known at run time only: " + dynamic.name.substr(0, 60)});
    };
    if (action.verb == Verb::execute_text)
        tell(action);
    for (auto const& body : action.body) {
        for (auto const& inner : body.actions) {
            if (inner.verb == Verb::execute_text)
                tell(inner);
        }
    }
}

} // namespace

Rule const& rule_b10() {
    static Rule const rule{
        .about = {.id = "B10",
                  .name = "boundary-dynamic-sql",
                  .title = "dynamic SQL, whose tables cannot be known",
                  .why = "What is executed is put together at run time: nobody can tell from the file whose "
                         "tables it uses.",
                  .lock = "",
                  .fix = "write the statements out; or look at it yourself and say so: -- pgcarve:ignore B10 "
                         "reads only ...",
                  .severity = model::Severity::warning,
                  .violating = {"DO $$ BEGIN EXECUTE 'DROP TABLE ' || current_setting('app.t'); END $$;"},
                  .accepted = {"DO $$ BEGIN EXECUTE 'SELECT 1'; END $$;"}},
        .shows = Shows::nothing,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
