#include <algorithm>

#include "lint/hygiene.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    bool const plain = action.verb == Verb::create && action.object == Object::table && !action.temporary && !action.partition;
    if (!plain || !action.parents.empty() || context.whole.keyed.contains(action.on.name)) // LIKE may bring one
        return;
    bool const keyed = std::ranges::any_of(action.definitions, &Column::primary) ||
                       std::ranges::any_of(action.constraints, [](TableConstraint const& one) { return one.kind == ConstraintKind::primary_key; });
    if (!keyed)
        context.tell({.span = action.span, .message = context.table() + " has no primary key", .object = context.table()});
}

} // namespace

Rule const& rule_h07() {
    static Rule const rule{
        .about = {.id = "H07",
                  .name = "table-without-key",
                  .title = "a new table has no primary key",
                  .why = "Its rows cannot be told apart: no mirror or stream can keep it, UPDATE and DELETE of a published "
                         "table are refused, and doubles cannot be removed. A key that the same file adds later counts.",
                  .lock = "",
                  .fix = "PRIMARY KEY; a bigint identity column when there is nothing better",
                  .severity = model::Severity::off,
                  .violating = {"CREATE TABLE fresh (id bigint NOT NULL, note text);",
                                "CREATE TABLE fresh (id bigint UNIQUE);"},
                  .accepted = {"CREATE TABLE fresh (id bigint PRIMARY KEY);",
                               "CREATE TABLE fresh (a bigint, b bigint, PRIMARY KEY (a, b));",
                               "CREATE TABLE fresh (id bigint); ALTER TABLE fresh ADD PRIMARY KEY (id);",
                               "CREATE TEMP TABLE fresh (id bigint);",
                               "CREATE TABLE fresh (LIKE orders INCLUDING ALL);",
                               "CREATE TABLE events_2028 PARTITION OF events FOR VALUES FROM ('2028-01-01') TO ('2029-01-01');"}},
        .shows = Shows::nothing,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
