// Finds the tables that a function's text names. Pure.
//
// A search, not a parser: comments are skipped, string literals are read like code (dynamic
// SQL lives in them), names are compared as SQL would fold them. A name counts when it
// stands alone or behind its own schema; a column or variable that happens to be called
// like a table is found too, so what is found is never certain.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "sql/ident.hpp"

namespace pgcarve::catalog {

class TableNames {
public:
    explicit TableNames(std::vector<sql::QName> const& tables);
    [[nodiscard]] std::set<sql::QName> mentioned(std::string_view source) const;
    // The same; true: the text says the schema too, at least once.
    [[nodiscard]] std::map<sql::QName, bool> mentions(std::string_view source) const;

private:
    std::set<sql::QName> qualified_;
    std::multimap<std::string, sql::QName> by_name_;
};

} // namespace pgcarve::catalog
