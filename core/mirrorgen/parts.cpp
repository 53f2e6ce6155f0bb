#include <algorithm>

#include "mirrorgen/parts.hpp"

namespace pgcarve::mirrorgen {

using sql::Sql;

sql::QName function_name(sql::QName const& table, std::string_view what) {
    // Quoted parts keep "a.b"."c" and "a"."b.c" apart.
    auto const base = "pgcarve_" + table.display();
    return {"pgcarve", sql::bounded_name(base, "_" + std::string{what})};
}

sql::QName view_name(sql::QName const& table) {
    return function_name(table, "rows");
}

Spec through_views(Spec spec) {
    spec.authority = view_name(spec.authority);
    spec.follower = view_name(spec.follower);
    return spec;
}

std::vector<View> views_of(Spec const& spec) {
    auto columns = spec.columns;
    for (auto const& key : spec.key) {
        if (std::ranges::find(columns, key.name) == columns.end()) // a generated column can be a key
            columns.push_back(key.name);
    }
    return {{view_name(spec.authority), spec.authority, columns}, {view_name(spec.follower), spec.follower, columns}};
}

Sql same_key(std::span<KeyColumn const> key, std::string_view a, std::string_view b) {
    Sql sql;
    for (std::size_t i = 0; i < key.size(); ++i) {
        auto const name = sql::Ident{key[i].name};
        sql.add(i > 0 ? Sql::Fixed{" AND "} : Sql::Fixed{""});
        sql.server_text(a).add(".").add(name).add(" ").server_text(key[i].equals).add(" ").server_text(b).add(".").add(name);
    }
    return sql;
}

std::vector<std::string> names_of(std::span<KeyColumn const> key) {
    std::vector<std::string> names;
    for (auto const& column : key)
        names.push_back(column.name);
    return names;
}

Sql exists(sql::QName const& table, std::span<KeyColumn const> key, std::string_view alias, std::string_view other) {
    Sql sql{"EXISTS (SELECT FROM "};
    // OFFSET 0 keeps it a correlated subquery: one index probe a row, never a hash of the whole table.
    return sql.add(table).add(" AS ").server_text(alias).add(" WHERE ").add(same_key(key, alias, other)).add(" OFFSET 0)");
}

} // namespace pgcarve::mirrorgen
