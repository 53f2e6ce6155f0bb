#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    if (action.verb != Verb::set_logged || action.words.empty() || action.words[0] != "AT_SetUnLogged")
        return;
    for (auto const& synced : context.synced(action.on)) {
        if (synced.stream() && synced.source())
            context.tell({.span = action.span, .message = synced.text(), .object = synced.here().table.display()});
    }
}

} // namespace

Rule const& rule_s08() {
    static Rule const rule{
        .about = {.id = "S08",
                  .name = "sync-unlogged",
                  .title = "the log is switched off for a table that is streamed",
                  .why = "What is not in the log cannot be streamed: the server refuses it, and the migration fails half-"
                         "way.",
                  .lock = "",
                  .fix = "after the sync; or copy the table again",
                  .severity = model::Severity::error,
                  .violating = {"ALTER TABLE customers SET UNLOGGED;"},
                  .accepted = {"ALTER TABLE orders SET UNLOGGED;",
                                "ALTER TABLE order_lines SET UNLOGGED;"}},
        .shows = Shows::nothing,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
