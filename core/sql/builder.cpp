#include "sql/builder.hpp"

#include <utility>

#include <fmt/format.h>

#include "base/error.hpp"

namespace pgcarve::sql {

Sql& Sql::add(Fixed text) {
    text_ += text.text;
    return *this;
}

Sql& Sql::add(Ident const& name) {
    text_ += name.quoted();
    return *this;
}

Sql& Sql::add(QName const& name) {
    text_ += name.quoted();
    return *this;
}

Sql& Sql::add(Sql const& other) {
    if (!other.values_.empty())
        base::bug("a fragment with bound values was added to a statement");
    text_ += other.text_;
    return *this;
}

Sql& Sql::bind(std::optional<std::string> value) {
    values_.push_back(std::move(value));
    text_ += fmt::format("${}", values_.size());
    return *this;
}

Sql& Sql::literal(std::string_view value) {
    text_ += sql::literal(value);
    return *this;
}

Sql& Sql::number(long long value) {
    text_ += std::to_string(value);
    return *this;
}

Sql& Sql::server_text(std::string_view text) {
    text_ += text;
    return *this;
}

Sql& Sql::names(std::span<std::string const> columns, std::string_view alias) {
    for (std::size_t i = 0; i < columns.size(); ++i) {
        if (i > 0)
            text_ += ", ";
        if (!alias.empty()) {
            text_ += alias;
            text_ += '.';
        }
        text_ += quote_ident(columns[i]);
    }
    return *this;
}

} // namespace pgcarve::sql
