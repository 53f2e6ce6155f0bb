#include "lint/hygiene.hpp"

namespace pgcarve::lint {

namespace {

void tell_type(Context const& context, std::string const& column, Type const& type, std::string_view because) {
    auto const name = column_of(context, column);
    context.tell({.span = context.action.span, .message = name + " is " + type.text() + ": " + std::string{because}, .object = name});
}

} // namespace

bool is_builtin(Type const& type, std::string_view name) {
    return type.name.schema.empty() && type.name.name == name;
}

std::string column_of(Context const& context, std::string const& column) {
    return context.table() + "." + sql::display_ident(column);
}

void tell_types(Context const& context, bool (*is)(Type const&), std::string_view because) {
    for (auto const& column : context.new_columns()) {
        if (is(column.type))
            tell_type(context, column.name, column.type, because);
    }
    auto const& action = context.action;
    if (action.verb == Verb::alter_type && !action.columns.empty() && is(action.type))
        tell_type(context, action.columns[0], action.type, because);
}

} // namespace pgcarve::lint
