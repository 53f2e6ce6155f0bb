// Tables with what pg_class says about them, their columns and constraints.
#include <algorithm>

#include <fmt/format.h>

#include "catalog/parts.hpp"

namespace pgcarve::catalog {

using sql::Sql;

namespace {

void read_comments(Reading& reading) {
    for (auto const row : reading.session.query(
             Sql{"SELECT classoid::regclass::text AS catalog, objoid::bigint AS oid, objsubid, description"
                 " FROM pg_description WHERE objoid >= 16384 AND classoid IN ('pg_class'::regclass,"
                 " 'pg_constraint'::regclass, 'pg_trigger'::regclass, 'pg_policy'::regclass,"
                 " 'pg_statistic_ext'::regclass)"})) {
        reading.comments.insert_or_assign(
            {row.text("catalog"), oid_of(row, "oid"), static_cast<int>(row.integer("objsubid"))},
            row.text("description"));
    }
}

std::optional<sql::QName> maybe_name(pg::Row const& row, std::string_view schema, std::string_view name) {
    if (!row.maybe(name))
        return std::nullopt;
    return name_of(row, schema, name);
}

model::Table table_of(Reading const& reading, pg::Row const& row) {
    model::Table t;
    t.oid = base::Oid{oid_of(row, "oid")};
    t.name = name_of(row, "nspname", "relname");
    t.sql_name = row.text("sql_name");
    t.kind = row.letter("relkind");
    t.persistence = row.letter("relpersistence");
    t.owner = row.text("owner");
    t.access_method = row.maybe("amname");
    t.tablespace = row.maybe("spcname");
    t.options = row.array("reloptions");
    t.toast_options = row.array("toast_options");
    t.row_security = row.boolean("relrowsecurity");
    t.force_row_security = row.boolean("relforcerowsecurity");
    t.replica_identity = row.letter("relreplident");
    t.comment = reading.comment("pg_class", t.oid.value);
    t.of_type = maybe_name(row, "type_schema", "type_name");
    t.partition_key = row.maybe("partition_key");
    t.partition_bound = row.maybe("partition_bound");
    t.rules = row.array("rules");
    t.security_labels = row.array("labels");
    t.estimated_rows = std::max(0.0, row.real("reltuples"));
    t.bytes = row.integer("bytes");
    return t;
}

void read_inheritance(Reading& reading) {
    for (auto const row : reading.session.query(
             Sql{"SELECT i.inhrelid::bigint AS child, i.inhparent::bigint AS parent, c.relispartition, pn.nspname,"
                 " p.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
                 " JOIN pg_class p ON p.oid = i.inhparent JOIN pg_namespace pn ON pn.oid = p.relnamespace"
                 " WHERE c.relkind IN ('r', 'p', 'f') ORDER BY i.inhrelid, i.inhseqno"})) {
        auto* const child = reading.table(row, "child");
        auto* const parent = reading.table(row, "parent");
        bool const partition = row.boolean("relispartition");
        if (child != nullptr) {
            if (partition)
                child->partition_of = name_of(row, "nspname", "relname");
            else
                child->inherits.push_back(name_of(row, "nspname", "relname"));
        }
        if (parent != nullptr && !partition)
            parent->has_inheritance_children = true;
    }
}

// Functions that checks, index expressions, generated columns, domains or a partition key call, whose body names,
// without a schema, something outside pg_catalog, and which have no search_path of their own. They work for the
// application and not for the mirror, whose search_path is pinned: it would refuse the application's writes.
void read_loose_functions(Reading& reading) {
    for (auto const row : reading.session.query(
             Sql{"WITH RECURSIVE carried(type, relation) AS ("
                 " SELECT a.atttypid, a.attrelid FROM pg_attribute a"
                 " WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attrelid IN "}
                 .add(user_tables)
                 .add(" UNION SELECT u.type, c.relation FROM carried c JOIN pg_type t ON t.oid = c.type"
                      " CROSS JOIN LATERAL (VALUES (t.typbasetype), (t.typelem)) AS u(type) WHERE u.type <> 0),"
                      " owners(class, object, relation) AS ("
                      " SELECT 'pg_constraint'::regclass, k.oid, k.conrelid FROM pg_constraint k WHERE k.contype = 'c' AND k.conrelid <> 0"
                      " UNION SELECT 'pg_constraint'::regclass, k.oid, c.relation FROM pg_constraint k"
                      " JOIN carried c ON c.type = k.contypid WHERE k.contypid <> 0"
                      " UNION SELECT 'pg_class'::regclass, i.indexrelid, i.indrelid FROM pg_index i"
                      " UNION SELECT 'pg_class'::regclass, p.partrelid, p.partrelid FROM pg_partitioned_table p"
                      " UNION SELECT 'pg_attrdef'::regclass, d.oid, d.adrelid FROM pg_attrdef d"
                      " JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum WHERE a.attgenerated <> ''),"
                      " used AS (SELECT DISTINCT o.relation, coalesce(op.oprcode::oid, d.refobjid) AS function FROM owners o"
                      " JOIN pg_depend d ON d.classid = o.class AND d.objid = o.object"
                      " LEFT JOIN pg_operator op ON d.refclassid = 'pg_operator'::regclass AND op.oid = d.refobjid"
                      " WHERE d.refclassid = 'pg_proc'::regclass OR op.oid IS NOT NULL),"
                      " bodies AS (SELECT p.oid, p.prosrc FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang"
                      " WHERE p.oid IN (SELECT u.function FROM used u) AND l.lanname NOT IN ('c', 'internal') AND ")
                 .add(reading.version.string_body)
                 .add(" AND NOT EXISTS (SELECT FROM unnest(p.proconfig) s WHERE s ~ '^search_path=')),"
                      " names AS (SELECT p.proname AS name, p.pronamespace AS schema FROM pg_proc p"
                      " UNION SELECT c.relname, c.relnamespace FROM pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')"
                      " UNION SELECT t.typname, t.typnamespace FROM pg_type t WHERE t.typtype IN ('b', 'd', 'e', 'r'))"
                      " SELECT u.relation::bigint AS oid, u.function::regprocedure::text AS function FROM used u"
                      " JOIN bodies b ON b.oid = u.function WHERE EXISTS (SELECT FROM names x JOIN pg_namespace n ON n.oid = x.schema"
                      " WHERE ")
                 .add(user_schema)
                 .add(" AND strpos(lower(b.prosrc), lower(x.name)) > 0 AND b.prosrc ~* ('(^|[^.[:alnum:]_$\"])\"?' ||"
                      " regexp_replace(x.name, '([^[:alnum:]_])', '\\\\\\1', 'g') || '($|[^[:alnum:]_$])'))"
                      " ORDER BY 1, 2"))) {
        if (auto* const table = reading.table(row, "oid"))
            table->loose_functions.push_back(row.text("function"));
    }
}

} // namespace

void read_tables(Reading& reading) {
    read_comments(reading);
    for (auto const row : reading.session.query(
             Sql{"SELECT c.oid::bigint AS oid, n.nspname, c.relname, c.oid::regclass::text AS sql_name, c.relkind,"
                 " c.relpersistence, pg_get_userbyid(c.relowner) AS owner, am.amname, ts.spcname, c.reloptions,"
                 " toast.reloptions AS toast_options, c.relrowsecurity, c.relforcerowsecurity, c.relreplident,"
                 " tn.nspname AS type_schema, t.typname AS type_name, pg_get_partkeydef(c.oid) AS partition_key,"
                 " CASE WHEN c.relispartition THEN pg_get_expr(c.relpartbound, c.oid) END AS partition_bound,"
                 " ARRAY(SELECT r.rulename FROM pg_rewrite r WHERE r.ev_class = c.oid ORDER BY 1) AS rules,"
                 " ARRAY(SELECT l.provider || ': ' || l.label FROM pg_seclabel l"
                 " WHERE l.classoid = 'pg_class'::regclass AND l.objoid = c.oid ORDER BY 1) AS labels,"
                 " c.reltuples,"
                 " CASE WHEN EXISTS (SELECT FROM pg_locks k WHERE k.locktype = 'relation'"
                 " AND k.mode = 'AccessExclusiveLock' AND k.relation = c.oid"
                 " AND k.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))"
                 " THEN c.relpages::bigint * current_setting('block_size')::bigint"
                 " ELSE coalesce(pg_total_relation_size(c.oid), 0) END AS bytes"
                 " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                 " LEFT JOIN pg_am am ON am.oid = c.relam LEFT JOIN pg_tablespace ts ON ts.oid = c.reltablespace"
                 " LEFT JOIN pg_class toast ON toast.oid = c.reltoastrelid AND c.reltoastrelid <> 0"
                 " LEFT JOIN pg_type t ON t.oid = c.reloftype AND c.reloftype <> 0"
                 " LEFT JOIN pg_namespace tn ON tn.oid = t.typnamespace WHERE c.oid IN "}
                 .add(user_tables)
                 .add(" ORDER BY n.nspname COLLATE \"C\", c.relname COLLATE \"C\"")))
        reading.catalog.tables.push_back(table_of(reading, row));
    for (auto& table : reading.catalog.tables)
        reading.by_oid.emplace(table.oid.value, &table);
    read_inheritance(reading);
    read_loose_functions(reading);
}

void read_columns(Reading& reading) {
    // Some builds of the server stamp every column with pg_attver=N by themselves: SET and RESET do not change it and
    // the number differs from table to table, so it is no property of a column that could be carried or compared.
    for (auto const row : reading.session.query(
             Sql{"SELECT a.attrelid::bigint AS oid, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod) AS type,"
                 " t.typtype, a.attnotnull, pg_get_expr(d.adbin, d.adrelid) AS default_expr, a.attidentity,"
                 " a.attgenerated, CASE WHEN a.attcollation <> 0 AND a.attcollation <> t.typcollation"
                 " THEN quote_ident(cn.nspname) || '.' || quote_ident(co.collname) END AS collation,"
                 " nullif(a.attstattarget, -1) AS statistics_target,"
                 " ARRAY(SELECT o FROM unnest(a.attoptions) o WHERE o !~ '^pg_attver=') AS attoptions, a.attstorage, t.typstorage, "}
                 .add(reading.version.compression)
                 .add(" AS compression FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid"
                      " LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum"
                      " LEFT JOIN pg_collation co ON co.oid = a.attcollation"
                      " LEFT JOIN pg_namespace cn ON cn.oid = co.collnamespace"
                      " WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attrelid IN ")
                 .add(user_tables)
                 .add(" ORDER BY a.attrelid, a.attnum"))) {
        auto* const table = reading.table(row, "oid");
        if (table == nullptr)
            continue;
        model::Column c;
        c.number = static_cast<int>(row.integer("attnum"));
        c.name = row.text("attname");
        c.type = row.text("type");
        c.type_kind = row.text("typtype");
        c.not_null = row.boolean("attnotnull");
        c.default_expr = row.maybe("default_expr");
        c.identity = row.letter("attidentity");
        c.generated = row.letter("attgenerated");
        c.collation = row.maybe("collation");
        if (row.maybe("statistics_target"))
            c.statistics_target = static_cast<int>(row.integer("statistics_target"));
        c.options = row.array("attoptions");
        c.storage = row.letter("attstorage");
        c.type_storage = row.letter("typstorage");
        c.compression = row.letter("compression");
        c.comment = reading.comment("pg_class", table->oid.value, c.number);
        table->columns.push_back(std::move(c));
    }
    for (auto const row : reading.session.query(
             Sql{"SELECT d.adrelid::bigint AS oid, d.adnum, n.nspname, s.relname FROM pg_attrdef d"
                 " JOIN pg_depend p ON p.classid = 'pg_attrdef'::regclass AND p.objid = d.oid"
                 " AND p.refclassid = 'pg_class'::regclass JOIN pg_class s ON s.oid = p.refobjid AND s.relkind = 'S'"
                 " JOIN pg_namespace n ON n.oid = s.relnamespace WHERE d.adrelid IN "}
                 .add(user_tables)
                 .add(" ORDER BY 1, 2, 3, 4"))) {
        auto* const table = reading.table(row, "oid");
        if (table == nullptr)
            continue;
        auto const at = std::ranges::find(table->columns, row.integer("adnum"), &model::Column::number);
        if (at != table->columns.end())
            at->default_sequences.push_back(name_of(row, "nspname", "relname"));
    }
}

namespace {

// FOREIGN KEY (a, b) REFERENCES, as pg_get_constraintdef() begins.
std::string foreign_key_head(std::vector<std::string> const& quoted, bool period) {
    std::string head = "FOREIGN KEY (";
    for (std::size_t i = 0; i < quoted.size(); ++i) {
        if (i > 0)
            head += ", ";
        if (period && i + 1 == quoted.size())
            head += "PERIOD ";
        head += quoted[i];
    }
    return head + ") REFERENCES ";
}

model::Constraint constraint_of(Reading const& reading, pg::Row const& row) {
    model::Constraint c;
    c.name = row.text("conname");
    c.type = row.letter("contype");
    c.definition = row.text("definition");
    c.columns = row.array("columns");
    c.deferrable = row.boolean("condeferrable");
    c.deferred = row.boolean("condeferred");
    c.validated = row.boolean("convalidated");
    c.enforced = row.boolean("enforced");
    // A partition keeps what it inherits only as an inherited thing; a check that is also its own counts as its own.
    c.inherited = row.boolean("has_parent") || (row.integer("coninhcount") > 0 && !row.boolean("conislocal"));
    c.comment = reading.comment("pg_constraint", oid_of(row, "oid"));
    if (c.type == 'f') {
        c.referenced_oid = base::Oid{oid_of(row, "confrelid")};
        c.referenced = name_of(row, "ref_schema", "ref_name");
        c.referenced_columns = row.array("ref_columns");
        c.on_update = row.letter("confupdtype");
        c.on_delete = row.letter("confdeltype");
        c.match = row.letter("confmatchtype");
        c.set_columns = row.array("set_columns");
        c.equals = row.array("equals");
        c.referenced_equals = row.array("ref_equals");
        c.head = foreign_key_head(row.array("quoted"), row.boolean("period"));
    }
    return c;
}

} // namespace

void read_constraints(Reading& reading) {
    // Not read: user constraint triggers (they are triggers), and the copies of a foreign key that the server keeps
    // for each partition of the table which it references.
    for (auto const row : reading.session.query(
             Sql{"SELECT c.oid::bigint AS oid, c.conrelid::bigint AS table_oid, c.conname, c.contype,"
                 " pg_get_constraintdef(c.oid) AS definition, c.condeferrable, c.condeferred, c.convalidated, "}
                 .add(reading.version.enforced)
                 .add(" AS enforced, ")
                 .add(reading.version.period)
                 .add(" AS period, c.conparentid <> 0 AS has_parent, c.coninhcount, c.conislocal,"
                      " c.confrelid::bigint AS confrelid, rn.nspname AS ref_schema, r.relname AS ref_name,"
                      " c.confupdtype, c.confdeltype, c.confmatchtype,"
                      " ARRAY(SELECT a.attname FROM unnest(")
                 .add(reading.version.set_columns)
                 .add(") WITH ORDINALITY k(n, o) JOIN pg_attribute a"
                      " ON a.attrelid = c.conrelid AND a.attnum = k.n ORDER BY k.o) AS set_columns,"
                      " ARRAY(SELECT 'OPERATOR(' || quote_ident(n.nspname) || '.' || op.oprname || ')' FROM unnest(c.conpfeqop)"
                      " WITH ORDINALITY k(oid, o) JOIN pg_operator op ON op.oid = k.oid JOIN pg_namespace n ON n.oid = op.oprnamespace"
                      " ORDER BY k.o) AS equals,"
                      " ARRAY(SELECT 'OPERATOR(' || quote_ident(n.nspname) || '.' || op.oprname || ')' FROM unnest(c.conppeqop)"
                      " WITH ORDINALITY k(oid, o) JOIN pg_operator op ON op.oid = k.oid JOIN pg_namespace n ON n.oid = op.oprnamespace"
                      " ORDER BY k.o) AS ref_equals,"
                      " ARRAY(SELECT a.attname FROM unnest(c.conkey) WITH ORDINALITY k(n, o) JOIN pg_attribute a"
                      " ON a.attrelid = c.conrelid AND a.attnum = k.n ORDER BY k.o) AS columns,"
                      " ARRAY(SELECT quote_ident(a.attname) FROM unnest(c.conkey) WITH ORDINALITY k(n, o)"
                      " JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.n ORDER BY k.o) AS quoted,"
                      " ARRAY(SELECT a.attname FROM unnest(c.confkey) WITH ORDINALITY k(n, o) JOIN pg_attribute a"
                      " ON a.attrelid = c.confrelid AND a.attnum = k.n ORDER BY k.o) AS ref_columns"
                      " FROM pg_constraint c LEFT JOIN pg_class r ON r.oid = c.confrelid AND c.confrelid <> 0"
                      " LEFT JOIN pg_namespace rn ON rn.oid = r.relnamespace"
                      " LEFT JOIN pg_constraint parent ON parent.oid = c.conparentid AND c.conparentid <> 0"
                      " WHERE c.contype <> 't' AND (parent.oid IS NULL OR parent.confrelid = c.confrelid)"
                      " AND c.conrelid IN ")
                 .add(user_tables)
                 .add(" ORDER BY c.conrelid, c.conname COLLATE \"C\""))) {
        if (auto* const table = reading.table(row, "table_oid"))
            table->constraints.push_back(constraint_of(reading, row));
    }
}

} // namespace pgcarve::catalog
