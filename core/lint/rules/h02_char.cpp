#include "lint/hygiene.hpp"

namespace pgcarve::lint {

namespace {

bool is_padded(Type const& type) {
    return is_builtin(type, "bpchar");
}

void judge(Context const& context) {
    tell_types(context, is_padded, "it is filled with blanks; use text");
}

} // namespace

Rule const& rule_h02() {
    static Rule const rule{
        .about = {.id = "H02",
                  .name = "no-char",
                  .title = "a column of type char(n)",
                  .why = "It is filled with blanks up to its length, which count in some comparisons and not in others; it is "
                         "no faster than text.",
                  .lock = "",
                  .fix = "text, and where a limit is wanted CHECK (length(code) = 2)",
                  .severity = model::Severity::off,
                  .violating = {"CREATE TABLE fresh (id bigint PRIMARY KEY, code char(2));",
                                "ALTER TABLE orders ADD COLUMN currency character(3);"},
                  .accepted = {"CREATE TABLE fresh (id bigint PRIMARY KEY, code text CHECK (length(code) = 2));",
                               "ALTER TABLE orders ADD COLUMN currency text;"}},
        .shows = Shows::nothing,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
