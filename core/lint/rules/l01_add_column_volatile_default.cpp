#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    if (action.verb != Verb::add_column || !context.on_existing_table())
        return;
    for (auto const& column : action.definitions) {
        if (column.default_value < Volatility::unknown)
            continue;
        auto const* const routine = context.state.routine({"", column.default_function});
        if (routine != nullptr && routine->words.size() > 1 &&
            (routine->words[1] == "immutable" || routine->words[1] == "stable"))
            continue;
        bool const sure = column.default_value == Volatility::is_volatile;
        context.tell({.span = action.span,
                      .message = "the default " + column.default_function + "() of " + column.name +
                                 (sure ? " is volatile" : " is volatile unless it is declared otherwise") +
                                 ": every row of " + context.table() + " is rewritten",
                      .lock = "ACCESS EXCLUSIVE",
                      .object = context.table() + "." + column.name,
                      .warn_only = !sure});
    }
}

} // namespace

Rule const& rule_l01() {
    static Rule const rule{
        .about = {.id = "L01",
                  .name = "add-column-volatile-default",
                  .title = "a new column gets a value computed for each row",
                  .why = "A default that is not the same for all rows is written into every row: the table "
                         "is rewritten, and every index built anew, while nobody can read or write it.",
                  .lock = "ACCESS EXCLUSIVE",
                  .fix = "add the column without a default, then ALTER COLUMN ... SET DEFAULT, then fill old "
                         "rows in batches",
                  .severity = model::Severity::error,
                  .violating =
                      {"ALTER TABLE orders ADD COLUMN token uuid DEFAULT gen_random_uuid();",
                       "ALTER TABLE orders ADD COLUMN seen timestamptz NOT NULL DEFAULT clock_timestamp();"},
                  .accepted = {"ALTER TABLE orders ADD COLUMN seen timestamptz NOT NULL DEFAULT now();",
                               "ALTER TABLE orders ADD COLUMN kind text NOT NULL DEFAULT 'plain';",
                               "ALTER TABLE orders ADD COLUMN token uuid; ALTER TABLE orders ALTER COLUMN "
                               "token SET DEFAULT gen_random_uuid();",
                               "CREATE TABLE fresh (id bigint); ALTER TABLE fresh ADD COLUMN token uuid "
                               "DEFAULT gen_random_uuid();"}},
        .shows = Shows::rewrite,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
