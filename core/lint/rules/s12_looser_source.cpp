#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    if (action.verb != Verb::drop_not_null && action.verb != Verb::drop_constraint)
        return;
    bool const constraint = action.verb == Verb::drop_constraint;
    if (constraint && context.state.may_be_key(action.on, action.name))
        return; // told as S06
    for (auto const& synced : context.synced(action.on)) {
        // A foreign key is not made at the target of a stream.
        bool const key = !constraint && !synced.pair->key.empty() && synced.in_key(action.columns[0]);
        if (!synced.source() || key || context.state.has_let_go(synced.there().table, action))
            continue;
        auto const name = constraint ? action.name : action.columns[0];
        context.tell({.span = action.span,
                      .message = synced.text() + ", which may still ask for it",
                      .fix = target_first(synced, context.text_of(action.span)),
                      .object = synced.here().table.display() + "." + name});
    }
}

} // namespace

Rule const& rule_s12() {
    static Rule const rule{
        .about = {.id = "S12",
                  .name = "sync-looser-source",
                  .title = "the source of a running sync would take what its target does not",
                  .why = "The target has the same constraints as its source. Once the source lets go of one, the first "
                         "row that the target refuses stops the stream; under a mirror the application's write fails.",
                  .lock = "",
                  .fix = "target first: let go of the constraint there, then here",
                  .severity = model::Severity::error,
                  .violating = {"ALTER TABLE orders ALTER COLUMN ref DROP NOT NULL;",
                                "ALTER TABLE customers DROP CONSTRAINT name_length;",
                                "ALTER TABLE customers ALTER COLUMN name DROP NOT NULL;"},
                  .accepted = {"ALTER TABLE checkout.orders ALTER COLUMN ref DROP NOT NULL;",
                                "ALTER TABLE order_lines DROP CONSTRAINT c;"}},
        .shows = Shows::nothing,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
