// The pieces of catalog queries that depend on the server's version, chosen in one place.
// Pure, so that every version's choice is tested without a server.
#pragma once

#include "sql/builder.hpp"

namespace pgcarve::catalog {

struct VersionText {
    sql::Sql::Fixed compression;         // of pg_attribute a; '' before 14
    sql::Sql::Fixed enforced;            // of pg_constraint c; true before 18
    sql::Sql::Fixed period;              // of pg_constraint c; false before 18
    sql::Sql::Fixed set_columns;         // of pg_constraint c: column numbers; none before 15
    sql::Sql::Fixed publication_schemas; // a query of (pubname, nspname); empty before 15
    sql::Sql::Fixed string_body;         // condition on pg_proc p: its body is the text in prosrc
    sql::Sql::Fixed collation;           // of pg_collation c: collate, ctype, locale, rules
    sql::Sql::Fixed multirange;          // of pg_range r: multirange_schema, multirange_name; NULL before 14
};

// `version` as server_version_num. Throws "server-version" (exit 2) outside of 13 … 18.
[[nodiscard]] VersionText version_text(int version);

} // namespace pgcarve::catalog
