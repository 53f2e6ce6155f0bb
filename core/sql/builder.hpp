// Builds one SQL command whose text can only come from source code.
//
// Fixed text is accepted only from compile-time literals, names are quoted, values become
// $n parameters or quoted literals (DDL takes no parameters). What the server itself
// deparsed (pg_get_expr and friends) enters through `server_text`, named so that a reader
// sees it at once.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sql/ident.hpp"

namespace pgcarve::sql {

class Sql {
public:
    struct Fixed { // only text known at compile time fits in here
        // NOLINTNEXTLINE(google-explicit-constructor): the point is that literals convert
        consteval Fixed(char const* t) : text{t} {}
        std::string_view text;
    };

    Sql() = default;
    explicit Sql(Fixed text) { add(text); }

    Sql& add(Fixed text);
    Sql& add(Ident const& name);
    Sql& add(QName const& name);
    Sql& add(Sql const& other); // REQUIRES: `other` binds no values
    Sql& bind(std::optional<std::string> value); // becomes $1, $2, …
    Sql& literal(std::string_view value);        // a quoted literal, for DDL
    Sql& number(long long value);
    // Text that the server produced (pg_get_constraintdef, format_type …), never a user's.
    Sql& server_text(std::string_view text);
    // "a", "b", "c" with an optional alias before each: x."a", x."b".
    Sql& names(std::span<std::string const> columns, std::string_view alias = {});

    [[nodiscard]] std::string const& text() const noexcept { return text_; }
    [[nodiscard]] std::vector<std::optional<std::string>> const& values() const noexcept { return values_; }

private:
    std::string text_;
    std::vector<std::optional<std::string>> values_;
};

} // namespace pgcarve::sql
