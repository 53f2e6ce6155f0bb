#include "verify/repair_statements.hpp"

#include <algorithm>

namespace pgcarve::verify {

namespace {

using sql::Ident;
using sql::Sql;

std::string const& key_name(PairShape const& shape, std::size_t at) { return shape.columns[shape.key[at].column].name; }

std::vector<std::string> writable(PairShape const& shape) {
    std::vector<std::string> names;
    for (auto const& column : shape.columns) {
        if (!column.generated)
            names.push_back(column.name);
    }
    return names;
}

// The columns to SET. A generated column that alone differs is computed anew only when what it is made of is
// written, so then every other column is.
std::vector<std::string> to_set(PairShape const& shape, std::vector<std::size_t> const& columns) {
    std::vector<std::string> names;
    for (auto const at : columns) {
        if (!shape.columns[at].generated)
            names.push_back(shape.columns[at].name);
    }
    if (!names.empty())
        return names;
    for (auto const& column : shape.columns) {
        if (!column.generated && !column.identity_always)
            names.push_back(column.name);
    }
    return names;
}

Sql lock(PairShape const& shape, sql::QName const& table, std::vector<Key> const& keys) {
    Sql q{"SELECT 1 FROM "};
    q.add(table).add(" AS x WHERE ");
    add_key_in(q, shape, keys);
    q.add(" ORDER BY ");
    for (std::size_t i = 0; i < shape.key.size(); ++i) {
        if (i > 0)
            q.add(", ");
        q.add("x.").add(Ident{key_name(shape, i)}).add(" USING ");
        add_operator(q, shape.key[i].operators.less);
    }
    return q;
}

void add_insert_select(Sql& q, PairShape const& shape, std::vector<Key> const& keys) {
    auto const columns = writable(shape);
    q.add("INSERT INTO ").add(shape.target).add(" (").names(columns).add(") OVERRIDING SYSTEM VALUE SELECT ");
    q.names(columns, "x").add(" FROM ").add(shape.source).add(" AS x WHERE ");
    add_key_in(q, shape, keys);
}

void add_absent_from(Sql& q, PairShape const& shape, sql::QName const& table) {
    q.add(" AND NOT EXISTS (SELECT FROM ").add(table).add(" AS y WHERE ");
    add_key_join(q, shape, "y", "x");
    q.add(")");
}

} // namespace

TargetRules read_rules(pg::Session& session, PairShape const& shape) {
    TargetRules rules;
    auto const rows = session.query(
        Sql{"SELECT f.conname, f.confdeltype, n.nspname, c.relname, f.contype,"
            " ARRAY(SELECT a.attname::text FROM unnest(f.conkey) WITH ORDINALITY AS k(n, i) JOIN pg_attribute a"
            " ON a.attrelid = f.conrelid AND a.attnum = k.n ORDER BY k.i) AS referring,"
            " ARRAY(SELECT a.attname::text FROM unnest(f.confkey) WITH ORDINALITY AS k(n, i) JOIN pg_attribute a"
            " ON a.attrelid = f.confrelid AND a.attnum = k.n ORDER BY k.i) AS referenced,"
            " ARRAY(SELECT o.oprname::text FROM unnest(f.conpfeqop) WITH ORDINALITY AS k(n, i) JOIN pg_operator o"
            " ON o.oid = k.n ORDER BY k.i) AS operators,"
            " ARRAY(SELECT s.nspname::text FROM unnest(f.conpfeqop) WITH ORDINALITY AS k(n, i) JOIN pg_operator o"
            " ON o.oid = k.n JOIN pg_namespace s ON s.oid = o.oprnamespace ORDER BY k.i) AS operator_schemas"
            " FROM pg_constraint f JOIN pg_class c ON c.oid = f.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE f.contype = 'f' AND (f.confrelid = "}
            .number(shape.target_oid.value)
            .add(" OR f.confrelid IN (SELECT relid FROM pg_partition_tree(")
            .number(shape.target_oid.value)
            .add("::oid::regclass))) AND (f.conparentid = 0 OR f.confrelid = ")
            .number(shape.target_oid.value)
            .add(")"));
    for (auto const row : rows) {
        char const action = row.letter("confdeltype");
        if (action == 'a')
            continue;
        rules.replaceable = false;
        if (action == 'r')
            continue; // the server itself refuses
        Reaction reaction{{row.text("nspname"), row.text("relname")}, row.text("conname"), row.array("referring"),
                          row.array("referenced"), {}, action};
        auto const names = row.array("operators");
        auto const schemas = row.array("operator_schemas");
        for (std::size_t i = 0; i < names.size(); ++i)
            reaction.operators.push_back({schemas[i], names[i]});
        rules.reactions.push_back(std::move(reaction));
    }
    auto const uniques = session.query(
        Sql{"SELECT DISTINCT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid"
            " AND a.attnum = ANY (i.indkey::int2[]) WHERE (i.indisunique OR i.indisexclusion) AND NOT a.attnotnull"
            " AND a.attgenerated = '' AND i.indrelid = "}
            .number(shape.target_oid.value));
    for (auto const row : uniques)
        rules.nullable_uniques.insert(row.text("attname"));
    return rules;
}

Sql lock_source(PairShape const& shape, std::vector<Key> const& keys) {
    return lock(shape, shape.source, keys).add(" FOR SHARE OF x");
}

Sql lock_target(PairShape const& shape, std::vector<Key> const& keys) {
    return lock(shape, shape.target, keys).add(" FOR UPDATE OF x");
}

Sql insert_rows(PairShape const& shape, std::vector<Key> const& keys) {
    Sql q;
    add_insert_select(q, shape, keys);
    add_absent_from(q, shape, shape.target);
    return q;
}

Sql delete_rows(PairShape const& shape, TargetRules const& rules, std::vector<Key> const& keys) {
    Sql q{"DELETE FROM "};
    q.add(shape.target).add(" AS x WHERE ");
    add_key_in(q, shape, keys);
    add_absent_from(q, shape, shape.source);
    for (auto const& reaction : rules.reactions) {
        q.add(" AND NOT EXISTS (SELECT FROM ").add(reaction.table).add(" AS y WHERE ");
        for (std::size_t i = 0; i < reaction.referring.size(); ++i) {
            if (i > 0)
                q.add(" AND ");
            q.add("x.").add(Ident{reaction.referenced[i]}).add(" ");
            add_operator(q, reaction.operators[i]);
            q.add(" y.").add(Ident{reaction.referring[i]});
        }
        q.add(")");
    }
    return q;
}

Sql update_rows(PairShape const& shape, std::vector<std::size_t> const& columns, std::vector<Key> const& keys) {
    auto const names = to_set(shape, columns);
    Sql q{"UPDATE "};
    q.add(shape.target).add(" AS t SET ");
    for (std::size_t i = 0; i < names.size(); ++i) {
        if (i > 0)
            q.add(", ");
        q.add(Ident{names[i]}).add(" = s.").add(Ident{names[i]});
    }
    q.add(" FROM (SELECT ").names(writable(shape), "x").add(" FROM ").add(shape.source).add(" AS x WHERE ");
    add_key_in(q, shape, keys);
    q.add(") AS s WHERE ");
    add_key_join(q, shape, "t", "s");
    return q;
}

Sql replace_rows(PairShape const& shape, std::vector<Key> const& keys) {
    Sql q{"WITH gone AS (DELETE FROM "};
    q.add(shape.target).add(" AS x WHERE ");
    add_key_in(q, shape, keys);
    q.add(" RETURNING 1) ");
    add_insert_select(q, shape, keys);
    // Counting makes every delete happen before the first insert looks at a unique index.
    return q.add(" AND (SELECT pg_catalog.count(*) FROM gone) >= 0");
}

Sql park_rows(PairShape const& shape, std::set<std::string> const& columns, std::vector<Key> const& keys) {
    Sql q{"UPDATE "};
    q.add(shape.target).add(" AS x SET ");
    bool first = true;
    for (auto const& column : columns) {
        if (!first)
            q.add(", ");
        first = false;
        q.add(Ident{column}).add(" = NULL");
    }
    q.add(" WHERE ");
    add_key_in(q, shape, keys);
    return q;
}

bool must_replace(PairShape const& shape, std::vector<std::size_t> const& columns) {
    return std::ranges::any_of(columns, [&](std::size_t at) { return shape.columns[at].identity_always; });
}

std::string display_statement(PairShape const& shape, Difference const& difference) {
    std::string where;
    auto const conditions = [&](std::string const& alias) {
        std::string text;
        for (std::size_t i = 0; i < shape.key.size(); ++i)
            text += (i > 0 ? " AND " : "") + alias + sql::display_ident(key_name(shape, i)) + " = " +
                    sql::literal(difference.key[i]);
        return text;
    };
    auto const list = [](std::vector<std::string> const& names, std::string const& alias) {
        std::string text;
        for (auto const& name : names)
            text += (text.empty() ? "" : ", ") + alias + sql::display_ident(name);
        return text;
    };
    auto const columns = list(writable(shape), "");
    auto const insert = "INSERT INTO " + shape.target.display() + " (" + columns + ") OVERRIDING SYSTEM VALUE SELECT " +
                        columns + " FROM " + shape.source.display() + " WHERE " + conditions("") + ";";
    auto const remove = "DELETE FROM " + shape.target.display() + " WHERE " + conditions("") + ";";
    if (difference.kind == model::FindingKind::missing)
        return insert;
    if (difference.kind == model::FindingKind::extra)
        return remove;
    if (must_replace(shape, difference.columns))
        return remove + " " + insert;
    std::string set;
    for (auto const& name : to_set(shape, difference.columns))
        set += (set.empty() ? "" : ", ") + sql::display_ident(name) + " = s." + sql::display_ident(name);
    return "UPDATE " + shape.target.display() + " AS t SET " + set + " FROM " + shape.source.display() + " AS s WHERE " +
           conditions("s.") + " AND " + conditions("t.") + ";";
}

} // namespace pgcarve::verify
