#include "sync/copy_statements.hpp"

#include <algorithm>
#include <array>

namespace pgcarve::sync {

using sql::Sql;

namespace {

constexpr Sql::Fixed stage_name{"pg_temp.pgcarve_range"};

// Built-in types whose binary form is a number of a row in the source's catalog, or is not there at all, and xml, whose
// binary form depends on encodings; each with its array.
constexpr std::array<std::uint32_t, 26> not_portable{24,   1008, 142,  143,  1033, 1034, 2202, 2203, 2204, 2205, 2206, 2207, 2208,
                                                     2209, 2210, 2211, 3734, 3735, 3769, 3770, 4089, 4090, 4096, 4097, 4191, 4192};

void column_list(Sql& sql, MappedTable const& table, Sql::Fixed before = "") {
    for (std::size_t i = 0; i < table.columns.size(); ++i)
        sql.add(i > 0 ? Sql::Fixed{", "} : Sql::Fixed{""}).add(before).add(sql::Ident{table.columns[i].name});
}

void within(Sql& sql, MappedTable const& table, Range const& range, Sql::Fixed first, Sql::Fixed before = "") {
    auto const& key = table.columns[table.key.front()];
    auto join = first;
    auto const bound = [&](std::optional<std::string> const& value, Sql::Fixed comparison) {
        if (!value)
            return;
        sql.add(join).add(before).add(sql::Ident{key.name}).add(comparison).literal(*value).add("::").server_text(key.type);
        join = " AND ";
    };
    bound(range.lo, " > ");
    bound(range.hi, " <= ");
}

void same_key(Sql& sql, MappedTable const& table) {
    for (std::size_t i = 0; i < table.key.size(); ++i) {
        auto const name = sql::Ident{table.columns[table.key[i]].name};
        sql.add(i > 0 ? Sql::Fixed{" AND t."} : Sql::Fixed{"t."}).add(name).add(" = s.").add(name);
    }
}

void format(Sql& sql, MappedTable const& table) {
    if (binary_agrees(table))
        sql.add(" (FORMAT binary)");
}

Sql counted(Sql statement) {
    Sql sql{"WITH touched AS ("};
    return sql.add(statement).add(" RETURNING 1) SELECT pg_catalog.count(*) FROM touched");
}

} // namespace

// It names types by number inside arrays and composites: the numbers agree only for built-in ones.
bool binary_agrees(MappedTable const& table) {
    constexpr std::uint32_t first_not_built_in = 10'000;
    return std::ranges::all_of(table.columns, [](MappedColumn const& c) {
        return c.source_type.value < first_not_built_in && std::ranges::find(not_portable, c.source_type.value) == not_portable.end();
    });
}

std::string copy_out_statement(MappedTable const& table, Range const& range) {
    Sql sql{"COPY (SELECT "};
    column_list(sql, table);
    sql.add(" FROM ONLY ").add(table.source);
    within(sql, table, range, " WHERE ");
    sql.add(") TO STDOUT");
    format(sql, table);
    return sql.text();
}

std::string copy_in_statement(MappedTable const& table) {
    Sql sql{"COPY "};
    sql.add(table.target).add(" (");
    column_list(sql, table);
    sql.add(") FROM STDIN");
    format(sql, table);
    return sql.text();
}

Sql end_of_range_statement(MappedTable const& table, Range const& from, long long rows) {
    auto const& key = sql::Ident{table.columns[table.key.front()].name};
    Sql sql{"SELECT "};
    sql.add(key).add(" FROM ONLY ").add(table.source);
    within(sql, table, from, " WHERE ");
    return sql.add(" ORDER BY ").add(key).add(" OFFSET ").number(rows - 1).add(" LIMIT 1");
}

RangeRepair range_repair(MappedTable const& table, Range const& range) {
    RangeRepair repair;
    Sql stage{"CREATE TEMPORARY TABLE pgcarve_range ON COMMIT DROP AS SELECT "};
    column_list(stage, table);
    repair.stage = stage.add(" FROM ONLY ").add(table.target).add(" WITH NO DATA").text();
    Sql copy{"COPY "};
    copy.add(stage_name).add(" FROM STDIN");
    format(copy, table);
    repair.copy_in = copy.text();
    repair.analyze = Sql{"ANALYZE "}.add(stage_name).text();

    // A row whose number cannot be set by an UPDATE is made anew.
    bool const anew = std::ranges::any_of(table.columns, &MappedColumn::always_identity);
    Sql gone{"DELETE FROM ONLY "};
    gone.add(table.target).add(" AS t WHERE NOT EXISTS (SELECT FROM ").add(stage_name).add(" AS s WHERE ");
    same_key(gone, table);
    if (anew) {
        gone.add(" AND ROW(");
        column_list(gone, table, "t.");
        gone.add(")::record OPERATOR(pg_catalog.*=) ROW(");
        column_list(gone, table, "s.");
        gone.add(")::record");
    }
    gone.add(")");
    within(gone, table, range, " AND ", "t.");
    repair.mend.push_back(counted(std::move(gone)));
    if (!anew) {
        Sql changed{"UPDATE ONLY "};
        changed.add(table.target).add(" AS t SET ");
        for (std::size_t i = 0; i < table.columns.size(); ++i) {
            auto const name = sql::Ident{table.columns[i].name};
            changed.add(i > 0 ? Sql::Fixed{", "} : Sql::Fixed{""}).add(name).add(" = s.").add(name);
        }
        changed.add(" FROM ").add(stage_name).add(" AS s WHERE ");
        same_key(changed, table);
        changed.add(" AND ROW(");
        column_list(changed, table, "t.");
        changed.add(")::record OPERATOR(pg_catalog.*<>) ROW(");
        column_list(changed, table, "s.");
        changed.add(")::record");
        repair.mend.push_back(counted(std::move(changed)));
    }
    Sql missing{"INSERT INTO "};
    missing.add(table.target).add(" (");
    column_list(missing, table);
    missing.add(") OVERRIDING SYSTEM VALUE SELECT ");
    column_list(missing, table, "s.");
    missing.add(" FROM ").add(stage_name).add(" AS s WHERE NOT EXISTS (SELECT FROM ONLY ").add(table.target).add(" AS t WHERE ");
    same_key(missing, table);
    missing.add(")");
    repair.mend.push_back(counted(std::move(missing)));
    return repair;
}

Sql empty_range_statement(MappedTable const& table, Range const& range) {
    Sql sql{"DELETE FROM ONLY "};
    sql.add(table.target).add(" AS t");
    within(sql, table, range, " WHERE ", "t.");
    return sql;
}

} // namespace pgcarve::sync
