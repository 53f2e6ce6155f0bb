// The reader's parts, one per group of catalogs; only reader.cpp uses them.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "catalog/version.hpp"
#include "model/catalog.hpp"
#include "pg/session.hpp"

namespace pgcarve::catalog {

// What the parts share: the catalog being filled, and its tables by oid (stable, since the
// list of tables is complete before any other part runs).
struct Reading {
    pg::Session& session;
    VersionText version;
    model::Catalog catalog;
    std::unordered_map<std::uint32_t, model::Table*> by_oid;
    std::map<std::tuple<std::string, std::uint32_t, int>, std::string> comments; // catalog, object, column

    [[nodiscard]] model::Table* table(pg::Row const& row, std::string_view column) const;
    [[nodiscard]] std::optional<std::string> comment(std::string const& catalog_name, std::uint32_t object, int column = 0) const;
};

[[nodiscard]] std::uint32_t oid_of(pg::Row const& row, std::string_view column);
[[nodiscard]] sql::QName name_of(pg::Row const& row, std::string_view schema, std::string_view name);

// The subquery of the oids of the tables that are read, and of schemas that count.
inline constexpr sql::Sql::Fixed user_schema{
    "(n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pgcarve'))"};
inline constexpr sql::Sql::Fixed user_tables{
    "(SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't'"
    " AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pgcarve')"
    " AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid"
    " AND e.deptype = 'e'))"};

void read_database(Reading& reading);  // database, roles, schemas, default privileges
void read_tables(Reading& reading);    // tables with what stands in pg_class; comments
void read_columns(Reading& reading);
void read_constraints(Reading& reading);
void read_indexes(Reading& reading);
void read_triggers(Reading& reading);
void read_policies(Reading& reading);
void read_statistics(Reading& reading);
void read_sequences(Reading& reading); // needs the columns; also the other relations
void read_grants(Reading& reading);    // of tables and columns
void read_publications(Reading& reading);
void read_dependencies(Reading& reading); // last

} // namespace pgcarve::catalog
