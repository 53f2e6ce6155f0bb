#include "sync/aside.hpp"

#include <optional>

#include "sql/builder.hpp"

namespace pgcarve::sync {

using sql::Sql;

namespace {

std::string names(std::vector<sql::QName> const& tables) {
    std::vector<std::string> all;
    for (auto const& table : tables)
        all.push_back(table.display());
    return pg::format_array(all);
}

// One of its own unless the caller has one.
class Whole {
public:
    explicit Whole(pg::Session& session) {
        if (!session.in_transaction())
            own_.emplace(session);
    }
    void commit() {
        if (own_)
            own_->commit();
    }

private:
    std::optional<pg::Transaction> own_;
};

} // namespace

std::vector<Aside> asides(pg::Session& target, std::string const& stream) {
    if (!target.one(Sql{"SELECT pg_catalog.to_regclass('pgcarve.aside') IS NOT NULL AS there"}).boolean("there"))
        return {};
    std::vector<Aside> all;
    for (auto const row : target.query(Sql{"SELECT source_table, reason, comes_back FROM pgcarve.aside WHERE stream = "}.bind(stream).add(" ORDER BY source_table")))
        all.push_back({row.text(0), row.text(1), row.boolean("comes_back")});
    return all;
}

void set_aside(pg::Session& target, std::string const& stream, sql::QName const& table, std::string const& reason) {
    Whole whole{target};
    Sql forget{"DELETE FROM pgcarve.chunk WHERE stream = "};
    target.query(forget.bind(stream).add(" AND source_table = ").bind(table.display()));
    Sql sql{"INSERT INTO pgcarve.aside (stream, source_table, reason) VALUES ("};
    sql.bind(stream).add(", ").bind(table.display()).add(", ").bind(reason);
    target.query(sql.add(") ON CONFLICT (stream, source_table) DO UPDATE SET reason = EXCLUDED.reason, comes_back = false"));
    whole.commit();
}

void bring_back(pg::Session& target, std::string const& stream, std::vector<sql::QName> const& tables, std::string const& reason) {
    Whole whole{target};
    Sql sql{"INSERT INTO pgcarve.aside (stream, source_table, reason, comes_back) SELECT "};
    sql.bind(stream).add("::text, t, ").bind(reason).add("::text, true FROM pg_catalog.unnest(").bind(names(tables));
    target.query(sql.add("::text[]) AS t ON CONFLICT (stream, source_table) DO UPDATE SET comes_back = true"));
    Sql forget{"DELETE FROM pgcarve.chunk WHERE stream = "};
    target.query(forget.bind(stream).add(" AND source_table = ANY (").bind(names(tables)).add("::text[])"));
    whole.commit();
}

void brought_back(pg::Session& target, std::string const& stream, std::vector<sql::QName> const& tables) {
    Whole whole{target};
    // What changed while they were aside is in no record of touched rows.
    target.query(Sql{"UPDATE pgcarve.stream SET touched_from = position WHERE name = "}.bind(stream));
    Sql sql{"DELETE FROM pgcarve.aside WHERE comes_back AND stream = "};
    target.query(sql.bind(stream).add(" AND source_table = ANY (").bind(names(tables)).add("::text[])"));
    whole.commit();
}

} // namespace pgcarve::sync
