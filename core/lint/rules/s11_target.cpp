#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

std::string asks_more(Action const& action) {
    switch (action.verb) {
    case Verb::add_constraint:
        return "a constraint that its source may not have";
    case Verb::set_not_null:
        return "its source may hold NULL";
    case Verb::enable_trigger:
        return "its triggers stay off until it takes the writes itself";
    case Verb::add_column: {
        auto const& column = action.definitions[0];
        if (column.check || column.unique || column.primary || column.foreign_key)
            return "a constraint that its source may not have";
        return column.not_null && column.default_value == Volatility::none && !column.identity && !column.serial
                   ? "a column that every row must fill, and the source has none"
                   : "";
    }
    case Verb::create:
        if (action.object == Object::index)
            return action.unique ? "a unique index that its source may not have" : "";
        return action.object == Object::trigger ? "a trigger that fires on the sync's own writes"
               : action.object == Object::rule  ? "a rule that rewrites the sync's own writes"
                                                : "";
    case Verb::insert:
    case Verb::update:
    case Verb::remove:
    case Verb::merge:
    case Verb::truncate:
    case Verb::copy:
        return "only the sync writes there";
    default:
        return "";
    }
}

void judge(Context const& context) {
    auto const& action = context.action;
    auto const what = asks_more(action);
    if (what.empty())
        return;
    for (auto const& synced : context.synced(action.on)) {
        if (!synced.source())
            context.tell({.span = action.span, .message = synced.text() + ": " + what, .object = synced.here().table.display()});
    }
}

} // namespace

Rule const& rule_s11() {
    static Rule const rule{
        .about = {.id = "S11",
                  .name = "sync-target",
                  .title = "the target of a running sync takes less than its source gives, or does more",
                  .why = "The target has to take every row that the source has. A constraint or a trigger that only it "
                         "has stops the stream; under a mirror the application's write fails. Rows of the target are the "
                         "sync's: the mirror's fence refuses the writes of others, and a stream stops at what it did not "
                         "write.",
                  .lock = "",
                  .fix = "make the constraint at the source first; triggers, and writes, after the cutover",
                  .severity = model::Severity::error,
                  .violating = {"ALTER TABLE checkout.orders ADD CONSTRAINT total CHECK (total > 0) NOT VALID;",
                                "CREATE UNIQUE INDEX CONCURRENTLY u ON checkout.orders (customer_id);",
                                "ALTER TABLE checkout.orders ALTER COLUMN note SET NOT NULL;",
                                "CREATE TRIGGER t BEFORE INSERT ON checkout.orders FOR EACH ROW EXECUTE FUNCTION touch();",
                                "UPDATE checkout.orders SET note = 'x' WHERE id = 1;",
                                "ALTER TABLE checkout.orders ADD COLUMN kind text NOT NULL;"},
                  .accepted = {"ALTER TABLE orders ADD CONSTRAINT total CHECK (total > 0) NOT VALID;",
                                "CREATE INDEX CONCURRENTLY i ON checkout.orders (customer_id);",
                                "ALTER TABLE checkout.orders ADD COLUMN kind text NOT NULL DEFAULT 'x';"}},
        .shows = Shows::nothing,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
