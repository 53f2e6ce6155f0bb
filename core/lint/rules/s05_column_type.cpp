#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

// What a stream carries in a column of an enumeration, the other database has to know.
void enumeration(Context const& context) {
    auto const& action = context.action;
    if (context.sync == nullptr || context.state.is_new_type(action.on))
        return;
    for (auto const& synced : context.sync->all()) {
        if (!synced.stream() || !synced.source() || !context.state.may_use(synced.here().table, action.on) || !context.once(action.on.name))
            continue;
        auto const change = action.old_name.empty() ? "ADD VALUE " + sql::literal(action.name)
                                                    : "RENAME VALUE " + sql::literal(action.old_name) + " TO " + sql::literal(action.name);
        context.tell({.span = action.span,
                      .message = synced.text() + ", whose target must know the value first",
                      .fix = "1. ALTER TYPE " + shown(action.on) + " " + change + ", in the service's own database\n2. this migration",
                      .object = shown(action.on)});
    }
}

bool makes_otherwise(Action const& action) {
    if (action.verb != Verb::alter_other || action.object != Object::table || action.words.empty())
        return false;
    auto const& what = action.words[0];
    return what == "AT_DropExpression" || what == "AT_SetExpression" || what == "AT_AddIdentity" || what == "AT_SetIdentity" || what == "AT_DropIdentity";
}

void judge(Context const& context) {
    auto const& action = context.action;
    if (action.verb == Verb::alter_object && action.object == Object::type && !action.name.empty())
        enumeration(context);
    if (action.verb != Verb::alter_type && !makes_otherwise(action))
        return;
    for (auto const& synced : context.synced(action.on)) {
        auto const column = action.columns.empty() ? action.name : action.columns[0];
        context.tell({.span = action.span,
                      .message = synced.text() + (synced.stream() ? ": one side's values need not fit the other's column"
                                                                  : ", which stands on this column"),
                      .object = synced.here().table.display() + "." + column});
    }
}

} // namespace

Rule const& rule_s05() {
    static Rule const rule{
        .about = {.id = "S05",
                  .name = "sync-column-type",
                  .title = "a column changes its type, or how its values are made, under a running sync",
                  .why = "The target cannot take every value of the new type: the stream stops. Under a mirror the server"
                         " refuses it, since the mirror stands on the column. A value of an enumeration that only the "
                         "source knows stops the stream too.",
                  .lock = "",
                  .fix = "a new column of the new type, filled by the application; or after the window",
                  .severity = model::Severity::error,
                  .violating = {"ALTER TABLE orders ALTER COLUMN note TYPE text;",
                                "ALTER TABLE customers ALTER COLUMN id TYPE numeric;",
                                "CREATE TYPE mood AS ENUM ('good'); ALTER TYPE mood ADD VALUE 'bad'; ALTER TABLE customers ALTER"
                         " COLUMN id ADD GENERATED ALWAYS AS IDENTITY;"},
                  .accepted = {"ALTER TABLE order_lines ALTER COLUMN sku TYPE varchar(10);",
                                "CREATE TYPE mood AS ENUM ('good'); ALTER TYPE mood ADD VALUE 'bad';"}},
        .shows = Shows::nothing,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
