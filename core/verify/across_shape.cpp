#include "verify/across_shape.hpp"

#include <algorithm>
#include <future>
#include <map>

#include <fmt/format.h>

namespace pgcarve::verify {

namespace {

using sql::Sql;

constexpr Side sides[]{Side::source, Side::target};

struct Found {
    std::string oid;
    bool partitioned = false;
};

Found find_table(pg::Session& session, sql::QName const& name, Side side) {
    auto const row = session.maybe_one(Sql{"SELECT c.oid::text AS oid, c.relkind FROM pg_class c JOIN pg_namespace n"
                                           " ON n.oid = c.relnamespace WHERE n.nspname = "}
                                           .bind(name.schema)
                                           .add(" AND c.relname = ")
                                           .bind(name.name));
    if (!row)
        throw Incomparable{fmt::format("the {} table {} does not exist", side == Side::source ? "source" : "target", name.display())};
    auto const kind = row->letter("relkind");
    if (kind != 'r' && kind != 'p')
        throw Incomparable{fmt::format("{} is not a table", name.display())};
    return {row->text("oid"), kind == 'p'};
}

struct OneColumn {
    std::string name;
    std::string type_name; // of the base type, without schema
    std::string type;      // the same for casts
    char kind = 0;
    bool by_text = false;
    bool extension = false;
    bool domain = false;
    bool generated = false;
    bool identity_always = false;
    bool not_null = false;
    bool sorts_alike = false; // the type's order is the same on every server
    sql::QName send;
};

std::vector<OneColumn> read_columns(pg::Session& session, std::string const& table) {
    std::vector<OneColumn> columns;
    for (auto const row : session.query(
             Sql{"SELECT a.attname, b.typname, format_type(b.oid, -1) AS type, b.typtype, t.typtype = 'd' AS domain, a.attnotnull,"
                 " a.attgenerated <> '' AS generated, a.attidentity = 'a' AS identity_always, bn.nspname = 'pg_catalog' AS builtin,"
                 " b.typcategory = 'A' AS is_array, pn.nspname AS send_schema, p.proname AS send_name,"
                 " coalesce(c.collname IN ('C', 'POSIX') AND cn.nspname = 'pg_catalog', false) AS bytewise"
                 " FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid CROSS JOIN LATERAL (WITH RECURSIVE d AS"
                 " (SELECT t.oid, t.typtype, t.typbasetype UNION ALL SELECT n.oid, n.typtype, n.typbasetype FROM d"
                 " JOIN pg_type n ON n.oid = d.typbasetype WHERE d.typtype = 'd') SELECT oid FROM d WHERE typtype <> 'd') AS base"
                 " JOIN pg_type b ON b.oid = base.oid JOIN pg_namespace bn ON bn.oid = b.typnamespace"
                 " LEFT JOIN pg_proc p ON p.oid = b.typsend LEFT JOIN pg_namespace pn ON pn.oid = p.pronamespace"
                 " LEFT JOIN pg_collation c ON c.oid = a.attcollation LEFT JOIN pg_namespace cn ON cn.oid = c.collnamespace"
                 " WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attrelid = "}
                 .bind(table)
                 .add("::oid ORDER BY a.attnum"))) {
        OneColumn column;
        column.name = row.text("attname");
        column.type_name = row.text("typname");
        column.type = row.text("type");
        column.kind = row.letter("typtype");
        column.domain = row.boolean("domain");
        column.generated = row.boolean("generated");
        column.identity_always = row.boolean("identity_always");
        column.not_null = row.boolean("attnotnull");
        bool const builtin = row.boolean("builtin");
        auto const send = row.maybe("send_name");
        bool const range = column.kind == 'r' || column.kind == 'm';
        column.by_text = !send || column.kind == 'c' || row.boolean("is_array") || (builtin && column.type_name.starts_with("reg")) ||
                         (range && !builtin) || column.kind == 'p';
        column.extension = !builtin && column.kind == 'b';
        if (send)
            column.send = {row.text("send_schema"), *send};
        constexpr std::array orders{std::string_view{"int2"},      std::string_view{"int4"},        std::string_view{"int8"},    std::string_view{"uuid"},
                                    std::string_view{"timestamp"}, std::string_view{"timestamptz"}, std::string_view{"date"},    std::string_view{"bytea"},
                                    std::string_view{"oid"},       std::string_view{"time"},        std::string_view{"numeric"}, std::string_view{"bool"}};
        bool const text = builtin && (column.type_name == "text" || column.type_name == "varchar") && row.boolean("bytewise");
        column.sorts_alike = text || (builtin && std::ranges::find(orders, column.type_name) != orders.end());
        columns.push_back(std::move(column));
    }
    return columns;
}

struct IndexColumn {
    std::string name;
    sql::QName equal;
};

// Of the unique index over exactly these columns that serves for all rows.
std::vector<IndexColumn> read_key(pg::Session& session, std::string const& table, std::vector<std::string> key, sql::QName const& name) {
    std::ranges::sort(key);
    auto const rows = session.query(
        Sql{"SELECT i.indexrelid::text AS index, a.attname, o.oprname, n.nspname FROM pg_index i"
            " CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, position)"
            " JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum"
            " JOIN pg_opclass c ON c.oid = i.indclass[k.position - 1]"
            " JOIN pg_amop m ON m.amopfamily = c.opcfamily AND m.amoplefttype = c.opcintype AND m.amoprighttype = c.opcintype"
            " AND m.amoppurpose = 's' AND m.amopstrategy = 3"
            " JOIN pg_operator o ON o.oid = m.amopopr JOIN pg_namespace n ON n.oid = o.oprnamespace"
            " WHERE i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL"
            " AND k.position <= i.indnkeyatts AND i.indrelid = "}
            .bind(table)
            .add("::oid ORDER BY i.indisprimary DESC, i.indexrelid, k.position"));
    std::vector<std::pair<std::string, std::vector<IndexColumn>>> indexes;
    for (auto const row : rows) {
        if (indexes.empty() || indexes.back().first != row.text("index"))
            indexes.emplace_back(row.text("index"), std::vector<IndexColumn>{});
        indexes.back().second.push_back({row.text("attname"), {row.text("nspname"), row.text("oprname")}});
    }
    for (auto& [id, columns] : indexes) {
        std::vector<std::string> names;
        for (auto const& column : columns)
            names.push_back(column.name);
        std::ranges::sort(names);
        if (names == key)
            return std::move(columns);
    }
    throw Incomparable{fmt::format("{} has no valid unique index over its key", name.display())};
}

struct Size {
    double rows = 0;
    double pages = 0;
};

Size read_size(pg::Session& session, std::string const& table) {
    auto const row = session.one(
        Sql{"WITH leaves AS MATERIALIZED (SELECT c.oid, c.relpages, c.reltuples FROM pg_class c WHERE c.relkind <> 'p' AND (c.oid = "}
            .bind(table)
            .add("::oid OR c.oid IN (SELECT t.relid FROM pg_partition_tree(")
            .bind(table)
            .add("::oid::regclass) AS t))), sized AS MATERIALIZED (SELECT l.relpages, l.reltuples,"
                 " coalesce(pg_relation_size(l.oid), 0)::float8 / current_setting('block_size')::float8 AS pages FROM leaves l)"
                 " SELECT coalesce(sum(pages), 0)::float8 AS pages, coalesce(sum(CASE WHEN relpages > 0 AND reltuples >= 0"
                 " THEN reltuples / relpages * pages ELSE pages * 60 END), 0)::float8 AS rows FROM sized"));
    return {row.real("rows"), row.real("pages")};
}

bool in_order(pg::Session& session, sql::QName const& table, std::string const& column) {
    return session
        .one(Sql{"SELECT coalesce(bool_and(abs(correlation) > 0.5), true) AS yes FROM pg_stats WHERE attname = "}
                 .bind(column)
                 .add(" AND schemaname = ")
                 .bind(table.schema)
                 .add(" AND tablename = ")
                 .bind(table.name))
        .boolean("yes");
}

void match(AcrossShape& shape, std::vector<OneColumn> const& source, std::vector<OneColumn> const& target) {
    std::map<std::string, OneColumn const*> by_name;
    for (auto const& column : target)
        by_name[column.name] = &column;
    std::string problems;
    auto const problem = [&](std::string const& text) { problems += (problems.empty() ? "" : "; ") + text; };
    for (auto const& column : source) {
        auto const found = by_name.find(column.name);
        if (found == by_name.end()) {
            problem(fmt::format("column {} is missing in the target", sql::display_ident(column.name)));
            continue;
        }
        auto const& other = *found->second;
        if (other.type_name != column.type_name)
            problem(fmt::format("column {} is {} in the source and {} in the target", sql::display_ident(column.name), column.type, other.type));
        AcrossColumn both;
        both.name = column.name;
        both.by_text = column.by_text || other.by_text;
        both.by_both = !both.by_text && (column.extension || other.extension);
        both.whole_number = column.type_name == "int2" || column.type_name == "int4" || column.type_name == "int8";
        both.type.values = {column.type, other.type};
        both.send.values = {column.send, other.send};
        both.domain.values = {column.domain, other.domain};
        both.generated = other.generated;
        both.identity_always = other.identity_always;
        by_name.erase(found);
        shape.columns.push_back(std::move(both));
    }
    for (auto const& [name, column] : by_name)
        problem(fmt::format("column {} is in the target only", sql::display_ident(name)));
    if (!problems.empty())
        throw Incomparable{"the columns differ: " + problems};
}

} // namespace

AcrossShape read_across(pg::Session& source, pg::Session& target, model::TablePair const& pair, RowHash hash) {
    AcrossShape shape;
    shape.hash = hash;
    shape.table.values = {pair.source, pair.target};
    struct OneSide {
        Found found;
        std::vector<OneColumn> columns;
        std::vector<IndexColumn> key;
        Size size;
        bool in_order = false; // by the first column of the key
    };
    auto const read = [&](pg::Session& session, Side side) {
        OneSide one;
        one.found = find_table(session, shape.table[side], side);
        one.columns = read_columns(session, one.found.oid);
        if (pair.key.empty())
            throw Incomparable{"it has no key: a primary key, or a unique index over NOT NULL columns, is needed"};
        one.key = read_key(session, one.found.oid, pair.key, shape.table[side]);
        one.size = read_size(session, one.found.oid);
        one.in_order = in_order(session, shape.table[side], one.key.front().name);
        return one;
    };
    auto reading = std::async(std::launch::async, [&] { return read(target, Side::target); });
    BothSides<OneSide> both{{read(source, Side::source), {}}};
    both[Side::target] = reading.get();
    BothSides<std::vector<OneColumn>> columns{{std::move(both[Side::source].columns), std::move(both[Side::target].columns)}};
    BothSides<std::vector<IndexColumn>> keys{{std::move(both[Side::source].key), std::move(both[Side::target].key)}};
    for (auto const side : sides) {
        shape.oid[side] = base::Oid{static_cast<std::uint32_t>(std::stoul(both[side].found.oid))};
        shape.rows[side] = both[side].size.rows;
        shape.pages = std::max(shape.pages, both[side].size.pages);
    }
    match(shape, columns[Side::source], columns[Side::target]);
    shape.ordered = true;
    for (auto const& part : keys[Side::source]) {
        auto const at = std::ranges::find(shape.columns, part.name, &AcrossColumn::name);
        auto const there = std::ranges::find(keys[Side::target], part.name, &IndexColumn::name);
        shape.key.push_back({static_cast<std::size_t>(at - shape.columns.begin()), {{part.equal, there->equal}}});
        for (auto const side : sides) {
            auto const& own = *std::ranges::find(columns[side], part.name, &OneColumn::name);
            if (!own.not_null)
                throw Incomparable{fmt::format("key column {} can be NULL", sql::display_ident(part.name))};
            shape.ordered = shape.ordered && own.sorts_alike && !own.domain;
        }
    }
    shape.ordered = shape.ordered && keys[Side::source].front().name == keys[Side::target].front().name;
    bool const in_memory = shape.pages < 16'384; // 128 MB: cached pages cost little to visit in any order
    shape.ranged = shape.ordered && (in_memory || (both[Side::source].in_order && both[Side::target].in_order));
    shape.listed = shape.ordered && shape.key.size() == 1 && std::ranges::none_of(sides, [&](Side side) { return both[side].found.partitioned; });
    return shape;
}

RowHash common_hash(pg::Session& source, pg::Session& target) {
    // Lengths around those that hash_bytes_extended() treats differently, NULL, an empty array, and seeds of both halves.
    auto const vectors = [](pg::Session& session) {
        return session
            .one(Sql{"SELECT string_agg(hash_array_extended(v, s)::text, ',' ORDER BY s, n) AS all"
                     " FROM (SELECT n, CASE WHEN n % 7 = 6 THEN ARRAY[]::bytea[] ELSE ARRAY[decode(repeat('c3', n), 'hex'), NULL,"
                     " int8send(n * 4294967311), textsend(repeat('pgcarve', n))] END AS v FROM generate_series(0, 40) AS n) AS v,"
                     " unnest(ARRAY[0, 1, -1, 4294967296, 9223372036854775807]::int8[]) AS s"})
            .text("all");
    };
    auto there = std::async(std::launch::async, [&] { return vectors(target); });
    return vectors(source) == there.get() ? RowHash::array : RowHash::sha256;
}

} // namespace pgcarve::verify
