#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    auto keys = action.foreign_keys;
    for (auto const& column : action.definitions) {
        if (action.verb == Verb::add_column && column.foreign_key)
            keys.push_back(*column.foreign_key);
    }
    for (auto const& key : keys) {
        auto const child = context.resolve(action.on);
        auto const parent = context.resolve(key.parent);
        auto const from = context.boundary->table(child);
        auto const to = context.boundary->table(parent);
        if (crosses(from, to) && !context.boundary->keeps(child, key.name, key.columns, parent))
            context.tell({.span = key.span,
                          .message = child.display() + " belongs to " + from.text() + ", " +
                                     parent.display() + " to " + to.text() + ": this foreign key crosses",
                          .object = child.display() + (key.columns.empty() ? "" : "." + key.columns[0]) +
                                    " -> " + parent.display()});
    }
}

} // namespace

Rule const& rule_b01() {
    static Rule const rule{
        .about = {.id = "B01",
                  .name = "boundary-foreign-key",
                  .title = "a foreign key between tables of two owners",
                  .why = "It ties the two together: neither can move to another database while it stands, "
                         "and each one's deletes and locks reach the other.",
                  .lock = "",
                  .fix = "leave the foreign key out and keep the key alone; or decide it in "
                         "[service.NAME.foreign_keys] as \"keep\"",
                  .severity = model::Severity::error,
                  .violating = {"ALTER TABLE orders ADD CONSTRAINT o FOREIGN KEY (customer_id) REFERENCES "
                                "customers (id) NOT VALID;",
                                "CREATE TABLE order_notes (customer_id bigint REFERENCES customers);"},
                  .accepted = {"ALTER TABLE order_lines ADD CONSTRAINT o FOREIGN KEY (order_id) REFERENCES "
                               "orders (id) NOT VALID;",
                               "CREATE TABLE order_notes (country text REFERENCES countries);"}},
        .shows = Shows::nothing,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
