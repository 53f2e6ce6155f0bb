#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    if (!context.on_existing_table())
        return;
    if (action.verb == Verb::add_constraint && action.constraint == ConstraintKind::foreign_key &&
        action.validates) {
        bool const partitioned = context.state.version < 18 && context.state.is_partitioned(action.on);
        context.tell({.span = action.span,
                      .message = "writes to " + context.table() + " and " + shown(action.other) +
                                 " wait while every row is checked",
                      .fix = partitioned ? "add the foreign key NOT VALID to each partition, validate it "
                                           "there, then add it to the partitioned table"
                                         : "",
                      .lock = "SHARE ROW EXCLUSIVE",
                      .object = context.table() + (action.name.empty() ? "" : "." + action.name)});
    }
    if (action.verb == Verb::add_column && action.definitions[0].foreign_key) {
        auto const& column = action.definitions[0];
        if (column.default_value != Volatility::none && !column.default_null)
            context.tell(
                {.span = action.span,
                 .message = "the default of " + column.name + " is looked up in " +
                            shown(column.foreign_key->parent) + " for every row, under the lock",
                 .fix =
                     "add the column, then the foreign key NOT VALID, and validate it in another transaction",
                 .lock = "ACCESS EXCLUSIVE",
                 .object = context.table() + "." + column.name});
    }
}

} // namespace

Rule const& rule_l07() {
    static Rule const rule{
        .about =
            {.id = "L07",
             .name = "add-foreign-key",
             .title = "a foreign key is checked while both tables take no writes",
             .why = "Adding it reads every row of the table and looks up its parent, while writes of both "
                    "tables wait.",
             .lock = "SHARE ROW EXCLUSIVE",
             .fix = "ADD CONSTRAINT ... NOT VALID, and in another transaction VALIDATE CONSTRAINT, which "
                    "lets writes go on",
             .severity = model::Severity::error,
             .violating = {"ALTER TABLE orders ADD CONSTRAINT orders_country FOREIGN KEY (country) "
                           "REFERENCES countries (code) ON DELETE CASCADE;",
                           "ALTER TABLE orders ADD COLUMN origin text DEFAULT 'de' REFERENCES countries;"},
             .accepted = {"ALTER TABLE orders ADD CONSTRAINT orders_country FOREIGN KEY (country) REFERENCES "
                          "countries (code) NOT VALID;",
                          "ALTER TABLE orders ADD COLUMN origin text REFERENCES countries;",
                          "CREATE TABLE fresh (order_id bigint REFERENCES orders);"}},
        .shows = Shows::scan,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
