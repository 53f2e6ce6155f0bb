// What hangs on tables and on what they hang: the raw material of crossings.
#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "catalog/mentions.hpp"
#include "catalog/parts.hpp"

namespace pgcarve::catalog {

using model::Dependency;
using sql::QName;
using sql::Sql;

namespace {

void add(Reading& reading, Dependency dependency) { reading.catalog.dependencies.push_back(std::move(dependency)); }

void foreign_keys(Reading& reading) {
    for (auto const& table : reading.catalog.tables) {
        for (auto const& c : table.constraints) {
            if (c.type == 'f' && !c.inherited)
                add(reading, {"foreign_key", c.name, table.name, table.name, c.referenced, c.definition, true});
        }
    }
}

std::string rule_kind(char relkind) {
    return relkind == 'v' ? "view" : relkind == 'm' ? "materialized_view" : "rule";
}

struct Reader { // a view, a materialized view or a table's rule
    std::string kind;
    std::string name;
    QName object;
    std::set<QName> reads;
};

// Views of views reach the tables below them, whatever stands between.
void views(Reading& reading) {
    std::map<std::uint32_t, Reader> readers;
    std::map<QName, std::set<QName>> of_relation;
    for (auto const row : reading.session.query(
             Sql{"SELECT DISTINCT r.oid::bigint AS oid, r.rulename, vc.relkind, vn.nspname AS view_schema,"
                 " vc.relname AS view_name, cn.nspname, c.relname"
                 " FROM pg_rewrite r JOIN pg_class vc ON vc.oid = r.ev_class"
                 " JOIN pg_namespace vn ON vn.oid = vc.relnamespace"
                 " JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid"
                 " AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class"
                 " JOIN pg_class c ON c.oid = d.refobjid AND c.relkind IN ('r', 'p', 'f', 'v', 'm')"
                 " JOIN pg_namespace cn ON cn.oid = c.relnamespace"
                 " WHERE vn.nspname !~ '^pg_' AND vn.nspname NOT IN ('information_schema', 'pgcarve')"
                 " AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass"
                 " AND e.objid = vc.oid AND e.deptype = 'e') ORDER BY 1"})) {
        auto const object = name_of(row, "view_schema", "view_name");
        auto& reader = readers[oid_of(row, "oid")];
        reader.kind = rule_kind(row.letter("relkind"));
        reader.name = reader.kind == "rule" ? sql::display_ident(row.text("rulename")) : object.display();
        reader.object = object;
        reader.reads.insert(name_of(row, "nspname", "relname"));
        if (reader.kind != "rule")
            of_relation[object].insert(name_of(row, "nspname", "relname"));
    }
    for (auto const& [oid, reader] : readers) {
        std::map<QName, QName> reached; // relation, the view through which it was reached first
        std::vector<QName> todo;
        for (auto const& relation : reader.reads) {
            reached.emplace(relation, QName{});
            todo.push_back(relation);
        }
        while (!todo.empty()) {
            auto const relation = todo.back();
            todo.pop_back();
            for (auto const& below : of_relation[relation]) {
                if (reached.emplace(below, relation).second)
                    todo.push_back(below);
            }
        }
        std::optional<QName> const from = reader.kind == "rule" ? std::optional{reader.object} : std::nullopt;
        for (auto const& [relation, through] : reached) {
            if (reading.catalog.find(relation) == nullptr)
                continue;
            auto detail = through.name.empty() ? std::string{} : "through " + through.display();
            add(reading, {reader.kind, reader.name, reader.object, from, relation, std::move(detail), true});
        }
    }
    for (auto const& table : reading.catalog.tables) {
        for (auto const& rule : table.rules)
            add(reading, {"rule", sql::display_ident(rule), table.name, table.name, std::nullopt, "on the table", true});
    }
}

struct Function {
    QName name;
    std::string display; // with arguments
    bool trigger = false;
    std::map<QName, bool> tables; // that it uses; true: certain
};

std::map<std::uint32_t, Function> functions(Reading& reading) {
    std::vector<QName> names;
    for (auto const& table : reading.catalog.tables)
        names.push_back(table.name);
    TableNames const tables{names};

    std::map<std::uint32_t, Function> found;
    for (auto const row : reading.session.query(
             Sql{"SELECT p.oid::bigint AS oid, n.nspname, p.proname, p.oid::regprocedure::text AS display,"
                 " p.prorettype = 'trigger'::regtype AS is_trigger, CASE WHEN "}
                 .add(reading.version.string_body)
                 .add(" THEN p.prosrc ELSE '' END AS source FROM pg_proc p"
                      " JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang WHERE ")
                 .add(user_schema)
                 .add(" AND l.lanname NOT IN ('c', 'internal') AND NOT EXISTS (SELECT FROM pg_depend e"
                      " WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e')"
                      " ORDER BY p.oid"))) {
        Function f{name_of(row, "nspname", "proname"), row.text("display"), row.boolean("is_trigger"), {}};
        for (auto const& table : tables.mentioned(row.text("source")))
            f.tables.emplace(table, false);
        found.emplace(oid_of(row, "oid"), std::move(f));
    }
    // Bodies in SQL-standard form, and row types as arguments or results.
    for (auto const row : reading.session.query(
             Sql{"SELECT DISTINCT d.objid::bigint AS oid, coalesce(t.typrelid, d.refobjid)::bigint AS table_oid"
                 " FROM pg_depend d LEFT JOIN pg_type a ON d.refclassid = 'pg_type'::regclass AND a.oid = d.refobjid"
                 " LEFT JOIN pg_type t ON t.oid = CASE WHEN a.typelem <> 0 AND a.typrelid = 0 THEN a.typelem"
                 " ELSE a.oid END AND t.typrelid <> 0"
                 " WHERE d.classid = 'pg_proc'::regclass AND d.refclassid IN ('pg_class'::regclass,"
                 " 'pg_type'::regclass) AND coalesce(t.typrelid, d.refobjid) IN "}
                 .add(user_tables))) {
        auto const at = found.find(oid_of(row, "oid"));
        auto const* const table = reading.table(row, "table_oid");
        if (at != found.end() && table != nullptr)
            at->second.tables.insert_or_assign(table->name, true);
    }
    for (auto const& [oid, f] : found) {
        for (auto const& [table, certain] : f.tables)
            add(reading, {"function", f.display, f.name, std::nullopt, table,
                          certain ? std::string{} : std::string{"named in its text"}, certain});
    }
    return found;
}

void triggers(Reading& reading, std::map<std::uint32_t, Function> const& all) {
    std::map<QName, std::map<QName, bool>> uses; // trigger functions have no arguments: the name is enough
    for (auto const& [oid, f] : all) {
        if (f.trigger)
            uses.emplace(f.name, f.tables);
    }
    for (auto const& table : reading.catalog.tables) {
        for (auto const& trigger : table.triggers) {
            if (trigger.inherited)
                continue;
            for (auto const& [other, certain] : uses[trigger.function]) {
                if (other != table.name)
                    add(reading, {"trigger", sql::display_ident(trigger.name), trigger.function, table.name, other,
                                  "its function " + trigger.function.display() + "() uses the other table", certain});
            }
        }
    }
}

void column_types(Reading& reading) {
    for (auto const row : reading.session.query(
             Sql{"SELECT DISTINCT a.attrelid::bigint AS oid, n.nspname, t.typname, t.typtype,"
                 " t.typrelid::bigint AS row_of FROM pg_attribute a JOIN pg_type c ON c.oid = a.atttypid"
                 " JOIN pg_type t ON t.oid = CASE WHEN c.typcategory = 'A' AND c.typelem <> 0 THEN c.typelem"
                 " ELSE c.oid END JOIN pg_namespace n ON n.oid = t.typnamespace"
                 " WHERE a.attnum > 0 AND NOT a.attisdropped AND t.typtype IN ('c', 'd', 'e', 'r', 'm') AND "}
                 .add(user_schema)
                 .add(" AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_type'::regclass"
                      " AND e.objid = t.oid AND e.deptype = 'e') AND a.attrelid IN ")
                 .add(user_tables)
                 .add(" ORDER BY 2, 3, 1"))) {
        auto const* const table = reading.table(row, "oid");
        if (table == nullptr)
            continue;
        auto const type = name_of(row, "nspname", "typname");
        auto const* const row_of = reading.table(row, "row_of");
        char const kind = row.letter("typtype");
        std::string const detail = row_of != nullptr ? "the row type of a table"
                                   : kind == 'e'     ? "enum"
                                   : kind == 'd'     ? "domain"
                                   : kind == 'c'     ? "composite type"
                                                     : "range type";
        add(reading, {"type", type.display(), type, table->name,
                      row_of != nullptr ? std::optional{row_of->name} : std::optional{type}, detail, true});
    }
}

// A sequence that several tables draw from, or that belongs to another table than the one which draws.
void sequences(Reading& reading) {
    std::map<QName, std::set<QName>> users;
    for (auto const& table : reading.catalog.tables) {
        if (table.partition_of) // its root says the same
            continue;
        for (auto const& column : table.columns) {
            for (auto const& sequence : column.default_sequences)
                users[sequence].insert(table.name);
        }
    }
    for (auto const& [name, tables] : users) {
        auto const* const sequence = reading.catalog.sequence(name);
        auto ends = tables;
        if (sequence != nullptr && sequence->owned_by)
            ends.insert(*sequence->owned_by);
        for (auto const& from : tables) {
            for (auto const& to : ends) {
                if (from == to)
                    continue;
                bool const owner = sequence != nullptr && sequence->owned_by == to;
                add(reading, {"sequence", name.display(), name, from, to,
                              owner ? "belongs to the other table" : "the other table draws from it too", true});
            }
        }
    }
}

// User functions in defaults and checks; tables that policies read.
void expressions(Reading& reading) {
    // Before version 15 it is the generated column itself, not its expression, that depends on a function.
    for (auto const row : reading.session.query(
             Sql{"SELECT DISTINCT coalesce(a.attrelid, c.conrelid)::bigint AS oid, a.attrelid IS NOT NULL AS is_default,"
                 " coalesce(a.attname, c.conname) AS place, n.nspname, p.proname, p.oid::regprocedure::text AS display"
                 " FROM pg_depend x JOIN pg_proc p ON x.refclassid = 'pg_proc'::regclass AND p.oid = x.refobjid"
                 " JOIN pg_namespace n ON n.oid = p.pronamespace"
                 " LEFT JOIN pg_attrdef d ON x.classid = 'pg_attrdef'::regclass AND d.oid = x.objid"
                 " LEFT JOIN pg_attribute a ON (a.attrelid = d.adrelid AND a.attnum = d.adnum)"
                 " OR (a.attgenerated <> '' AND x.classid = 'pg_class'::regclass AND a.attrelid = x.objid AND a.attnum = x.objsubid)"
                 " LEFT JOIN pg_constraint c ON x.classid = 'pg_constraint'::regclass AND c.oid = x.objid"
                 " WHERE NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass"
                 " AND e.objid = p.oid AND e.deptype = 'e') AND "}
                 .add(user_schema)
                 .add(" AND coalesce(a.attrelid, c.conrelid) IN ")
                 .add(user_tables)
                 .add(" ORDER BY 1, 3, 6"))) {
        auto const* const table = reading.table(row, "oid");
        if (table == nullptr)
            continue;
        auto const place = sql::display_ident(row.text("place"));
        auto const function = name_of(row, "nspname", "proname");
        bool const is_default = row.boolean("is_default");
        add(reading, {is_default ? "default" : "function", row.text("display"), function, table->name, function,
                      (is_default ? "default of column " : "called by constraint ") + place, true});
    }
    for (auto const row : reading.session.query(
             Sql{"SELECT DISTINCT p.polrelid::bigint AS oid, p.polname, d.refobjid::bigint AS other"
                 " FROM pg_policy p JOIN pg_depend d ON d.classid = 'pg_policy'::regclass AND d.objid = p.oid"
                 " AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> p.polrelid ORDER BY 1, 2, 3"})) {
        auto const* const table = reading.table(row, "oid");
        auto const* const other = reading.table(row, "other");
        if (table != nullptr && other != nullptr)
            add(reading, {"policy", sql::display_ident(row.text("polname")), table->name, table->name, other->name,
                          "reads the other table", true});
    }
}

void grants(Reading& reading) {
    for (auto const& table : reading.catalog.tables) {
        std::map<std::string, std::set<std::string>> held;
        for (auto const& grant : table.grants)
            held[grant.grantee].insert(grant.privilege);
        for (auto const& column : table.columns) {
            for (auto const& grant : column.grants)
                held[grant.grantee].insert(fmt::format("{} ({})", grant.privilege, sql::display_ident(column.name)));
        }
        held.erase(table.owner);
        for (auto const& [grantee, privileges] : held) {
            auto const name = grantee.empty() ? std::string{"PUBLIC"} : sql::display_ident(grantee);
            add(reading, {"grant", name, table.name, std::nullopt, table.name,
                          fmt::format("{}", fmt::join(privileges, ", ")), true});
        }
    }
}

} // namespace

void read_dependencies(Reading& reading) {
    foreign_keys(reading);
    views(reading);
    triggers(reading, functions(reading));
    column_types(reading);
    sequences(reading);
    expressions(reading);
    grants(reading);
}

} // namespace pgcarve::catalog
