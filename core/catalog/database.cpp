// Database-wide things: roles, schemas, default privileges, sequences, publications, grants.
#include <algorithm>

#include "catalog/parts.hpp"

namespace pgcarve::catalog {

using sql::Sql;

namespace {

model::Grant grant_of(pg::Row const& row) {
    return {.grantee = row.maybe("grantee").value_or(""),
            .privilege = row.text("privilege"),
            .grantable = row.boolean("grantable"),
            .grantor = row.text("grantor")};
}

// The columns that grant_of() reads, of an aclexplode() named x.
constexpr Sql::Fixed grant_columns{"CASE WHEN x.grantee <> 0 THEN pg_get_userbyid(x.grantee) END AS grantee,"
                                   " x.privilege_type AS privilege, x.is_grantable AS grantable,"
                                   " pg_get_userbyid(x.grantor) AS grantor"};

void read_role(Reading& reading) {
    auto& role = reading.catalog.role;
    auto const row = reading.session.one(Sql{"SELECT current_database() AS database, rolname, rolsuper, rolbypassrls"
                                             " FROM pg_roles WHERE rolname = current_user"});
    reading.catalog.database = row.text("database");
    role.name = row.text("rolname");
    role.superuser = row.boolean("rolsuper");
    role.bypass_rls = role.superuser || row.boolean("rolbypassrls");
    for (auto const r : reading.session.query(
             Sql{"SELECT rolname, pg_has_role(oid, 'USAGE') AS mine FROM pg_roles ORDER BY rolname"})) {
        reading.catalog.roles.push_back(r.text("rolname"));
        if (r.boolean("mine"))
            role.member_of.push_back(r.text("rolname"));
    }
}

} // namespace

void read_database(Reading& reading) {
    read_role(reading);
    auto& catalog = reading.catalog;
    for (auto const row : reading.session.query(
             Sql{"SELECT n.nspname, pg_get_userbyid(n.nspowner) AS owner FROM pg_namespace n WHERE "}
                 .add(user_schema)
                 .add(" ORDER BY n.nspname")))
        catalog.schemas.push_back({row.text("nspname"), row.text("owner"), {}});
    for (auto const row : reading.session.query(
             Sql{"SELECT n.nspname, "}
                 .add(grant_columns)
                 .add(" FROM pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) x WHERE ")
                 .add(user_schema)
                 .add(" ORDER BY 1, 2 NULLS FIRST, 3, 5"))) {
        auto const at = std::ranges::find(catalog.schemas, row.text("nspname"), &model::Schema::name);
        if (at != catalog.schemas.end())
            at->grants.push_back(grant_of(row));
    }
    for (auto const row : reading.session.query(
             Sql{"SELECT d.oid::bigint AS oid, pg_get_userbyid(d.defaclrole) AS creator, n.nspname,"
                 " d.defaclobjtype AS kind, "}
                 .add(grant_columns)
                 .add(" FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace,"
                      " aclexplode(d.defaclacl) x WHERE d.defaclobjtype IN ('r', 'S')"
                      " ORDER BY 2, 3 NULLS FIRST, 4, 5 NULLS FIRST, 6, 8"))) {
        auto const creator = row.text("creator");
        auto const schema = row.maybe("nspname");
        char const kind = row.letter("kind");
        auto& all = catalog.default_privileges;
        if (all.empty() || all.back().creator != creator || all.back().schema != schema || all.back().kind != kind)
            all.push_back({creator, schema, kind, {}});
        all.back().grants.push_back(grant_of(row));
    }
}

void read_sequences(Reading& reading) {
    auto& catalog = reading.catalog;
    std::map<std::uint32_t, std::size_t> at;
    for (auto const row : reading.session.query(
             Sql{"SELECT c.oid::bigint AS oid, n.nspname, c.relname, c.relkind, pg_get_userbyid(c.relowner) AS owner,"
                 " c.relpersistence, format_type(s.seqtypid, NULL) AS type, s.seqstart, s.seqincrement, s.seqmin,"
                 " s.seqmax, s.seqcache, s.seqcycle, d.refobjid::bigint AS owned_table, d.refobjsubid AS owned_column"
                 " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                 " LEFT JOIN pg_sequence s ON s.seqrelid = c.oid"
                 " LEFT JOIN pg_depend d ON s.seqrelid IS NOT NULL AND d.classid = 'pg_class'::regclass"
                 " AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0"
                 " AND d.deptype IN ('a', 'i')"
                 " WHERE c.relkind NOT IN ('r', 'p', 'f', 't') AND c.relpersistence <> 't' AND "}
                 .add(user_schema)
                 .add(" ORDER BY n.nspname COLLATE \"C\", c.relname COLLATE \"C\""))) {
        auto const name = name_of(row, "nspname", "relname");
        catalog.relations.push_back({name, row.letter("relkind"), row.text("owner")});
        if (!row.maybe("seqstart"))
            continue;
        model::Sequence s{.name = name, .owner = row.text("owner"), .type = row.text("type")};
        s.start = row.integer("seqstart");
        s.increment = row.integer("seqincrement");
        s.minimum = row.integer("seqmin");
        s.maximum = row.integer("seqmax");
        s.cache = row.integer("seqcache");
        s.cycle = row.boolean("seqcycle");
        s.persistence = row.letter("relpersistence");
        s.comment = reading.comment("pg_class", oid_of(row, "oid"));
        if (row.maybe("owned_table")) {
            if (auto* const table = reading.table(row, "owned_table")) {
                s.owned_by = table->name;
                for (auto& column : table->columns) {
                    if (column.number == row.integer("owned_column")) {
                        s.owned_by_column = column.name;
                        column.owned_sequence = name;
                    }
                }
            }
        }
        at.emplace(oid_of(row, "oid"), catalog.sequences.size());
        catalog.sequences.push_back(std::move(s));
    }
    for (auto const row : reading.session.query(
             Sql{"SELECT c.oid::bigint AS oid, "}
                 .add(grant_columns)
                 .add(" FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,"
                      " aclexplode(coalesce(c.relacl, acldefault('s', c.relowner))) x"
                      " WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND ")
                 .add(user_schema)
                 .add(" ORDER BY c.oid, 2 NULLS FIRST, 3, 5"))) {
        auto const found = at.find(oid_of(row, "oid"));
        if (found != at.end())
            catalog.sequences[found->second].grants.push_back(grant_of(row));
    }
}

void read_grants(Reading& reading) {
    for (auto const row : reading.session.query(
             Sql{"SELECT c.oid::bigint AS oid, "}
                 .add(grant_columns)
                 .add(" FROM pg_class c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) x WHERE c.oid IN ")
                 .add(user_tables)
                 .add(" ORDER BY c.oid, 2 NULLS FIRST, 3, 5"))) {
        if (auto* const table = reading.table(row, "oid"))
            table->grants.push_back(grant_of(row));
    }
    for (auto const row : reading.session.query(
             Sql{"SELECT a.attrelid::bigint AS oid, a.attnum, "}
                 .add(grant_columns)
                 .add(" FROM pg_attribute a, aclexplode(a.attacl) x"
                      " WHERE a.attacl IS NOT NULL AND a.attnum > 0 AND NOT a.attisdropped AND a.attrelid IN ")
                 .add(user_tables)
                 .add(" ORDER BY 1, 2, 3 NULLS FIRST, 4, 6"))) {
        auto* const table = reading.table(row, "oid");
        if (table == nullptr)
            continue;
        auto const at = std::ranges::find(table->columns, row.integer("attnum"), &model::Column::number);
        if (at != table->columns.end())
            at->grants.push_back(grant_of(row));
    }
}

void read_publications(Reading& reading) {
    auto& catalog = reading.catalog;
    auto const note = [&](std::string const& publication, model::Table const& table, std::string detail) {
        catalog.dependencies.push_back({.kind = "publication",
                                        .name = sql::display_ident(publication),
                                        .object = table.name,
                                        .from = std::nullopt,
                                        .to = table.name,
                                        .detail = std::move(detail)});
    };
    for (auto const row : reading.session.query(
             Sql{"SELECT p.pubname, r.prrelid::bigint AS oid FROM pg_publication_rel r"
                 " JOIN pg_publication p ON p.oid = r.prpubid ORDER BY 1, 2"})) {
        if (auto* const table = reading.table(row, "oid")) {
            table->publications.push_back(row.text("pubname"));
            note(row.text("pubname"), *table, "lists it");
        }
    }
    for (auto const row : reading.session.query(Sql{"SELECT pubname FROM pg_publication WHERE puballtables ORDER BY 1"})) {
        for (auto const& table : catalog.tables)
            note(row.text("pubname"), table, "publishes all tables");
    }
    for (auto const row : reading.session.query(Sql{reading.version.publication_schemas})) {
        for (auto const& table : catalog.tables) {
            if (table.name.schema == row.text("nspname"))
                note(row.text("pubname"), table, "publishes the schema " + sql::display_ident(row.text("nspname")));
        }
    }
}

} // namespace pgcarve::catalog
