#include "verify/shape.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include <fmt/format.h>

namespace pgcarve::verify {

namespace {

using sql::Sql;

struct Side {
    std::string oid;
    char kind = 0;
};

Side find_table(pg::Session& session, sql::QName const& name, char const* role) {
    auto const row = session.maybe_one(Sql{"SELECT c.oid::text AS oid, c.relkind FROM pg_class c JOIN pg_namespace n"
                                           " ON n.oid = c.relnamespace WHERE n.nspname = "}
                                           .bind(name.schema)
                                           .add(" AND c.relname = ")
                                           .bind(name.name));
    if (!row)
        throw Incomparable{fmt::format("the {} table {} does not exist", role, name.display())};
    Side const side{row->text("oid"), row->letter("relkind")};
    if (side.kind != 'r' && side.kind != 'p')
        throw Incomparable{fmt::format("{} is not a table", name.display())};
    return side;
}

struct CatalogColumn {
    ColumnShape shape;
    std::string type_oid;
    std::string collation;
    bool not_null = false;
};

// Types whose `=` in pg_catalog is true for identical bytes only, so that IS DISTINCT FROM decides alone. Not
// among them: float (0 = -0), numeric (1.0 = 1.00), char(n), interval, jsonb, arrays, anything made of these.
constexpr std::array exact_types{
    std::string_view{"bool"}, std::string_view{"int2"},      std::string_view{"int4"},        std::string_view{"int8"},
    std::string_view{"oid"},  std::string_view{"date"},      std::string_view{"time"},        std::string_view{"timestamp"},
    std::string_view{"uuid"}, std::string_view{"bytea"},     std::string_view{"timestamptz"}, std::string_view{"text"},
    std::string_view{"varchar"},
};

std::vector<CatalogColumn> read_columns(pg::Session& session, std::string const& table) {
    auto const rows = session.query(
        Sql{"SELECT a.attname, a.atttypid::text AS type_oid, format_type(a.atttypid, -1) AS type,"
            " a.attcollation::text AS collation, a.attnotnull, a.attgenerated <> '' AS generated,"
            " a.attidentity = 'a' AS identity_always, t.typname, t.typtype, tn.nspname = 'pg_catalog' AS builtin,"
            " CASE WHEN pn.nspname <> 'pg_catalog' OR t.typname LIKE 'reg%' THEN pn.nspname END AS send_schema,"
            " p.proname AS send_name"
            " FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid JOIN pg_namespace tn ON tn.oid = t.typnamespace"
            " LEFT JOIN pg_proc p ON p.oid = t.typsend LEFT JOIN pg_namespace pn ON pn.oid = p.pronamespace"
            " WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attrelid = "}
            .bind(table)
            .add("::oid ORDER BY a.attnum"));
    std::vector<CatalogColumn> columns;
    for (auto const row : rows) {
        CatalogColumn column;
        column.shape.name = row.text("attname");
        column.shape.type = row.text("type");
        auto const type_name = row.text("typname");
        bool const listed = row.boolean("builtin") && std::ranges::find(exact_types, type_name) != exact_types.end();
        column.shape.exact = listed || row.letter("typtype") == 'e';
        column.shape.textual = listed && (type_name == "text" || type_name == "varchar");
        if (auto schema = row.maybe("send_schema"))
            column.shape.send = sql::QName{*std::move(schema), row.text("send_name")};
        column.shape.generated = row.boolean("generated");
        column.shape.identity_always = row.boolean("identity_always");
        column.type_oid = row.text("type_oid");
        column.collation = row.text("collation");
        column.not_null = row.boolean("attnotnull");
        column.shape.nullable = !column.not_null;
        columns.push_back(std::move(column));
    }
    return columns;
}

struct IndexKey {
    std::vector<std::string> names;
    std::vector<KeyOperators> operators;
};

// The unique indexes that hold for every row of the table and name plain columns only.
std::vector<IndexKey> unique_indexes(pg::Session& session, std::string const& table) {
    auto const rows = session.query(
        Sql{"SELECT i.indexrelid::text AS index, a.attname, f.names, f.schemas FROM pg_index i"
            " CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, position)"
            " JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum"
            " JOIN pg_opclass c ON c.oid = i.indclass[k.position - 1]"
            " CROSS JOIN LATERAL (SELECT array_agg(o.oprname::text ORDER BY m.amopstrategy) AS names,"
            " array_agg(n.nspname::text ORDER BY m.amopstrategy) AS schemas FROM pg_amop m"
            " JOIN pg_operator o ON o.oid = m.amopopr JOIN pg_namespace n ON n.oid = o.oprnamespace"
            " WHERE m.amopfamily = c.opcfamily AND m.amoplefttype = c.opcintype AND m.amoprighttype = c.opcintype"
            " AND m.amoppurpose = 's') AS f"
            " WHERE i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL"
            " AND k.position <= i.indnkeyatts AND i.indrelid = "}
            .bind(table)
            .add("::oid ORDER BY i.indisprimary DESC, i.indexrelid, k.position"));
    std::vector<IndexKey> found;
    std::string current;
    for (auto const row : rows) {
        if (auto index = row.text("index"); found.empty() || index != current) {
            current = std::move(index);
            found.emplace_back();
        }
        auto const names = row.array("names");
        auto const schemas = row.array("schemas");
        if (names.size() != 5)
            base::bug("an index of a unique constraint has no five btree operators");
        auto const member = [&](std::size_t at) { return sql::QName{schemas[at], names[at]}; };
        found.back().names.push_back(row.text("attname"));
        found.back().operators.push_back({member(0), member(1), member(2), member(3), member(4)});
    }
    return found;
}

std::optional<IndexKey> index_on(std::vector<IndexKey> indexes, std::vector<std::string> key) {
    std::ranges::sort(key);
    for (auto& index : indexes) {
        auto names = index.names;
        std::ranges::sort(names);
        if (names == key)
            return std::move(index);
    }
    return std::nullopt;
}

struct Size {
    double rows = 0;
    double pages = 0;
};

Size read_size(pg::Session& session, std::string const& table) {
    // pg_partition_tree() gives nothing for a table that has no part in partitioning.
    // 60 rows a page where nothing was ever counted: an estimate decides about the pieces, never about results.
    // The list is materialized first: asked during the join, pg_relation_size() would wait for locks of strangers.
    auto const row = session.one(
        Sql{"WITH leaves AS MATERIALIZED (SELECT c.oid, c.relpages, c.reltuples FROM pg_class c WHERE c.relkind <> 'p'"
            " AND (c.oid = "}
            .bind(table)
            .add("::oid OR c.oid IN (SELECT t.relid FROM pg_partition_tree(")
            .bind(table)
            .add("::oid::regclass) AS t))), sized AS MATERIALIZED (SELECT l.relpages, l.reltuples,"
                 " coalesce(pg_relation_size(l.oid), 0)::float8 / current_setting('block_size')::float8 AS pages FROM leaves l)"
                 " SELECT coalesce(sum(pages), 0)::float8 AS pages, coalesce(sum(CASE WHEN relpages > 0 AND reltuples >= 0"
                 " THEN reltuples / relpages * pages ELSE pages * 60 END), 0)::float8 AS rows FROM sized"));
    return {row.real("rows"), row.real("pages")};
}

bool key_ordered(pg::Session& session, PairShape const& shape) {
    auto const column = shape.columns[shape.key.front().column].name;
    auto const row = session.one(Sql{"SELECT coalesce(bool_and(abs(s.correlation) > 0.5), true) AS ordered FROM pg_stats s"
                                     " WHERE s.attname = "}
                                     .bind(column)
                                     .add(" AND (s.schemaname, s.tablename) IN ((")
                                     .bind(shape.source.schema)
                                     .add(", ")
                                     .bind(shape.source.name)
                                     .add("), (")
                                     .bind(shape.target.schema)
                                     .add(", ")
                                     .bind(shape.target.name)
                                     .add("))"));
    return row.boolean("ordered");
}

void match_columns(PairShape& shape, std::vector<CatalogColumn> source, std::vector<CatalogColumn> const& target) {
    std::map<std::string, CatalogColumn const*> by_name;
    for (auto const& column : target)
        by_name[column.shape.name] = &column;
    std::string problems;
    auto const problem = [&](std::string const& text) { problems += (problems.empty() ? "" : "; ") + text; };
    for (auto& column : source) {
        auto const found = by_name.find(column.shape.name);
        if (found == by_name.end()) {
            problem(fmt::format("column {} is missing in the target", sql::display_ident(column.shape.name)));
            continue;
        }
        auto const& other = *found->second;
        if (other.type_oid != column.type_oid)
            problem(fmt::format("column {} is {} in the source and {} in the target",
                                sql::display_ident(column.shape.name), column.shape.type, other.shape.type));
        column.shape.generated = other.shape.generated;
        column.shape.identity_always = other.shape.identity_always;
        column.shape.nullable = other.shape.nullable;
        by_name.erase(found);
        shape.columns.push_back(std::move(column.shape));
    }
    for (auto const& [name, column] : by_name)
        problem(fmt::format("column {} is in the target only", sql::display_ident(name)));
    if (!problems.empty())
        throw Incomparable{"the columns differ: " + problems};
}

} // namespace

PairShape read_shape(pg::Session& session, model::TablePair const& pair) {
    auto const source = find_table(session, pair.source, "source");
    auto const target = find_table(session, pair.target, "target");
    auto const source_columns = read_columns(session, source.oid);
    auto const target_columns = read_columns(session, target.oid);
    PairShape shape;
    shape.source = pair.source;
    shape.target = pair.target;
    shape.source_oid = base::Oid{static_cast<std::uint32_t>(std::stoul(source.oid))};
    shape.target_oid = base::Oid{static_cast<std::uint32_t>(std::stoul(target.oid))};
    match_columns(shape, source_columns, target_columns);

    if (pair.key.empty())
        throw Incomparable{"it has no key: a primary key, or a unique index over NOT NULL columns, is needed"};
    auto const index = index_on(unique_indexes(session, source.oid), pair.key);
    if (!index)
        throw Incomparable{fmt::format("{} has no valid unique index over its key", pair.source.display())};
    if (!index_on(unique_indexes(session, target.oid), pair.key))
        throw Incomparable{fmt::format("{} has no valid unique index over its key", pair.target.display())};
    auto const named = [](std::vector<CatalogColumn> const& columns, std::string const& name) {
        return std::ranges::find(columns, name, [](CatalogColumn const& c) { return c.shape.name; });
    };
    for (std::size_t i = 0; i < index->names.size(); ++i) {
        auto const& name = index->names[i];
        auto const a = named(source_columns, name);
        auto const b = named(target_columns, name);
        if (!a->not_null || !b->not_null)
            throw Incomparable{fmt::format("key column {} can be NULL", sql::display_ident(name))};
        // The bounds of a range must cut both sides at the same place.
        if (a->collation != b->collation)
            throw Incomparable{fmt::format("key column {} has different collations", sql::display_ident(name))};
        auto const at = std::ranges::find(shape.columns, name, &ColumnShape::name);
        shape.key.push_back({static_cast<std::size_t>(at - shape.columns.begin()), index->operators[i]});
    }
    auto const source_size = read_size(session, source.oid);
    auto const target_size = read_size(session, target.oid);
    shape.source_rows = source_size.rows;
    shape.target_rows = target_size.rows;
    shape.sample_target = target_size.pages > source_size.pages;
    shape.pages = std::max(source_size.pages, target_size.pages);
    shape.key_ordered = key_ordered(session, shape);
    return shape;
}

std::string changed_since_snapshot(pg::Session& session, std::vector<base::Oid> const& tables) {
    Sql roots;
    for (auto const& table : tables)
        roots.add(&table == &tables.front() ? Sql::Fixed{"("} : Sql::Fixed{", ("}).number(table.value).add("::oid)");
    // pg_class is read as of the snapshot, pg_relation_filenode() and pg_partition_tree() tell what is now.
    auto const rows = session.query(
        Sql{"WITH RECURSIVE roots(oid) AS (VALUES "}
            .add(roots)
            .add("), seen(oid) AS (SELECT oid FROM roots UNION ALL SELECT i.inhrelid FROM seen"
                 " JOIN pg_inherits i ON i.inhparent = seen.oid JOIN pg_class c ON c.oid = i.inhrelid AND c.relispartition),"
                 " present(oid) AS (SELECT oid FROM roots UNION"
                 " SELECT t.relid::oid FROM roots, pg_partition_tree(roots.oid::regclass) AS t)"
                 " SELECT coalesce(seen.oid, present.oid)::regclass::text AS name FROM seen FULL JOIN present USING (oid)"
                 " LEFT JOIN pg_class c ON c.oid = present.oid WHERE seen.oid IS NULL OR present.oid IS NULL OR c.oid IS NULL"
                 " OR c.relfilenode <> coalesce(pg_relation_filenode(c.oid), 0)::oid LIMIT 1"));
    if (rows.empty())
        return {};
    return fmt::format("{} was truncated, rewritten, attached or detached while the comparison ran", rows[0].text("name"));
}

} // namespace pgcarve::verify
