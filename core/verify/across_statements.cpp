#include "verify/across_statements.hpp"

namespace pgcarve::verify {

namespace {

using sql::Sql;

void add_column(Sql& q, std::string const& name) {
    std::string const one[]{name};
    q.names(one, "x");
}

void add_cast(Sql& q, AcrossShape const& shape, Side side, std::size_t column) {
    q.add("::").server_text(shape.columns[column].type[side]);
}

void add_base(Sql& q, AcrossShape const& shape, Side side, std::size_t column) {
    add_column(q, shape.columns[column].name);
    if (shape.columns[column].domain[side])
        add_cast(q, shape, side, column);
}

// format() calls the type's output function; a cast to text would strip char(n)'s padding. num_nulls(): unlike IS NULL
// it does not look into a composite value.
void add_text(Sql& q, AcrossShape const& shape, std::size_t column) {
    q.add("CASE WHEN pg_catalog.num_nulls(");
    add_column(q, shape.columns[column].name);
    q.add(") = 0 THEN pg_catalog.format('%s', ");
    add_column(q, shape.columns[column].name);
    q.add(") END");
}

// The column as bytes.
void add_bytes(Sql& q, AcrossShape const& shape, Side side, std::size_t column) {
    auto const& c = shape.columns[column];
    if (c.by_text) {
        q.add("pg_catalog.textsend(");
        add_text(q, shape, column);
        q.add(")");
        return;
    }
    q.add(c.send[side]).add("(");
    add_base(q, shape, side, column);
    q.add(")");
}

// 64 bits of these columns. `seed` is added as it is.
template <class Seed>
void add_hash(Sql& q, AcrossShape const& shape, Side side, std::vector<std::size_t> const& columns, Seed const& seed) {
    if (shape.hash == RowHash::array) {
        q.add("pg_catalog.hash_array_extended(ARRAY[");
        for (std::size_t i = 0; i < columns.size(); ++i) {
            if (i > 0)
                q.add(", ");
            add_bytes(q, shape, side, columns[i]);
        }
        q.add("]::pg_catalog.bytea[], ");
        seed();
        q.add(")");
        return;
    }
    // Each value with its length before it, NULL by itself: no two rows have the same bytes.
    q.add("('x' || pg_catalog.substr(pg_catalog.encode(pg_catalog.sha256(");
    for (std::size_t i = 0; i < columns.size(); ++i) {
        q.add(i > 0 ? Sql::Fixed{" || coalesce(pg_catalog.int4send(pg_catalog.length("} : Sql::Fixed{"coalesce(pg_catalog.int4send(pg_catalog.length("});
        add_bytes(q, shape, side, columns[i]);
        q.add(")) || ");
        add_bytes(q, shape, side, columns[i]);
        q.add(", pg_catalog.decode('ffffffff', 'hex'))");
    }
    q.add("), 'hex'), 1, 16))::pg_catalog.bit(64)::pg_catalog.int8");
}

std::vector<std::size_t> key_columns(AcrossShape const& shape) {
    std::vector<std::size_t> columns;
    for (auto const& part : shape.key)
        columns.push_back(part.column);
    return columns;
}

void add_key_hash(Sql& q, AcrossShape const& shape, Side side, long long seed) {
    add_hash(q, shape, side, key_columns(shape), [&] { q.number(seed); });
}

// Different seeds for what a key is hashed for, so that one use says nothing about another.
constexpr long long seed_of_row = 1;
constexpr long long seed_of_bucket = 2;
constexpr long long seed_of_part = 3;

void add_bucket(Sql& q, AcrossShape const& shape, Side side) {
    q.add("(");
    add_key_hash(q, shape, side, seed_of_bucket);
    q.add(" & ").number(hash_buckets - 1).add(")::pg_catalog.int4");
}

template <class Value>
void add_row(Sql& q, AcrossShape const& shape, Value const& value) {
    if (shape.key.size() > 1)
        q.add("ROW(");
    for (std::size_t i = 0; i < shape.key.size(); ++i) {
        if (i > 0)
            q.add(", ");
        value(i);
    }
    if (shape.key.size() > 1)
        q.add(")");
}

void add_key_row(Sql& q, AcrossShape const& shape) {
    add_row(q, shape, [&](std::size_t i) { add_column(q, shape.columns[shape.key[i].column].name); });
}

void add_bound(Sql& q, AcrossShape const& shape, Side side, Key const& bound) {
    add_row(q, shape, [&](std::size_t i) {
        q.bind(bound[i]);
        add_cast(q, shape, side, shape.key[i].column);
    });
}

void add_from(Sql& q, AcrossShape const& shape, Side side, AcrossScope const& scope) {
    q.add(" FROM ").add(shape.table[side]).add(" AS x WHERE true");
    if (scope.range.after) {
        q.add(" AND ");
        add_key_row(q, shape);
        q.add(" OPERATOR(pg_catalog.>) ");
        add_bound(q, shape, side, *scope.range.after);
    }
    if (scope.range.up_to) {
        q.add(" AND ");
        add_key_row(q, shape);
        q.add(" OPERATOR(pg_catalog.<=) ");
        add_bound(q, shape, side, *scope.range.up_to);
    }
    if (scope.parts > 1) {
        q.add(" AND (");
        add_key_hash(q, shape, side, seed_of_part);
        q.add(" & 9223372036854775807) % ").number(scope.parts).add(" = ").number(scope.part);
    }
    if (!scope.buckets.empty()) {
        q.add(" AND ");
        add_bucket(q, shape, side);
        std::vector<std::string> numbers;
        for (auto const bucket : scope.buckets)
            numbers.push_back(std::to_string(bucket));
        q.add(" = ANY (").bind(pg::format_array(numbers)).add("::pg_catalog.int4[])");
    }
    if (scope.without != nullptr && !scope.without->empty()) {
        q.add(" AND NOT EXISTS (SELECT FROM ");
        add_keys(q, shape, *scope.without);
        q.add(" WHERE ");
        add_key_matches(q, shape, side);
        q.add(")");
    }
    // The operator's own SQL: it runs with the operator's rights, in a read-only transaction.
    if (!scope.where.empty())
        q.add(" AND (").server_text(scope.where).add("\n)");
}

void add_from_keys(Sql& q, AcrossShape const& shape, Side side, std::vector<Key> const& keys, std::string const& where) {
    q.add(" FROM ");
    add_keys(q, shape, keys);
    q.add(" JOIN ").add(shape.table[side]).add(" AS x ON ");
    add_key_matches(q, shape, side);
    if (!where.empty())
        q.add(" WHERE (").server_text(where).add("\n)");
}

} // namespace

void add_keys(Sql& q, AcrossShape const& shape, std::vector<Key> const& keys) {
    q.add("ROWS FROM (");
    for (std::size_t i = 0; i < shape.key.size(); ++i) {
        std::vector<std::string> values;
        values.reserve(keys.size());
        for (auto const& key : keys)
            values.push_back(key[i]);
        q.add(i > 0 ? Sql::Fixed{", pg_catalog.unnest("} : Sql::Fixed{"pg_catalog.unnest("}).bind(pg::format_array(values)).add("::pg_catalog.text[])");
    }
    q.add(") WITH ORDINALITY AS w (");
    for (std::size_t i = 0; i < shape.key.size(); ++i)
        q.add("k").number(static_cast<long long>(i)).add(", ");
    q.add("n)");
}

void add_key_matches(Sql& q, AcrossShape const& shape, Side side) {
    for (std::size_t i = 0; i < shape.key.size(); ++i) {
        if (i > 0)
            q.add(" AND ");
        add_column(q, shape.columns[shape.key[i].column].name);
        q.add(" ");
        add_operator(q, shape.key[i].equal[side]);
        q.add(" w.k").number(static_cast<long long>(i));
        add_cast(q, shape, side, shape.key[i].column);
    }
}

void add_row_hash(Sql& q, AcrossShape const& shape, Side side) {
    std::vector<std::size_t> all;
    for (std::size_t i = 0; i < shape.columns.size(); ++i)
        all.push_back(i);
    add_hash(q, shape, side, all, [&] {
        if (shape.key.size() == 1 && shape.columns[shape.key.front().column].whole_number) {
            add_base(q, shape, side, shape.key.front().column);
            q.add("::pg_catalog.int8");
        } else {
            add_key_hash(q, shape, side, seed_of_row);
        }
    });
}

Sql across_bounds(AcrossShape const& shape, Side side, double percent, double step, AcrossScope const& scope) {
    Sql q{"SELECT "};
    for (std::size_t i = 0; i < shape.key.size(); ++i) {
        if (i > 0)
            q.add(", ");
        add_text(q, shape, shape.key[i].column);
    }
    q.add(" FROM (SELECT ");
    for (auto const& part : shape.key) {
        add_column(q, shape.columns[part.column].name);
        q.add(", ");
    }
    q.add("pg_catalog.row_number() OVER (ORDER BY ");
    for (std::size_t i = 0; i < shape.key.size(); ++i) {
        if (i > 0)
            q.add(", ");
        add_column(q, shape.columns[shape.key[i].column].name);
    }
    q.add(") AS \"pgcarve row\" FROM ").add(shape.table[side]).add(" AS x");
    if (percent < 100.0)
        q.add(" TABLESAMPLE SYSTEM (").bind(std::to_string(percent)).add("::pg_catalog.float4)");
    if (!scope.where.empty())
        q.add(" WHERE (").server_text(scope.where).add("\n)");
    return q.add(") AS x WHERE x.\"pgcarve row\" % ")
        .bind(std::to_string(static_cast<long long>(step)))
        .add("::pg_catalog.int8 = 0 ORDER BY x.\"pgcarve row\"");
}

Sql next_keys(AcrossShape const& shape, Side side, std::optional<Key> const& after, long long rows, long long step) {
    AcrossScope scope;
    scope.range.after = after;
    Sql q{"SELECT x.\"pgcarve row\" AS n"};
    for (std::size_t i = 0; i < shape.key.size(); ++i) {
        q.add(", ");
        add_text(q, shape, shape.key[i].column);
        q.add(" AS key_").number(static_cast<long long>(i));
    }
    auto const keys = [&] {
        for (std::size_t i = 0; i < shape.key.size(); ++i) {
            if (i > 0)
                q.add(", ");
            add_column(q, shape.columns[shape.key[i].column].name);
        }
    };
    q.add(" FROM (SELECT ");
    keys();
    q.add(", pg_catalog.row_number() OVER (ORDER BY ");
    keys();
    q.add(") AS \"pgcarve row\" FROM (SELECT ");
    keys();
    add_from(q, shape, side, scope);
    q.add(" ORDER BY ");
    keys();
    return q.add(" LIMIT ").number(rows).add(") AS x) AS x WHERE x.\"pgcarve row\" % ").number(step).add(" = 0 OR x.\"pgcarve row\" = ").number(rows).add(" ORDER BY 1");
}

Sql digest_buckets(AcrossShape const& shape, Side side, AcrossScope const& scope) {
    Sql q{"SELECT d.bucket, pg_catalog.count(*) AS rows, pg_catalog.sum(d.hash)::pg_catalog.text AS sum FROM (SELECT "};
    add_bucket(q, shape, side);
    q.add(" AS bucket, ");
    add_row_hash(q, shape, side);
    q.add(" AS hash");
    add_from(q, shape, side, scope);
    return q.add(") AS d GROUP BY d.bucket");
}

Sql digest_one(AcrossShape const& shape, Side side, AcrossScope const& scope) {
    Sql q{"SELECT 0 AS bucket, pg_catalog.count(*) AS rows, pg_catalog.sum("};
    add_row_hash(q, shape, side);
    q.add(")::pg_catalog.text AS sum");
    add_from(q, shape, side, scope);
    return q;
}

Sql digest_ranges(AcrossShape const& shape, Side side, std::vector<Key> const& bounds, AcrossScope const& scope) {
    Sql q{"SELECT b.n AS bucket, d.rows, d.sum FROM ROWS FROM ("};
    for (bool const upper : {false, true}) {
        for (std::size_t i = 0; i < shape.key.size(); ++i) {
            std::vector<std::string> values;
            for (std::size_t n = upper ? 1 : 0; n + (upper ? 0 : 1) < bounds.size(); ++n)
                values.push_back(bounds[n][i]);
            q.add(upper || i > 0 ? Sql::Fixed{", pg_catalog.unnest("} : Sql::Fixed{"pg_catalog.unnest("}).bind(pg::format_array(values)).add("::pg_catalog.text[])");
        }
    }
    q.add(") WITH ORDINALITY AS b (");
    for (std::size_t i = 0; i < shape.key.size(); ++i)
        q.add("l").number(static_cast<long long>(i)).add(", ");
    for (std::size_t i = 0; i < shape.key.size(); ++i)
        q.add("h").number(static_cast<long long>(i)).add(", ");
    q.add("n) CROSS JOIN LATERAL (SELECT pg_catalog.count(*) AS rows, pg_catalog.sum(");
    add_row_hash(q, shape, side);
    q.add(")::pg_catalog.text AS sum");
    add_from(q, shape, side, scope);
    auto const limit = [&](bool upper) {
        q.add(" AND ");
        add_key_row(q, shape);
        q.add(upper ? Sql::Fixed{" OPERATOR(pg_catalog.<=) "} : Sql::Fixed{" OPERATOR(pg_catalog.>) "});
        add_row(q, shape, [&](std::size_t i) {
            q.add(upper ? Sql::Fixed{"b.h"} : Sql::Fixed{"b.l"}).number(static_cast<long long>(i));
            add_cast(q, shape, side, shape.key[i].column);
        });
    };
    limit(false);
    limit(true);
    return q.add(") AS d ORDER BY b.n");
}

Sql declare_rows(AcrossShape const& shape, Side side, std::string_view cursor, AcrossScope const& scope) {
    Sql q{"DECLARE "};
    q.add(sql::Ident{std::string{cursor}}).add(" NO SCROLL CURSOR FOR SELECT ");
    for (std::size_t i = 0; i < shape.key.size(); ++i) {
        // With its length before it: two keys never run into each other. In hex, bytes sort as they are.
        q.add(i > 0 ? Sql::Fixed{" || '/' || pg_catalog.encode("} : Sql::Fixed{"pg_catalog.encode("});
        add_bytes(q, shape, side, shape.key[i].column);
        q.add(", 'hex')");
    }
    q.add(" COLLATE \"C\" AS place, ");
    add_row_hash(q, shape, side);
    q.add(" AS hash");
    for (std::size_t i = 0; i < shape.key.size(); ++i) {
        q.add(", ");
        add_text(q, shape, shape.key[i].column);
        q.add(" AS key_").number(static_cast<long long>(i));
    }
    add_from(q, shape, side, scope);
    return q.add(" ORDER BY 1");
}

Sql digest_keys(AcrossShape const& shape, Side side, std::vector<Key> const& keys, std::string const& where) {
    Sql q{"SELECT pg_catalog.count(*) AS rows, pg_catalog.sum("};
    add_row_hash(q, shape, side);
    q.add(")::pg_catalog.text AS sum");
    if (!shape.listed) {
        add_from_keys(q, shape, side, keys, where);
        return q;
    }
    // One scan of the index: it sorts the values, and the planner knows how many there are.
    std::vector<std::string> values;
    values.reserve(keys.size());
    for (auto const& key : keys)
        values.push_back(key.front());
    q.add(" FROM ").add(shape.table[side]).add(" AS x WHERE ");
    add_column(q, shape.columns[shape.key.front().column].name);
    q.add(" ");
    add_operator(q, shape.key.front().equal[side]);
    q.add(" ANY (").bind(pg::format_array(values));
    add_cast(q, shape, side, shape.key.front().column);
    q.add("[])");
    if (!where.empty())
        q.add(" AND (").server_text(where).add("\n)");
    return q;
}

Sql hash_keys(AcrossShape const& shape, Side side, std::vector<Key> const& keys, std::string const& where) {
    Sql q{"SELECT w.n, "};
    add_row_hash(q, shape, side);
    q.add(" AS hash");
    add_from_keys(q, shape, side, keys, where);
    return q;
}

Sql column_digests(AcrossShape const& shape, Side side, std::vector<Key> const& keys) {
    Sql q{"SELECT w.n, ARRAY["};
    for (std::size_t i = 0; i < shape.columns.size(); ++i) {
        q.add(i > 0 ? Sql::Fixed{", coalesce(pg_catalog.encode(pg_catalog.sha256(pg_catalog.textsend("}
                    : Sql::Fixed{"coalesce(pg_catalog.encode(pg_catalog.sha256(pg_catalog.textsend("});
        add_text(q, shape, i);
        q.add(")");
        if (shape.columns[i].by_both) {
            q.add(" || ");
            add_bytes(q, shape, side, i);
        }
        q.add("), 'hex'), 'null')");
    }
    q.add("] AS columns FROM ");
    add_keys(q, shape, keys);
    q.add(" JOIN ").add(shape.table[side]).add(" AS x ON ");
    add_key_matches(q, shape, side);
    return q;
}

Sql read_columns(AcrossShape const& shape, Side side, std::vector<Key> const& keys, std::vector<std::size_t> const& columns) {
    Sql q{"SELECT w.n"};
    for (std::size_t i = 0; i < columns.size(); ++i) {
        q.add(", ");
        add_text(q, shape, columns[i]);
        q.add(" AS v").number(static_cast<long long>(i));
    }
    q.add(" FROM ");
    add_keys(q, shape, keys);
    q.add(" JOIN ").add(shape.table[side]).add(" AS x ON ");
    add_key_matches(q, shape, side);
    return q;
}

} // namespace pgcarve::verify
