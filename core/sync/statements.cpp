#include "sync/statements.hpp"

#include <utility>

#include "sql/builder.hpp"

namespace pgcarve::sync {

using sql::Sql;

namespace {

// (SELECT unnest($1) AS c1, unnest($2) AS c2, …) AS n: the arrays are of one length. As functions in FROM they would be
// laid down row by row before the first one is used.
void rows_of(Sql& sql, std::size_t columns) {
    for (std::size_t i = 1; i <= columns; ++i) {
        auto const number = static_cast<long long>(i);
        sql.add(i > 1 ? Sql::Fixed{", pg_catalog.unnest($"} : Sql::Fixed{"(SELECT pg_catalog.unnest($"}).number(number).add("::text[]) AS c").number(number);
    }
    sql.add(") AS n");
}

// n.c3::type
void value_of(Sql& sql, std::size_t parameter, MappedColumn const& column) {
    sql.add("n.c").number(static_cast<long long>(parameter)).add("::").server_text(column.type);
}

void same_key(Sql& sql, MappedTable const& table) {
    for (std::size_t i = 0; i < table.key.size(); ++i) {
        auto const& column = table.columns[table.key[i]];
        sql.add(i > 0 ? Sql::Fixed{" AND t."} : Sql::Fixed{"t."}).add(sql::Ident{column.name}).add(" = ");
        value_of(sql, i + 1, column);
    }
}

} // namespace

std::string insert_statement(MappedTable const& table, std::vector<std::size_t> const& set) {
    Sql sql{"INSERT INTO "};
    sql.add(table.target).add(" (");
    for (std::size_t i = 0; i < set.size(); ++i)
        sql.add(i > 0 ? Sql::Fixed{", "} : Sql::Fixed{""}).add(sql::Ident{table.columns[set[i]].name});
    sql.add(") OVERRIDING SYSTEM VALUE SELECT ");
    for (std::size_t i = 0; i < set.size(); ++i) {
        if (i > 0)
            sql.add(", ");
        value_of(sql, i + 1, table.columns[set[i]]);
    }
    sql.add(" FROM ");
    rows_of(sql, set.size());
    return sql.text();
}

std::string copy_statement(MappedTable const& table, std::vector<std::size_t> const& set) {
    Sql sql{"COPY "};
    sql.add(table.target).add(" (");
    for (std::size_t i = 0; i < set.size(); ++i)
        sql.add(i > 0 ? Sql::Fixed{", "} : Sql::Fixed{""}).add(sql::Ident{table.columns[set[i]].name});
    return sql.add(") FROM STDIN").text();
}

std::string delete_statement(MappedTable const& table) {
    Sql sql{"DELETE FROM ONLY "};
    sql.add(table.target).add(" AS t USING ");
    rows_of(sql, table.key.size());
    sql.add(" WHERE ");
    same_key(sql, table);
    return sql.text();
}

std::string update_statement(MappedTable const& table, std::vector<std::size_t> const& set) {
    Sql sql{"UPDATE ONLY "};
    sql.add(table.target).add(" AS t SET ");
    bool first = true;
    for (std::size_t i = 0; i < set.size(); ++i) {
        auto const& column = table.columns[set[i]];
        if (column.always_identity)
            continue;
        sql.add(std::exchange(first, false) ? Sql::Fixed{""} : Sql::Fixed{", "}).add(sql::Ident{column.name}).add(" = ");
        value_of(sql, table.key.size() + i + 1, column);
    }
    if (first) { // only an identity, to be looked at
        auto const& column = table.columns[table.key.front()];
        sql.add(sql::Ident{column.name}).add(" = t.").add(sql::Ident{column.name});
    }
    sql.add(" FROM ");
    rows_of(sql, table.key.size() + set.size());
    sql.add(" WHERE ");
    same_key(sql, table);
    for (std::size_t i = 0; i < set.size(); ++i) {
        auto const& column = table.columns[set[i]];
        if (!column.always_identity)
            continue;
        sql.add(" AND t.").add(sql::Ident{column.name}).add(" = ");
        value_of(sql, table.key.size() + i + 1, column);
    }
    return sql.text();
}

std::string truncate_statement(std::vector<MappedTable const*> const& tables, bool restart_identity) {
    Sql sql{"TRUNCATE "};
    for (std::size_t i = 0; i < tables.size(); ++i)
        sql.add(i > 0 ? Sql::Fixed{", ONLY "} : Sql::Fixed{"ONLY "}).add(tables[i]->target);
    if (restart_identity)
        sql.add(" RESTART IDENTITY");
    return sql.text();
}

} // namespace pgcarve::sync
