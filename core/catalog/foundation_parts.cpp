#include "catalog/foundation_parts.hpp"

#include <algorithm>

#include "catalog/parts.hpp"

namespace pgcarve::catalog {

using model::Foundation;
using sql::Sql;

std::string oid_array(Oids const& oids) {
    std::vector<std::string> items;
    items.reserve(oids.size());
    for (auto const oid : oids)
        items.push_back(std::to_string(oid));
    return pg::format_array(items);
}

namespace {

using Ids = std::map<std::pair<std::string, std::uint32_t>, std::string>;

class Describer {
public:
    Describer(pg::Session& session, Foundation& out, OidsByClass const& oids)
        : session_{session}, version_{version_text(session.server_version())}, out_{out}, oids_{oids} {}

    Ids run() {
        collations();
        enums();
        domains();
        composites();
        ranges();
        functions();
        sequences();
        dictionaries();
        configurations();
        return std::move(ids_);
    }

private:
    [[nodiscard]] std::string of(std::string const& name) const {
        auto const at = oids_.find(name);
        return at == oids_.end() ? "{}" : oid_array(at->second);
    }
    void known(std::string const& name, pg::Row const& row, std::string id) {
        ids_.insert_or_assign({name, oid_of(row, "oid")}, std::move(id));
    }

    void collations() {
        for (auto const row : session_.query(
                 Sql{"SELECT c.oid::bigint AS oid, n.nspname, c.collname, c.collprovider, c.collisdeterministic, "}
                     .add(version_.collation)
                     .add(", pg_collation_actual_version(c.oid) AS version, obj_description(c.oid, 'pg_collation') AS comment"
                          " FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace WHERE c.oid = ANY (")
                     .bind(of("pg_collation"))
                     .add("::oid[]) ORDER BY 2, 3"))) {
            model::Collation c;
            c.name = name_of(row, "nspname", "collname");
            c.provider = row.letter("collprovider");
            c.deterministic = row.boolean("collisdeterministic");
            if (c.provider == 'c') {
                c.collate = row.maybe("collate");
                c.ctype = row.maybe("ctype");
            } else {
                c.locale = row.maybe("locale");
            }
            c.rules = row.maybe("rules");
            c.version = row.maybe("version");
            c.comment = row.maybe("comment");
            known("pg_collation", row, "collation:" + c.name.display());
            out_.collations.push_back(std::move(c));
        }
    }

    void enums() {
        for (auto const row : session_.query(
                 Sql{"SELECT t.oid::bigint AS oid, n.nspname, t.typname, obj_description(t.oid, 'pg_type') AS comment,"
                     " ARRAY(SELECT e.enumlabel FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder) AS labels"
                     " FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype = 'e' AND t.oid = ANY ("}
                     .bind(of("pg_type"))
                     .add("::oid[]) ORDER BY 2, 3"))) {
            auto const name = name_of(row, "nspname", "typname");
            known("pg_type", row, "type:" + name.display());
            out_.enums.push_back({name, row.array("labels"), row.maybe("comment")});
        }
    }

    void domains() {
        std::map<std::uint32_t, std::size_t> at;
        for (auto const row : session_.query(
                 Sql{"SELECT t.oid::bigint AS oid, n.nspname, t.typname, format_type(t.typbasetype, t.typtypmod) AS base,"
                     " CASE WHEN t.typcollation <> 0 AND t.typcollation <> b.typcollation"
                     " THEN quote_ident(cn.nspname) || '.' || quote_ident(co.collname) END AS collation,"
                     " pg_get_expr(t.typdefaultbin, 0) AS default_expr, t.typnotnull,"
                     " obj_description(t.oid, 'pg_type') AS comment FROM pg_type t"
                     " JOIN pg_namespace n ON n.oid = t.typnamespace JOIN pg_type b ON b.oid = t.typbasetype"
                     " LEFT JOIN pg_collation co ON co.oid = t.typcollation LEFT JOIN pg_namespace cn ON cn.oid = co.collnamespace"
                     " WHERE t.typtype = 'd' AND t.oid = ANY ("}
                     .bind(of("pg_type"))
                     .add("::oid[]) ORDER BY 2, 3"))) {
            model::Domain d;
            d.name = name_of(row, "nspname", "typname");
            d.base = row.text("base");
            d.collation = row.maybe("collation");
            d.default_expr = row.maybe("default_expr");
            d.not_null = row.boolean("typnotnull");
            d.comment = row.maybe("comment");
            known("pg_type", row, "type:" + d.name.display());
            at.emplace(oid_of(row, "oid"), out_.domains.size());
            out_.domains.push_back(std::move(d));
        }
        for (auto const row : session_.query(
                 Sql{"SELECT contypid::bigint AS oid, conname, pg_get_constraintdef(oid) AS definition FROM pg_constraint"
                     " WHERE contype = 'c' AND contypid = ANY ("}
                     .bind(of("pg_type"))
                     .add("::oid[]) ORDER BY contypid, conname COLLATE \"C\"")))
            out_.domains[at.at(oid_of(row, "oid"))].checks.push_back({row.text("conname"), row.text("definition")});
    }

    void composites() {
        std::map<std::uint32_t, std::size_t> at;
        for (auto const row : session_.query(
                 Sql{"SELECT t.oid::bigint AS oid, t.typrelid::bigint AS relation, n.nspname, t.typname,"
                     " obj_description(t.oid, 'pg_type') AS comment FROM pg_type t"
                     " JOIN pg_namespace n ON n.oid = t.typnamespace JOIN pg_class c ON c.oid = t.typrelid AND c.relkind = 'c'"
                     " WHERE t.oid = ANY ("}
                     .bind(of("pg_type"))
                     .add("::oid[]) ORDER BY 3, 4"))) {
            auto const name = name_of(row, "nspname", "typname");
            known("pg_type", row, "type:" + name.display());
            ids_.insert_or_assign({"pg_class", oid_of(row, "relation")}, "type:" + name.display());
            at.emplace(oid_of(row, "oid"), out_.composites.size());
            out_.composites.push_back({name, {}, row.maybe("comment")});
        }
        for (auto const row : session_.query(
                 Sql{"SELECT c.reltype::bigint AS oid, a.attname, format_type(a.atttypid, a.atttypmod) AS type,"
                     " CASE WHEN a.attcollation <> 0 AND a.attcollation <> b.typcollation"
                     " THEN quote_ident(cn.nspname) || '.' || quote_ident(co.collname) END AS collation"
                     " FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
                     " JOIN pg_type b ON b.oid = a.atttypid LEFT JOIN pg_collation co ON co.oid = a.attcollation"
                     " LEFT JOIN pg_namespace cn ON cn.oid = co.collnamespace WHERE c.relkind = 'c' AND c.reltype = ANY ("}
                     .bind(of("pg_type"))
                     .add("::oid[]) ORDER BY c.reltype, a.attnum")))
            out_.composites[at.at(oid_of(row, "oid"))].attributes.push_back({row.text("attname"), row.text("type"), row.maybe("collation")});
    }

    void ranges() {
        for (auto const row : session_.query(
                 Sql{"SELECT t.oid::bigint AS oid, n.nspname, t.typname, format_type(r.rngsubtype, NULL) AS subtype,"
                     " CASE WHEN NOT o.opcdefault THEN quote_ident(opn.nspname) || '.' || quote_ident(o.opcname) END AS opclass,"
                     " CASE WHEN r.rngcollation <> 0 AND r.rngcollation <> b.typcollation"
                     " THEN quote_ident(cn.nspname) || '.' || quote_ident(co.collname) END AS collation,"
                     " CASE WHEN r.rngcanonical <> 0 THEN r.rngcanonical::regprocedure::text END AS canonical,"
                     " CASE WHEN r.rngsubdiff <> 0 THEN quote_ident(fn.nspname) || '.' || quote_ident(f.proname) END AS difference, "}
                     .add(version_.multirange)
                     .add(", obj_description(t.oid, 'pg_type') AS comment FROM pg_range r JOIN pg_type t ON t.oid = r.rngtypid"
                          " JOIN pg_namespace n ON n.oid = t.typnamespace JOIN pg_type b ON b.oid = r.rngsubtype"
                          " JOIN pg_opclass o ON o.oid = r.rngsubopc JOIN pg_namespace opn ON opn.oid = o.opcnamespace"
                          " LEFT JOIN pg_collation co ON co.oid = r.rngcollation LEFT JOIN pg_namespace cn ON cn.oid = co.collnamespace"
                          " LEFT JOIN pg_proc f ON f.oid = r.rngsubdiff::oid LEFT JOIN pg_namespace fn ON fn.oid = f.pronamespace"
                          " WHERE t.oid = ANY (")
                     .bind(of("pg_type"))
                     .add("::oid[]) ORDER BY 2, 3"))) {
            model::Range r;
            r.name = name_of(row, "nspname", "typname");
            r.subtype = row.text("subtype");
            r.opclass = row.maybe("opclass");
            r.collation = row.maybe("collation");
            r.canonical = row.maybe("canonical");
            r.difference = row.maybe("difference");
            if (row.maybe("multirange_name"))
                r.multirange = name_of(row, "multirange_schema", "multirange_name");
            r.comment = row.maybe("comment");
            known("pg_type", row, "type:" + r.name.display());
            out_.ranges.push_back(std::move(r));
        }
    }

    void functions() {
        std::map<std::uint32_t, std::size_t> at;
        for (auto const row : session_.query(
                 Sql{"SELECT p.oid::bigint AS oid, n.nspname, p.proname, p.oid::regprocedure::text AS signature, p.prokind,"
                     " l.lanname, pg_get_functiondef(p.oid) AS definition, p.prorettype = 'trigger'::regtype AS is_trigger, "}
                     .add(version_.string_body)
                     .add(" AS string_body, pg_get_userbyid(p.proowner) AS owner, (SELECT substr(s, 13) FROM unnest(p.proconfig) s"
                          " WHERE s ~ '^search_path=') AS search_path, obj_description(p.oid, 'pg_proc') AS comment"
                          " FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang"
                          " WHERE p.prokind <> 'a' AND p.oid = ANY (")
                     .bind(of("pg_proc"))
                     .add("::oid[]) ORDER BY p.oid::regprocedure::text COLLATE \"C\""))) {
            model::Function f;
            f.name = name_of(row, "nspname", "proname");
            f.signature = row.text("signature");
            f.kind = row.letter("prokind");
            f.language = row.text("lanname");
            f.definition = row.text("definition");
            f.is_trigger = row.boolean("is_trigger");
            f.string_body = row.boolean("string_body");
            f.owner = row.text("owner");
            f.search_path = row.maybe("search_path");
            f.comment = row.maybe("comment");
            known("pg_proc", row, "function:" + f.signature);
            at.emplace(oid_of(row, "oid"), out_.functions.size());
            out_.functions.push_back(std::move(f));
        }
        for (auto const row : session_.query(
                 Sql{"SELECT p.oid::bigint AS oid, CASE WHEN x.grantee <> 0 THEN pg_get_userbyid(x.grantee) END AS grantee,"
                     " x.privilege_type AS privilege, x.is_grantable AS grantable FROM pg_proc p,"
                     " aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) x WHERE p.prokind <> 'a' AND p.oid = ANY ("}
                     .bind(of("pg_proc"))
                     .add("::oid[]) ORDER BY 1, 2 NULLS FIRST, 3, 4")))
            out_.functions[at.at(oid_of(row, "oid"))].grants.push_back(
                {row.maybe("grantee").value_or(""), row.text("privilege"), row.boolean("grantable"), {}});
    }

    void sequences() {
        for (auto const row : session_.query(
                 Sql{"SELECT c.oid::bigint AS oid, n.nspname, c.relname, pg_get_userbyid(c.relowner) AS owner, c.relpersistence,"
                     " format_type(s.seqtypid, NULL) AS type, s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle,"
                     " obj_description(c.oid, 'pg_class') AS comment FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid"
                     " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY ("}
                     .bind(of("pg_class"))
                     .add("::oid[]) ORDER BY 2, 3"))) {
            model::Sequence s{.name = name_of(row, "nspname", "relname"), .owner = row.text("owner"), .type = row.text("type")};
            s.start = row.integer("seqstart");
            s.increment = row.integer("seqincrement");
            s.minimum = row.integer("seqmin");
            s.maximum = row.integer("seqmax");
            s.cache = row.integer("seqcache");
            s.cycle = row.boolean("seqcycle");
            s.persistence = row.letter("relpersistence");
            s.comment = row.maybe("comment");
            known("pg_class", row, "sequence:" + s.name.display());
            auto const oid = oid_of(row, "oid");
            for (auto const grant : session_.query(
                     Sql{"SELECT CASE WHEN x.grantee <> 0 THEN pg_get_userbyid(x.grantee) END AS grantee, x.privilege_type AS privilege,"
                         " x.is_grantable AS grantable FROM pg_class c, aclexplode(coalesce(c.relacl, acldefault('s', c.relowner))) x"
                         " WHERE c.oid = "}
                         .number(oid)
                         .add(" ORDER BY 1 NULLS FIRST, 2, 3")))
                s.grants.push_back({grant.maybe("grantee").value_or(""), grant.text("privilege"), grant.boolean("grantable"), {}});
            out_.sequences.push_back(std::move(s));
        }
    }

    void dictionaries() {
        for (auto const row : session_.query(
                 Sql{"SELECT d.oid::bigint AS oid, n.nspname, d.dictname, quote_ident(tn.nspname) || '.' || quote_ident(t.tmplname) AS template,"
                     " d.dictinitoption, obj_description(d.oid, 'pg_ts_dict') AS comment FROM pg_ts_dict d"
                     " JOIN pg_namespace n ON n.oid = d.dictnamespace JOIN pg_ts_template t ON t.oid = d.dicttemplate"
                     " JOIN pg_namespace tn ON tn.oid = t.tmplnamespace WHERE d.oid = ANY ("}
                     .bind(of("pg_ts_dict"))
                     .add("::oid[]) ORDER BY 2, 3"))) {
            auto const name = name_of(row, "nspname", "dictname");
            known("pg_ts_dict", row, "dictionary:" + name.display());
            out_.dictionaries.push_back({name, row.text("template"), row.maybe("dictinitoption"), row.maybe("comment")});
        }
    }

    void configurations() {
        std::map<std::uint32_t, std::size_t> at;
        for (auto const row : session_.query(
                 Sql{"SELECT c.oid::bigint AS oid, n.nspname, c.cfgname, quote_ident(pn.nspname) || '.' || quote_ident(p.prsname) AS parser,"
                     " obj_description(c.oid, 'pg_ts_config') AS comment FROM pg_ts_config c JOIN pg_namespace n ON n.oid = c.cfgnamespace"
                     " JOIN pg_ts_parser p ON p.oid = c.cfgparser JOIN pg_namespace pn ON pn.oid = p.prsnamespace WHERE c.oid = ANY ("}
                     .bind(of("pg_ts_config"))
                     .add("::oid[]) ORDER BY 2, 3"))) {
            auto const name = name_of(row, "nspname", "cfgname");
            known("pg_ts_config", row, "configuration:" + name.display());
            at.emplace(oid_of(row, "oid"), out_.configurations.size());
            out_.configurations.push_back({name, row.text("parser"), {}, row.maybe("comment")});
        }
        for (auto const row : session_.query(
                 Sql{"SELECT m.mapcfg::bigint AS oid, t.alias, array_agg(quote_ident(n.nspname) || '.' || quote_ident(d.dictname)"
                     " ORDER BY m.mapseqno) AS dictionaries FROM pg_ts_config_map m JOIN pg_ts_config c ON c.oid = m.mapcfg"
                     " JOIN LATERAL ts_token_type(c.cfgparser) t ON t.tokid = m.maptokentype JOIN pg_ts_dict d ON d.oid = m.mapdict"
                     " JOIN pg_namespace n ON n.oid = d.dictnamespace WHERE m.mapcfg = ANY ("}
                     .bind(of("pg_ts_config"))
                     .add("::oid[]) GROUP BY 1, 2 ORDER BY 1, 2")))
            out_.configurations[at.at(oid_of(row, "oid"))].mappings.emplace_back(row.text("alias"), row.array("dictionaries"));
    }

    pg::Session& session_;
    VersionText version_;
    Foundation& out_;
    OidsByClass const& oids_;
    Ids ids_;
};

} // namespace

Ids describe(pg::Session& session, Foundation& out, OidsByClass const& oids) { return Describer{session, out, oids}.run(); }

void describe_database(pg::Session& session, Foundation& out) {
    out.server_version = session.server_version();
    auto const database = session.one(
        Sql{"SELECT pg_encoding_to_char(d.encoding) AS encoding, d.datcollate || ' ' || d.datctype AS locale,"
            " has_database_privilege(d.oid, 'CREATE') AS may_create FROM pg_database d WHERE d.datname = current_database()"});
    out.encoding = database.text("encoding");
    out.locale = database.text("locale");
    out.may_create_schemas = database.boolean("may_create");
    for (auto const row : session.query(
             Sql{"SELECT n.nspname, pg_get_userbyid(n.nspowner) AS owner, has_schema_privilege(n.oid, 'CREATE') AS may_create,"
                 " has_schema_privilege(n.oid, 'USAGE') AS may_use FROM pg_namespace n WHERE n.nspname !~ '^pg_(toast|temp)' ORDER BY 1"}))
        out.schemas.push_back({row.text("nspname"), row.text("owner"), row.boolean("may_create"), row.boolean("may_use")});
    for (auto const row : session.query(
             Sql{"SELECT e.extname, e.extversion, n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace ORDER BY 1"}))
        out.extensions.push_back({row.text("extname"), row.text("extversion"), row.text("nspname")});
    for (auto const row : session.query(
             Sql{"SELECT v.name, v.version, v.schema IS NOT NULL AS fixed_schema, (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)"
                 " OR NOT v.superuser OR (v.trusted AND has_database_privilege(current_database(), 'CREATE')) AS creatable"
                 " FROM pg_available_extension_versions v JOIN pg_available_extensions a ON a.name = v.name"
                 " AND a.default_version = v.version ORDER BY 1"}))
        out.available.push_back({row.text("name"), row.text("version"), row.boolean("creatable"), row.boolean("fixed_schema")});
}

} // namespace pgcarve::catalog
