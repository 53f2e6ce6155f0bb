#include "lint/hygiene.hpp"

namespace pgcarve::lint {

namespace {

bool is_local(Type const& type) {
    return is_builtin(type, "timestamp");
}

void judge(Context const& context) {
    tell_types(context, is_local, "it means another moment for each TimeZone; use timestamptz");
}

} // namespace

Rule const& rule_h04() {
    static Rule const rule{
        .about = {.id = "H04",
                  .name = "prefer-timestamptz",
                  .title = "a column of time without a time zone",
                  .why = "It holds what a clock on some wall showed, and means another moment for each session's TimeZone. To "
                         "change it later rewrites the table unless the session's TimeZone is UTC.",
                  .lock = "",
                  .fix = "timestamptz: it takes no more room",
                  .severity = model::Severity::off,
                  .violating = {"CREATE TABLE fresh (id bigint PRIMARY KEY, seen timestamp);",
                                "ALTER TABLE orders ADD COLUMN paid_at timestamp without time zone;"},
                  .accepted = {"CREATE TABLE fresh (id bigint PRIMARY KEY, seen timestamptz, day date);",
                               "ALTER TABLE orders ADD COLUMN paid_at timestamp with time zone;"}},
        .shows = Shows::nothing,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
