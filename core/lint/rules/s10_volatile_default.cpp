#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    if (action.verb != Verb::add_column)
        return;
    auto const& column = action.definitions[0];
    bool const own_values = column.serial || column.identity || column.default_value >= Volatility::unknown;
    for (auto const& synced : context.synced(action.on)) {
        if (own_values)
            context.tell({.span = action.span,
                          .message = synced.text() + ": its existing rows get values that the other side has not",
                          .object = synced.here().table.display() + "." + column.name});
    }
}

} // namespace

Rule const& rule_s10() {
    static Rule const rule{
        .about = {.id = "S10",
                  .name = "sync-volatile-default",
                  .title = "each side would make its own values for a new column",
                  .why = "A default that is random, counts or tells the time gives every existing row another value at "
                         "each side. No error tells of it, only a comparison of the rows.",
                  .lock = "",
                  .fix = "add the column without a default at both sides, set the default, and fill the rows with UPDATE "
                         "at the source",
                  .severity = model::Severity::error,
                  .violating = {"ALTER TABLE orders ADD COLUMN token uuid DEFAULT gen_random_uuid();",
                                "ALTER TABLE checkout.orders ADD COLUMN n bigserial;"},
                  .accepted = {"ALTER TABLE checkout.orders ADD COLUMN kind text DEFAULT 'x';",
                                "ALTER TABLE order_lines ADD COLUMN token uuid DEFAULT gen_random_uuid();"}},
        .shows = Shows::nothing,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
