#include "verify/statements.hpp"

#include <charconv>

namespace pgcarve::verify {

namespace {

using sql::Ident;
using sql::Sql;

std::string const& name_of(PairShape const& shape, KeyColumn const& key) { return shape.columns[key.column].name; }
std::string const& type_of(PairShape const& shape, KeyColumn const& key) { return shape.columns[key.column].type; }

void add_column(Sql& q, std::string_view alias, std::string const& name) {
    std::string const one[]{name};
    q.names(one, alias);
}

void add_key_value(Sql& q, PairShape const& shape, KeyColumn const& key, std::string const& value) {
    q.bind(value).add("::").server_text(type_of(shape, key));
}

bool plain(sql::QName const& op, std::string_view name) { return op.schema == "pg_catalog" && op.name == name; }

// Every column has the ordinary operators, so that one row comparison, which an index serves, says it all.
bool row_comparable(PairShape const& shape) {
    for (auto const& key : shape.key) {
        if (!plain(key.operators.greater, ">") || !plain(key.operators.less_equal, "<="))
            return false;
    }
    return true;
}

void add_row_comparison(Sql& q, PairShape const& shape, bool above, Key const& bound) {
    q.add("ROW(");
    for (std::size_t i = 0; i < shape.key.size(); ++i) {
        if (i > 0)
            q.add(", ");
        add_column(q, "x", name_of(shape, shape.key[i]));
    }
    if (above)
        q.add(") OPERATOR(pg_catalog.>) ROW(");
    else
        q.add(") OPERATOR(pg_catalog.<=) ROW(");
    for (std::size_t i = 0; i < shape.key.size(); ++i) {
        if (i > 0)
            q.add(", ");
        add_key_value(q, shape, shape.key[i], bound[i]);
    }
    q.add(")");
}

// The same spelt out: (a > 1 OR (a = 1 AND (b > 2 …))), led by a >= 1 for the index.
void add_nested_comparison(Sql& q, PairShape const& shape, bool above, Key const& bound, std::size_t from) {
    auto const& key = shape.key[from];
    bool const last = from + 1 == shape.key.size();
    auto const compare = [&](sql::QName const& op) {
        add_column(q, "x", name_of(shape, key));
        q.add(" ");
        add_operator(q, op);
        q.add(" ");
        add_key_value(q, shape, key, bound[from]);
    };
    if (last) {
        compare(above ? key.operators.greater : key.operators.less_equal);
        return;
    }
    q.add("(");
    compare(above ? key.operators.greater_equal : key.operators.less_equal);
    q.add(" AND (");
    compare(above ? key.operators.greater : key.operators.less);
    q.add(" OR ");
    add_nested_comparison(q, shape, above, bound, from + 1);
    q.add("))");
}

void add_bound(Sql& q, PairShape const& shape, bool above, Key const& bound) {
    if (shape.key.size() > 1 && row_comparable(shape))
        add_row_comparison(q, shape, above, bound);
    else
        add_nested_comparison(q, shape, above, bound, 0);
}

void add_conditions(Sql& q, PairShape const& shape, Scope const& scope) {
    q.add(" WHERE true");
    if (scope.range.after) {
        q.add(" AND ");
        add_bound(q, shape, true, *scope.range.after);
    }
    if (scope.range.up_to) {
        q.add(" AND ");
        add_bound(q, shape, false, *scope.range.up_to);
    }
    if (scope.keys) {
        q.add(" AND ");
        add_key_in(q, shape, *scope.keys);
    }
    // The operator's own SQL: it runs with the operator's rights, in a read-only transaction.
    if (!scope.where.empty())
        q.add(" AND (").server_text(scope.where).add("\n)");
}

void add_side(Sql& q, PairShape const& shape, Scope const& scope, bool source) {
    q.add("(SELECT ");
    for (std::size_t i = 0; i < shape.columns.size(); ++i) {
        if (i > 0)
            q.add(", ");
        add_column(q, "x", shape.columns[i].name);
    }
    q.add(" FROM ").add(source ? shape.source : shape.target).add(" AS x");
    add_conditions(q, shape, scope);
    if (source)
        q.add(") AS s");
    else
        q.add(") AS t");
}

void add_join(Sql& q, PairShape const& shape, Scope const& scope) {
    q.add(" FROM ");
    add_side(q, shape, scope, true);
    q.add(" FULL JOIN ");
    add_side(q, shape, scope, false);
    q.add(" ON ");
    add_key_join(q, shape, "s", "t");
}

// IS [NOT] DISTINCT FROM NULL: unlike IS NULL it does not look into a composite value.
void add_absent(Sql& q, PairShape const& shape, std::string_view alias) {
    add_column(q, alias, name_of(shape, shape.key.front()));
    q.add(" IS NOT DISTINCT FROM NULL");
}

void add_both(Sql& q, PairShape const& shape) {
    add_column(q, "s", name_of(shape, shape.key.front()));
    q.add(" IS DISTINCT FROM NULL AND ");
    add_column(q, "t", name_of(shape, shape.key.front()));
    q.add(" IS DISTINCT FROM NULL");
}

void add_exact(Sql& q, ColumnShape const& column) {
    add_column(q, "s", column.name);
    if (column.textual)
        q.add(" COLLATE \"C\"");
    q.add(" IS DISTINCT FROM ");
    add_column(q, "t", column.name);
    if (column.textual)
        q.add(" COLLATE \"C\"");
}

void add_images(Sql& q, PairShape const& shape, std::string_view alias) {
    bool first = true;
    // Without ::record this would be a row comparison, element by element with an operator each type lacks.
    q.add("ROW(");
    for (auto const& column : shape.columns) {
        if (column.exact)
            continue;
        if (!first)
            q.add(", ");
        first = false;
        add_column(q, alias, column.name);
    }
    q.add(")::pg_catalog.record");
}

void add_flag(Sql& q, PairShape const& shape) {
    bool first = true;
    bool images = false;
    q.add("(");
    for (auto const& column : shape.columns) {
        if (!column.exact) {
            images = true;
            continue;
        }
        if (!first)
            q.add(" OR ");
        first = false;
        add_exact(q, column);
    }
    if (images) {
        if (!first)
            q.add(" OR ");
        add_images(q, shape, "s");
        q.add(" OPERATOR(pg_catalog.*<>) ");
        add_images(q, shape, "t");
    }
    q.add(")");
}

void add_text(Sql& q, std::string_view alias, std::string const& column) {
    // format() calls the type's output function; a cast to text would strip char(n)'s padding.
    q.add("pg_catalog.format('%s', ");
    add_column(q, alias, column);
    q.add(")");
}

void add_opinion(Sql& q, ColumnShape const& column) {
    if (column.exact) {
        q.add("(");
        add_exact(q, column);
        q.add(")");
        return;
    }
    auto const call = [&](std::string_view alias) {
        q.add(*column.send).add("(");
        add_column(q, alias, column.name);
        q.add(")");
    };
    q.add("(pg_catalog.num_nulls(");
    add_column(q, "s", column.name);
    q.add(") <> pg_catalog.num_nulls(");
    add_column(q, "t", column.name);
    q.add(") OR ");
    add_text(q, "s", column.name);
    q.add(" COLLATE \"C\" <> ");
    add_text(q, "t", column.name);
    q.add(" COLLATE \"C\"");
    if (column.send) {
        q.add(" OR ");
        call("s");
        q.add(" IS DISTINCT FROM ");
        call("t");
    }
    q.add(")");
}

void add_really_different(Sql& q, PairShape const& shape) {
    q.add("(");
    add_both(q, shape);
    q.add(" AND ");
    add_flag(q, shape);
    q.add(" AND (");
    for (std::size_t i = 0; i < shape.columns.size(); ++i) {
        if (i > 0)
            q.add(" OR ");
        add_opinion(q, shape.columns[i]);
    }
    q.add("))");
}

void add_order(Sql& q, PairShape const& shape, std::string_view alias) {
    for (std::size_t i = 0; i < shape.key.size(); ++i) {
        if (i > 0)
            q.add(", ");
        auto const& key = shape.key[i];
        if (alias.empty()) {
            q.add("coalesce(");
            add_column(q, "s", name_of(shape, key));
            q.add(", ");
            add_column(q, "t", name_of(shape, key));
            q.add(")");
        } else {
            add_column(q, alias, name_of(shape, key));
        }
        // The index's own order, not the type's default: pages of keys must follow the bounds' operators.
        q.add(" USING ");
        add_operator(q, key.operators.less);
    }
}

} // namespace

void add_operator(Sql& q, sql::QName const& name) {
    // An operator's name cannot be quoted; it comes from the catalog.
    q.add("OPERATOR(").add(Ident{name.schema}).add(".").server_text(name.name).add(")");
}

void add_key_join(Sql& q, PairShape const& shape, std::string_view left, std::string_view right) {
    for (std::size_t i = 0; i < shape.key.size(); ++i) {
        auto const& key = shape.key[i];
        if (i > 0)
            q.add(" AND ");
        add_column(q, left, name_of(shape, key));
        q.add(" ");
        add_operator(q, key.operators.equal);
        q.add(" ");
        add_column(q, right, name_of(shape, key));
    }
}

void add_key_in(Sql& q, PairShape const& shape, std::vector<Key> const& keys) {
    // Texts cast one by one: unnest() of the type's own array would flatten a key that is an array itself.
    q.add("EXISTS (SELECT FROM ROWS FROM (");
    for (std::size_t i = 0; i < shape.key.size(); ++i) {
        std::vector<std::string> values;
        values.reserve(keys.size());
        for (auto const& key : keys)
            values.push_back(key[i]);
        if (i > 0)
            q.add(", ");
        q.add("pg_catalog.unnest(").bind(pg::format_array(values)).add("::pg_catalog.text[])");
    }
    q.add(") AS w(");
    for (std::size_t i = 0; i < shape.key.size(); ++i) {
        if (i > 0)
            q.add(", ");
        q.add("k").number(static_cast<long long>(i));
    }
    q.add(") WHERE ");
    for (std::size_t i = 0; i < shape.key.size(); ++i) {
        auto const& key = shape.key[i];
        if (i > 0)
            q.add(" AND ");
        add_column(q, "x", name_of(shape, key));
        q.add(" ");
        add_operator(q, key.operators.equal);
        q.add(" w.k").number(static_cast<long long>(i)).add("::").server_text(type_of(shape, key));
    }
    q.add(")");
}

Sql sample_bounds(PairShape const& shape, double percent, double step, std::string const& where) {
    Sql q{"SELECT "};
    for (std::size_t i = 0; i < shape.key.size(); ++i) {
        if (i > 0)
            q.add(", ");
        add_text(q, "x", name_of(shape, shape.key[i]));
    }
    q.add(" FROM (SELECT ");
    for (auto const& key : shape.key) {
        add_column(q, "x", name_of(shape, key));
        q.add(", ");
    }
    q.add("pg_catalog.row_number() OVER (ORDER BY ");
    add_order(q, shape, "x");
    q.add(") AS \"pgcarve row\" FROM ")
        .add(shape.sample_target ? shape.target : shape.source)
        .add(" AS x TABLESAMPLE SYSTEM (")
        .bind(std::to_string(percent))
        .add("::pg_catalog.float4)");
    Scope scope;
    scope.where = where;
    add_conditions(q, shape, scope);
    return q.add(") AS x WHERE x.\"pgcarve row\" % ")
        .bind(std::to_string(static_cast<long long>(step)))
        .add("::pg_catalog.int8 = 0 ORDER BY x.\"pgcarve row\"");
}

Sql next_pair_keys(PairShape const& shape, std::optional<Key> const& after, long long rows, long long step) {
    Sql q{"SELECT x.\"pgcarve row\""};
    for (auto const& key : shape.key) {
        q.add(", ");
        add_text(q, "x", name_of(shape, key));
    }
    q.add(" FROM (SELECT x.*, pg_catalog.row_number() OVER (ORDER BY ");
    add_order(q, shape, "x");
    q.add(") AS \"pgcarve row\" FROM (SELECT ");
    for (std::size_t i = 0; i < shape.key.size(); ++i) {
        if (i > 0)
            q.add(", ");
        add_column(q, "x", name_of(shape, shape.key[i]));
    }
    q.add(" FROM ").add(shape.source).add(" AS x");
    Scope scope;
    scope.range.after = after;
    add_conditions(q, shape, scope);
    q.add(" ORDER BY ");
    add_order(q, shape, "x");
    return q.add(" LIMIT ").number(rows).add(") AS x) AS x WHERE x.\"pgcarve row\" % ").number(step).add(" = 0 OR x.\"pgcarve row\" = ").number(rows).add(" ORDER BY 1");
}

Sql count_differences(PairShape const& shape, Scope const& scope) {
    Sql q{"SELECT pg_catalog.count(*) FILTER (WHERE "};
    add_column(q, "s", name_of(shape, shape.key.front()));
    q.add(" IS DISTINCT FROM NULL) AS rows, pg_catalog.count(*) FILTER (WHERE ");
    add_absent(q, shape, "t");
    q.add(") AS missing, pg_catalog.count(*) FILTER (WHERE ");
    add_absent(q, shape, "s");
    q.add(") AS extra, pg_catalog.count(*) FILTER (WHERE ");
    add_both(q, shape);
    q.add(" AND ");
    add_flag(q, shape);
    q.add(") AS flagged");
    add_join(q, shape, scope);
    return q;
}

Sql count_different(PairShape const& shape, Scope const& scope) {
    Sql q{"SELECT pg_catalog.count(*) AS different"};
    add_join(q, shape, scope);
    q.add(" WHERE ");
    add_really_different(q, shape);
    return q;
}

Sql list_differences(PairShape const& shape, Scope const& scope, Kinds kinds, std::size_t limit) {
    Sql q{"SELECT CASE WHEN "};
    add_absent(q, shape, "t");
    q.add(" THEN 'missing' WHEN ");
    add_absent(q, shape, "s");
    q.add(" THEN 'extra' ELSE 'different' END AS kind");
    for (std::size_t i = 0; i < shape.key.size(); ++i) {
        auto const& name = name_of(shape, shape.key[i]);
        q.add(", pg_catalog.format('%s', coalesce(");
        add_column(q, "s", name);
        q.add(", ");
        add_column(q, "t", name);
        q.add(")) AS key_").number(static_cast<long long>(i));
    }
    q.add(", CASE WHEN ");
    add_both(q, shape);
    q.add(" THEN pg_catalog.array_remove(ARRAY[");
    for (std::size_t i = 0; i < shape.columns.size(); ++i) {
        if (i > 0)
            q.add(", ");
        q.add("CASE WHEN ");
        add_opinion(q, shape.columns[i]);
        q.add(" THEN ").number(static_cast<long long>(i)).add(" END");
    }
    q.add("]::pg_catalog.int4[], NULL) END AS columns");
    add_join(q, shape, scope);
    q.add(" WHERE ");
    if (kinds != Kinds::missing_or_different) {
        q.add("(");
        add_absent(q, shape, "s");
        q.add(")");
    }
    if (kinds == Kinds::all)
        q.add(" OR ");
    if (kinds != Kinds::extra) {
        q.add("(");
        add_absent(q, shape, "t");
        q.add(") OR ");
        add_really_different(q, shape);
    }
    q.add(" ORDER BY ");
    add_order(q, shape, {});
    return q.add(" LIMIT ").number(static_cast<long long>(limit));
}

std::vector<Difference> read_differences(PairShape const& shape, pg::Rows const& rows) {
    std::vector<Difference> found;
    found.reserve(rows.size());
    for (auto const row : rows) {
        Difference difference;
        auto const kind = row.text("kind");
        difference.kind = kind == "missing" ? model::FindingKind::missing
                          : kind == "extra" ? model::FindingKind::extra
                                            : model::FindingKind::different;
        for (std::size_t i = 0; i < shape.key.size(); ++i)
            difference.key.push_back(row.text("key_" + std::to_string(i)));
        for (auto const& ordinal : row.array("columns"))
            difference.columns.push_back(std::stoul(ordinal));
        found.push_back(std::move(difference));
    }
    return found;
}

Sql read_values(PairShape const& shape, Key const& key, std::vector<std::size_t> const& columns) {
    Sql q{"SELECT "};
    auto const value = [&](std::string_view alias, std::string const& name) {
        q.add("CASE WHEN pg_catalog.num_nulls(");
        add_column(q, alias, name);
        q.add(") = 0 THEN ");
        add_text(q, alias, name);
        q.add(" END");
    };
    for (std::size_t i = 0; i < columns.size(); ++i) {
        if (i > 0)
            q.add(", ");
        value("s", shape.columns[columns[i]].name);
        q.add(", ");
        value("t", shape.columns[columns[i]].name);
    }
    Scope scope;
    scope.keys = std::vector<Key>{key};
    add_join(q, shape, scope);
    return q;
}

model::Finding to_finding(PairShape const& shape, Difference const& difference) {
    model::Finding finding;
    finding.kind = difference.kind;
    for (std::size_t i = 0; i < shape.key.size(); ++i)
        finding.key.emplace_back(name_of(shape, shape.key[i]), difference.key[i]);
    for (auto const column : difference.columns)
        finding.columns.push_back(shape.columns[column].name);
    return finding;
}

} // namespace pgcarve::verify
