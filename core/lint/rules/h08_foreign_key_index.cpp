#include <algorithm>

#include "lint/hygiene.hpp"

namespace pgcarve::lint {

namespace {

bool leads(Action const& action, std::string const& column) {
    auto const own = [&](Column const& one) { return one.name == column && (one.primary || one.unique); };
    auto const together = [&](TableConstraint const& one) {
        bool const index = one.kind == ConstraintKind::primary_key || one.kind == ConstraintKind::unique || one.kind == ConstraintKind::exclusion;
        return index && (one.columns.empty() || one.columns.front() == column);
    };
    return std::ranges::any_of(action.definitions, own) || std::ranges::any_of(action.constraints, together);
}

void judge(Context const& context) {
    auto const& action = context.action;
    if (action.temporary)
        return;
    auto keys = action.foreign_keys;
    if (action.verb == Verb::add_column && action.definitions[0].foreign_key)
        keys = {*action.definitions[0].foreign_key};
    for (auto const& key : keys) {
        if (key.columns.empty())
            continue;
        auto const& column = key.columns.front();
        bool const stands = action.verb == Verb::add_constraint && context.state.is_indexed(action.on, column);
        if (stands || leads(action, column) || context.whole.indexed.contains({action.on.name, column}))
            continue;
        auto const name = column_of(context, column);
        context.tell({.span = key.span, .message = "no index begins with " + name + ", which refers to " + shown(key.parent), .object = name});
    }
}

} // namespace

Rule const& rule_h08() {
    static Rule const rule{
        .about = {.id = "H08",
                  .name = "foreign-key-without-index",
                  .title = "the columns of a new foreign key have no index",
                  .why = "Every delete of a row over there, and every change of its key, reads this whole table to look for "
                         "rows that refer to it. An index that the same file makes counts; of a table whose indexes are not "
                         "known nothing is said.",
                  .lock = "",
                  .fix = "CREATE INDEX CONCURRENTLY on the columns, before the key",
                  .severity = model::Severity::off,
                  .violating = {"CREATE TABLE fresh (id bigint PRIMARY KEY, order_id bigint REFERENCES orders);",
                                "ALTER TABLE orders ADD COLUMN payer_id bigint REFERENCES customers;",
                                "ALTER TABLE orders ADD CONSTRAINT country_known FOREIGN KEY (country) REFERENCES countries NOT VALID;"},
                  .accepted = {"CREATE TABLE fresh (id bigint PRIMARY KEY, order_id bigint REFERENCES orders); CREATE INDEX ON fresh (order_id);",
                               "CREATE TABLE fresh (order_id bigint PRIMARY KEY REFERENCES orders);",
                               "CREATE TABLE fresh (order_id bigint REFERENCES orders, line int, PRIMARY KEY (order_id, line));",
                               "ALTER TABLE order_lines ADD CONSTRAINT of_order FOREIGN KEY (order_id) REFERENCES orders NOT VALID;"}},
        .shows = Shows::nothing,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
