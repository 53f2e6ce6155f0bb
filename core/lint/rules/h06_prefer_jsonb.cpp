#include "lint/hygiene.hpp"

namespace pgcarve::lint {

namespace {

bool is_json(Type const& type) {
    return is_builtin(type, "json");
}

void judge(Context const& context) {
    tell_types(context, is_json, "it has no equality and no index; use jsonb");
}

} // namespace

Rule const& rule_h06() {
    static Rule const rule{
        .about = {.id = "H06",
                  .name = "prefer-jsonb",
                  .title = "a column of type json",
                  .why = "It is parsed anew at every read, has no operator for equality, so that SELECT DISTINCT and GROUP BY "
                         "fail, and cannot be indexed.",
                  .lock = "",
                  .fix = "jsonb, unless the text has to stay as it was written",
                  .severity = model::Severity::off,
                  .violating = {"CREATE TABLE fresh (id bigint PRIMARY KEY, body json);",
                                "ALTER TABLE orders ADD COLUMN extra json;"},
                  .accepted = {"CREATE TABLE fresh (id bigint PRIMARY KEY, body jsonb);"}},
        .shows = Shows::nothing,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
