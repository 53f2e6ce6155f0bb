// Moves names inside expressions that the server deparsed, and tells whether two of them say
// the same.
//
// Under search_path = pg_catalog every relation in a deparsed text stands as schema.name, so
// the text is read token by token and exactly these pairs are replaced; what stands inside
// literals is left alone, but for regclass constants. Where a schema's name could also be
// the alias of a table, the answer is nullopt and the caller refuses the object.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "sql/ident.hpp"

namespace pgcarve::ddl {

class NameMap {
public:
    void add(sql::QName const& from, sql::QName const& to);
    [[nodiscard]] sql::QName operator()(sql::QName const& from) const; // itself when it does not move
    [[nodiscard]] std::optional<std::string> in(std::string_view text) const;

private:
    std::map<sql::QName, sql::QName> moved_; // only what changes
    std::set<std::string> schemas_;          // of the keys
    std::map<std::string, sql::QName> quoted_; // by display(), as in 'a.b'::regclass
};

// A deparsed text as it reads after having been parsed and deparsed once more: the cast of an ARRAY[…] becomes a cast
// of each element. Everything else is stable.
[[nodiscard]] std::string canonical(std::string_view text);

} // namespace pgcarve::ddl
