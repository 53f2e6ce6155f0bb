#include "lint/catalog_text.hpp"

namespace pgcarve::lint {

namespace {

void add_table(std::string& out, model::Table const& table) {
    auto const name = table.name.quoted();
    out += "CREATE TABLE " + name + " (";
    bool first = true;
    for (auto const& column : table.columns) {
        out += (first ? "" : ", ") + sql::quote_ident(column.name) + " " + column.type + (column.not_null ? " NOT NULL" : "");
        first = false;
    }
    out += ")";
    if (table.kind == 'p' && table.partition_key)
        out += " PARTITION BY " + *table.partition_key;
    out += ";\n";
}

void add_parts(std::string& out, model::Table const& table) {
    auto const name = table.name.quoted();
    if (table.partition_of && table.partition_bound)
        out += "ALTER TABLE " + table.partition_of->quoted() + " ATTACH PARTITION " + name + " " + *table.partition_bound + ";\n";
    for (auto const& constraint : table.constraints) {
        if (constraint.type == 't' || constraint.type == 'n') // a trigger's; the column says NOT NULL itself
            continue;
        out += "ALTER TABLE " + name + " ADD CONSTRAINT " + sql::quote_ident(constraint.name) + " " + constraint.definition + ";\n";
    }
    for (auto const& index : table.indexes)
        out += index.definition + ";\n";
}

} // namespace

std::string catalog_text(model::Catalog const& catalog) {
    std::string out;
    for (auto const& table : catalog.tables)
        add_table(out, table);
    for (auto const& table : catalog.tables)
        add_parts(out, table);
    return out;
}

} // namespace pgcarve::lint
