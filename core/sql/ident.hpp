// SQL names and literals, quoted so that no name can become syntax.
#pragma once

#include <compare>
#include <string>
#include <string_view>

namespace pgcarve::sql {

// One identifier, always quoted when written: "Order Lines", with quotes doubled.
struct Ident {
    std::string name;
    auto operator<=>(Ident const&) const = default;
    [[nodiscard]] std::string quoted() const;
};

// schema.name. `quoted()` is for SQL, `display()` for people: unquoted where PostgreSQL would not need quotes.
struct QName {
    std::string schema;
    std::string name;
    auto operator<=>(QName const&) const = default;
    [[nodiscard]] std::string quoted() const;
    [[nodiscard]] std::string display() const;
};

[[nodiscard]] std::string quote_ident(std::string_view name);
// As the server's quote_ident(): quotes only where needed (not all lower case letters, digits, _; or a keyword).
[[nodiscard]] std::string display_ident(std::string_view name);
// A string literal; safe whatever standard_conforming_strings says.
[[nodiscard]] std::string literal(std::string_view value);

// `base` + `suffix` cut to PostgreSQL's 63 bytes: a name too long keeps a prefix and gets a hash of the whole,
// so that two long names stay different. Never cuts inside a UTF-8 sequence.
[[nodiscard]] std::string bounded_name(std::string_view base, std::string_view suffix = {});

} // namespace pgcarve::sql
