// What hangs on single tables: indexes, triggers, policies, statistics objects.
#include <algorithm>

#include "catalog/parts.hpp"

namespace pgcarve::catalog {

using sql::Sql;

namespace {

model::Index index_of(Reading const& reading, pg::Row const& row) {
    model::Index i;
    i.oid = base::Oid{oid_of(row, "oid")};
    i.name = row.text("relname");
    i.sql_name = row.text("sql_name");
    i.definition = row.text("definition");
    i.unique = row.boolean("indisunique");
    i.primary = row.boolean("indisprimary");
    i.valid = row.boolean("indisvalid");
    i.immediate = row.boolean("indimmediate");
    i.clustered = row.boolean("indisclustered");
    i.replica_identity = row.boolean("indisreplident");
    i.partial = row.boolean("partial");
    i.expressions = row.boolean("expressions");
    i.parent = row.maybe("parent");
    i.inherited = i.parent.has_value();
    i.key_columns = row.array("key_columns");
    i.constraint = row.maybe("constraint_name");
    i.options = row.array("reloptions");
    i.tablespace = row.maybe("spcname");
    i.comment = reading.comment("pg_class", i.oid.value);
    for (auto const& item : row.array("statistics")) { // number=target
        auto const equals = item.find('=');
        i.statistics.emplace_back(std::stoi(item.substr(0, equals)), std::stoi(item.substr(equals + 1)));
    }
    return i;
}

} // namespace

void read_indexes(Reading& reading) {
    for (auto const row : reading.session.query(
             Sql{"SELECT i.indexrelid::bigint AS oid, i.indrelid::bigint AS table_oid, c.relname,"
                 " quote_ident(c.relname) AS sql_name, pg_get_indexdef(i.indexrelid) AS definition, i.indisunique,"
                 " i.indisprimary, i.indisvalid, i.indimmediate, i.indisclustered, i.indisreplident,"
                 " i.indpred IS NOT NULL AS partial, i.indexprs IS NOT NULL AS expressions,"
                 " (SELECT p.relname FROM pg_inherits h JOIN pg_class p ON p.oid = h.inhparent"
                 " WHERE h.inhrelid = i.indexrelid) AS parent,"
                 " ARRAY(SELECT a.attname FROM unnest(i.indkey) WITH ORDINALITY k(n, o) JOIN pg_attribute a"
                 " ON a.attrelid = i.indrelid AND a.attnum = k.n"
                 " WHERE k.o <= i.indnkeyatts AND k.n > 0 ORDER BY k.o) AS key_columns,"
                 " (SELECT o.conname FROM pg_constraint o WHERE o.conindid = i.indexrelid AND o.conrelid = i.indrelid"
                 " AND o.contype IN ('p', 'u', 'x')) AS constraint_name, c.reloptions, ts.spcname,"
                 " ARRAY(SELECT a.attnum || '=' || a.attstattarget FROM pg_attribute a"
                 " WHERE a.attrelid = i.indexrelid AND a.attstattarget >= 0 ORDER BY a.attnum) AS statistics"
                 " FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
                 " LEFT JOIN pg_tablespace ts ON ts.oid = c.reltablespace WHERE i.indrelid IN "}
                 .add(user_tables)
                 .add(" ORDER BY i.indrelid, c.relname COLLATE \"C\""))) {
        if (auto* const table = reading.table(row, "table_oid"))
            table->indexes.push_back(index_of(reading, row));
    }
}

namespace {

// Bits of pg_trigger.tgtype.
constexpr long long type_row = 1;
constexpr long long type_before = 2;
constexpr long long type_insert = 4;
constexpr long long type_delete = 8;
constexpr long long type_update = 16;
constexpr long long type_truncate = 32;
constexpr long long type_instead = 64;

// CREATE TRIGGER t BEFORE INSERT OR UPDATE OF a, b ON, in the order in which pg_get_triggerdef() prints it.
std::string trigger_head(std::string const& name, bool constraint, long long type,
                         std::vector<std::string> const& update_columns) {
    std::string head = constraint ? "CREATE CONSTRAINT TRIGGER " : "CREATE TRIGGER ";
    head += name;
    head += (type & type_before) != 0 ? " BEFORE" : (type & type_instead) != 0 ? " INSTEAD OF" : " AFTER";
    char const* joint = " ";
    auto const event = [&](long long bit, char const* text) {
        if ((type & bit) == 0)
            return;
        head += joint;
        head += text;
        joint = " OR ";
    };
    event(type_insert, "INSERT");
    event(type_delete, "DELETE");
    event(type_update, "UPDATE");
    if ((type & type_update) != 0) {
        char const* before = " OF ";
        for (auto const& column : update_columns) {
            head += before;
            head += column;
            before = ", ";
        }
    }
    event(type_truncate, "TRUNCATE");
    return head + " ON ";
}

} // namespace

void read_triggers(Reading& reading) {
    // Before version 15 the clones on partitions count as internal; those of constraints are never wanted.
    for (auto const row : reading.session.query(
             Sql{"SELECT t.oid::bigint AS oid, t.tgrelid::bigint AS table_oid, t.tgname, quote_ident(t.tgname) AS sql_name,"
                 " pg_get_triggerdef(t.oid) AS definition, t.tgenabled, t.tgtype, t.tgparentid <> 0 AS inherited,"
                 " t.tgconstraint <> 0 AS is_constraint, n.nspname, p.proname, p.prosrc,"
                 " ARRAY(SELECT quote_ident(a.attname) FROM unnest(t.tgattr) WITH ORDINALITY k(n, o)"
                 " JOIN pg_attribute a ON a.attrelid = t.tgrelid AND a.attnum = k.n ORDER BY k.o) AS update_columns"
                 " FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace n ON n.oid = p.pronamespace"
                 " WHERE (NOT t.tgisinternal OR t.tgparentid <> 0)"
                 " AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.oid = t.tgconstraint AND c.contype <> 't')"
                 " AND n.nspname <> 'pgcarve' AND t.tgname !~ '^pgcarve_' AND t.tgrelid IN "}
                 .add(user_tables)
                 .add(" ORDER BY t.tgrelid, t.tgname COLLATE \"C\""))) {
        auto* const table = reading.table(row, "table_oid");
        if (table == nullptr)
            continue;
        model::Trigger t;
        auto const type = row.integer("tgtype");
        t.name = row.text("tgname");
        t.definition = row.text("definition");
        t.enabled = row.letter("tgenabled");
        t.function = name_of(row, "nspname", "proname");
        t.function_source = row.text("prosrc");
        t.before = (type & type_before) != 0;
        t.row_level = (type & type_row) != 0;
        t.inherited = row.boolean("inherited");
        t.constraint = row.boolean("is_constraint");
        t.head = trigger_head(row.text("sql_name"), t.constraint, type, row.array("update_columns"));
        t.comment = reading.comment("pg_trigger", oid_of(row, "oid"));
        table->triggers.push_back(std::move(t));
    }
}

void read_policies(Reading& reading) {
    for (auto const row : reading.session.query(
             Sql{"SELECT p.oid::bigint AS oid, p.polrelid::bigint AS table_oid, p.polname, p.polpermissive, p.polcmd,"
                 " ARRAY(SELECT r.rolname FROM pg_roles r WHERE r.oid = ANY (p.polroles) ORDER BY 1) AS roles,"
                 " pg_get_expr(p.polqual, p.polrelid) AS using_expr,"
                 " pg_get_expr(p.polwithcheck, p.polrelid) AS check_expr FROM pg_policy p WHERE p.polrelid IN "}
                 .add(user_tables)
                 .add(" ORDER BY p.polrelid, p.polname COLLATE \"C\""))) {
        auto* const table = reading.table(row, "table_oid");
        if (table == nullptr)
            continue;
        model::Policy p;
        p.name = row.text("polname");
        p.permissive = row.boolean("polpermissive");
        p.command = row.letter("polcmd");
        p.roles = row.array("roles");
        p.using_expr = row.maybe("using_expr");
        p.check_expr = row.maybe("check_expr");
        p.comment = reading.comment("pg_policy", oid_of(row, "oid"));
        table->policies.push_back(std::move(p));
    }
}

void read_statistics(Reading& reading) {
    for (auto const row : reading.session.query(
             Sql{"SELECT s.oid::bigint AS oid, s.stxrelid::bigint AS table_oid, n.nspname, s.stxname,"
                 " quote_ident(n.nspname) || '.' || quote_ident(s.stxname) AS sql_name,"
                 " pg_get_userbyid(s.stxowner) AS owner, pg_get_statisticsobjdef(s.oid) AS definition,"
                 " nullif(s.stxstattarget, -1) AS target FROM pg_statistic_ext s"
                 " JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE s.stxrelid IN "}
                 .add(user_tables)
                 .add(" ORDER BY s.stxrelid, n.nspname COLLATE \"C\", s.stxname COLLATE \"C\""))) {
        auto* const table = reading.table(row, "table_oid");
        if (table == nullptr)
            continue;
        model::Statistics s;
        s.name = name_of(row, "nspname", "stxname");
        s.sql_name = row.text("sql_name");
        s.owner = row.text("owner");
        s.definition = row.text("definition");
        if (row.maybe("target"))
            s.target = static_cast<int>(row.integer("target"));
        s.comment = reading.comment("pg_statistic_ext", oid_of(row, "oid"));
        table->statistics.push_back(std::move(s));
    }
}

} // namespace pgcarve::catalog
