#include "lint/hygiene.hpp"

namespace pgcarve::lint {

namespace {

bool is_limited(Type const& type) {
    return is_builtin(type, "varchar") && !type.modifiers.empty();
}

void judge(Context const& context) {
    tell_types(context, is_limited, "text, with a CHECK where a limit is wanted, can be changed without a rewrite");
}

} // namespace

Rule const& rule_h01() {
    static Rule const rule{
        .about = {.id = "H01",
                  .name = "prefer-text",
                  .title = "a column of text with a limit on its length",
                  .why = "The limit is one more thing that a migration has to change: to tighten it every row is rewritten "
                         "under ACCESS EXCLUSIVE. text costs the same, and a CHECK can be changed without a rewrite.",
                  .lock = "",
                  .fix = "text, and where a limit is wanted CHECK (length(note) <= 200)",
                  .severity = model::Severity::off,
                  .violating = {"CREATE TABLE fresh (id bigint PRIMARY KEY, note varchar(200));",
                                "ALTER TABLE orders ADD COLUMN hint varchar(20);",
                                "ALTER TABLE orders ALTER COLUMN note TYPE varchar(40);"},
                  .accepted = {"CREATE TABLE fresh (id bigint PRIMARY KEY, note text CHECK (length(note) <= 200));",
                               "ALTER TABLE orders ADD COLUMN hint varchar;",
                               "CREATE TEMP TABLE fresh (note varchar(200));"}},
        .shows = Shows::nothing,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
