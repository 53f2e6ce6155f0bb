#include "sync/places.hpp"

#include "base/error.hpp"
#include "sql/builder.hpp"

namespace pgcarve::sync {

using sql::Sql;

std::optional<Places> Places::of(pg::Session& source, MappedTable const& table) {
    auto const& key = table.columns[table.key.front()];
    auto const row = source.maybe_one(
        Sql{"SELECT format_type(a.atttypid, a.atttypmod) AS type, (SELECT format('%I.%I', n.nspname, c.collname) FROM pg_collation AS c "
            "JOIN pg_namespace AS n ON n.oid = c.collnamespace WHERE c.oid = a.attcollation) AS collation, EXISTS (SELECT FROM pg_index AS i "
            "JOIN pg_opclass AS o ON o.oid = i.indclass[0] JOIN pg_am AS m ON m.oid = o.opcmethod WHERE i.indrelid = a.attrelid AND i.indkey[0] = a.attnum "
            "AND i.indcollation[0] = a.attcollation AND o.opcdefault AND m.amname = 'btree' AND i.indisvalid AND i.indpred IS NULL) AS indexed "
            "FROM pg_attribute AS a WHERE NOT a.attisdropped AND a.attname = "}
            .bind(key.name)
            .add(" AND a.attrelid = to_regclass(")
            .bind(table.source.quoted())
            .add(")"));
    if (!row || !row->boolean("indexed") || row->text("type") != key.type)
        return std::nullopt;
    return Places{table.key.front(), key.type, row->maybe("collation")};
}

void Places::look(pg::Session& source, std::uint32_t number, std::vector<Change> const& changes, std::vector<std::string> const& bounds) {
    places_.clear();
    std::vector<std::string> keys;
    auto const note = [&](Cells row) {
        if (row.empty() || row[column_].state != wire::ColumnState::text)
            return;
        if (auto const [at, added] = places_.try_emplace(std::string{row[column_].value}); added)
            keys.push_back(at->first);
    };
    for (auto const& change : changes) {
        if (change.kind == Kind::truncate || change.table != number)
            continue;
        note(change.old);
        note(change.row);
    }
    if (keys.empty() || bounds.empty())
        return;
    // width_bucket() counts the bounds that are not above the key; a bound belongs to the range that it ends.
    Sql sql{"SELECT k.v, b.n - CASE WHEN b.n > 0 AND a.bounds[b.n] = k.v::"};
    auto const typed = [&]() -> Sql& {
        sql.server_text(type_);
        if (collation_)
            sql.add(" COLLATE ").server_text(*collation_);
        return sql;
    };
    typed().add(" THEN 1 ELSE 0 END FROM (SELECT ").bind(pg::format_array(bounds)).add("::text[]::").server_text(type_).add("[] AS bounds) AS a, unnest(");
    sql.bind(pg::format_array(keys)).add("::text[]) AS k (v), LATERAL (SELECT width_bucket(k.v::");
    typed().add(", a.bounds) AS n) AS b");
    for (auto const row : source.query(sql))
        places_[row.text(0)] = static_cast<std::size_t>(row.integer(1));
}

std::size_t Places::at(std::string_view key) const {
    auto const found = places_.find(std::string{key});
    if (found == places_.end())
        base::bug("a key whose place was not asked for");
    return found->second;
}

} // namespace pgcarve::sync
