#include "lint/hygiene.hpp"

namespace pgcarve::lint {

namespace {

void tell(Context const& context, std::string const& name, std::string const& object) {
    if (auto const quoted = sql::display_ident(name); !name.empty() && quoted != name)
        context.tell({.span = context.action.span, .message = "the name " + quoted + " has to be quoted for ever", .object = object});
}

void judge(Context const& context) {
    auto const& action = context.action;
    for (auto const& column : context.new_columns())
        tell(context, column.name, column_of(context, column.name));
    if (action.temporary)
        return;
    bool const makes = action.verb == Verb::create || action.verb == Verb::create_as;
    bool const on_table = action.object == Object::index || action.object == Object::trigger || action.object == Object::policy ||
                          action.object == Object::rule;
    if (makes && !on_table)
        tell(context, action.on.name, context.table());
    if ((makes && on_table) || action.verb == Verb::rename || action.verb == Verb::add_constraint)
        tell(context, action.name, context.table());
    for (auto const& constraint : action.constraints)
        tell(context, constraint.name, context.table());
}

} // namespace

Rule const& rule_h09() {
    static Rule const rule{
        .about = {.id = "H09",
                  .name = "name-needs-quotes",
                  .title = "a name that has to be quoted",
                  .why = "A name with capitals, blanks or the word of a command has to be quoted in every "
                         "statement for ever; unquoted it is another name, or a syntax error.",
                  .lock = "",
                  .fix = "lower case letters, digits and underscores, and no word of SQL",
                  .severity = model::Severity::off,
                  .violating = {"CREATE TABLE \"Fresh\" (id bigint PRIMARY KEY);",
                                "ALTER TABLE orders ADD COLUMN \"createdAt\" timestamptz;",
                                "ALTER TABLE orders ADD COLUMN \"order\" int;",
                                "ALTER TABLE orders RENAME COLUMN note TO \"Note\";"},
                  .accepted = {"CREATE TABLE fresh (id bigint PRIMARY KEY);",
                               "CREATE TABLE Fresh (Id bigint PRIMARY KEY);",
                               "ALTER TABLE orders ADD COLUMN \"created_at\" timestamptz;"}},
        .shows = Shows::nothing,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
