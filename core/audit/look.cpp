#include "audit/look.hpp"

#include <fmt/format.h>

namespace pgcarve::audit {

using sql::Ident;
using sql::Sql;

namespace {

// A question is short; one that is not waits for nobody's sake.
constexpr base::Millis answer_within{30'000};

// Rolled back at the end, so that the locks taken meanwhile go.
class Savepoint {
public:
    explicit Savepoint(pg::Session& session)
        : session_{session} {
        session_.run("SAVEPOINT question");
    }
    Savepoint(Savepoint const&) = delete;
    Savepoint& operator=(Savepoint const&) = delete;
    ~Savepoint() {
        try {
            if (session_.alive())
                session_.run("ROLLBACK TO SAVEPOINT question; RELEASE SAVEPOINT question");
        } catch (std::exception const&) { // NOLINT(bugprone-empty-catch)
            // The session is lost then, which whoever uses it next finds out.
        }
    }

private:
    pg::Session& session_;
};

void add_same_key(Sql& sql, TablePlan const& table, Sql::Fixed other) {
    for (std::size_t i = 0; i < table.key.size(); ++i) {
        auto const& column = table.key[i];
        sql.add(i > 0 ? Sql::Fixed{" AND x."} : Sql::Fixed{"x."}).add(Ident{column.name}).add(" ").server_text(column.equals).add(" ").add(other).add(".");
        sql.add(Ident{column.name});
    }
}

} // namespace

Look::Look(pg::SessionSettings settings)
    : session_{std::move(settings)} {
    renew();
}

void Look::renew() {
    transaction_.reset();
    transaction_.emplace(session_, pg::Isolation::repeatable_read, pg::Access::read_only);
    transaction_->statement_timeout(answer_within);
    // Keys are looked up by their index whatever the statistics say; and no idle limit of the server's ends the snapshot.
    session_.run("SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off;"
                 " SET LOCAL idle_in_transaction_session_timeout = 0");
    auto const row = session_.one(Sql{"SELECT pg_current_snapshot()::text AS snapshot, pg_current_wal_insert_lsn()::text AS lsn"});
    snapshot_ = sync::Snapshot::parse(row.text("snapshot"));
    position_ = *base::Lsn::parse(row.text("lsn"));
    taken_ = std::chrono::steady_clock::now();
}

bool Look::still_shows(TablePlan const& table, Side side) {
    auto const oid = table.oids[index(side)].value;
    auto const& name = table.names[index(side)];
    // Functions look at the catalog as it is now, queries as the snapshot has it.
    auto const row = session_.one(Sql{"WITH RECURSIVE seen(oid) AS (SELECT "}
                                      .number(oid)
                                      .add("::oid UNION ALL SELECT i.inhrelid FROM pg_inherits i JOIN seen ON i.inhparent = seen.oid)"
                                           " SELECT coalesce(to_regclass(")
                                      .bind(name.quoted())
                                      .add(")::oid = ")
                                      .number(oid)
                                      .add(", false) AS named, (SELECT array_agg(oid ORDER BY oid) FROM seen) = coalesce((SELECT array_agg(relid::oid ORDER BY"
                                           " relid::oid) FROM pg_partition_tree(")
                                      .number(oid)
                                      .add("::oid::regclass)), ARRAY[")
                                      .number(oid)
                                      .add("::oid]) AS whole, (SELECT bool_and(coalesce(pg_relation_filenode(c.oid), 0) = c.relfilenode)"
                                           " FROM pg_class c WHERE c.oid IN (SELECT oid FROM seen)) AS same"));
    if (!row.boolean("named"))
        throw base::Error{base::Exit::unavailable, "tables-renamed", fmt::format("{} is another table now", name.display()),
                          "run the same command again: it goes on where it stopped"};
    return row.boolean("whole") && row.maybe("same") && row.boolean("same");
}

std::optional<Shown> Look::rows(TablePlan const& table, Side side, std::vector<Key> const& keys, std::vector<bool> const& columns) {
    std::vector<std::vector<std::string>> by_column(table.key.size());
    for (auto const& key : keys) {
        auto const values = key_values(key);
        for (std::size_t i = 0; i < values.size(); ++i)
            by_column[i].push_back(values[i]);
    }
    Sql sql{"SELECT t.* FROM (SELECT "};
    for (std::size_t i = 0; i < table.key.size(); ++i) {
        sql.add(i > 0 ? Sql::Fixed{", u."} : Sql::Fixed{"u."}).add(Ident{table.key[i].name}).add("::").server_text(table.key[i].type);
        sql.add(" AS ").add(Ident{table.key[i].name});
    }
    sql.add(" FROM unnest(");
    for (std::size_t i = 0; i < table.key.size(); ++i)
        sql.add(i > 0 ? Sql::Fixed{", "} : Sql::Fixed{""}).bind(pg::format_array(by_column[i])).add("::text[]");
    sql.add(") AS u(");
    for (std::size_t i = 0; i < table.key.size(); ++i)
        sql.add(i > 0 ? Sql::Fixed{", "} : Sql::Fixed{""}).add(Ident{table.key[i].name});
    sql.add(") OFFSET 0) AS k CROSS JOIN LATERAL (SELECT ");
    for (std::size_t i = 0; i < table.key.size(); ++i)
        sql.add(i > 0 ? Sql::Fixed{", x."} : Sql::Fixed{"x."}).add(Ident{table.key[i].name});
    for (std::size_t i = 0; i < columns.size(); ++i) {
        if (columns[i])
            sql.add(", x.").add(Ident{table.columns[i]});
    }
    sql.add(" FROM ").add(table.names[index(side)]).add(" AS x WHERE ");
    add_same_key(sql, table, "k");
    sql.add(" OFFSET 0) AS t");

    Savepoint const savepoint{session_};
    auto const found = session_.query(sql);
    if (!still_shows(table, side))
        return std::nullopt;
    Shown shown;
    for (auto const row : found) {
        int at = 0;
        Key key;
        for (std::size_t i = 0; i < table.key.size(); ++i)
            append_key(key, row.text(at++));
        std::vector<Digest> values(columns.size(), unknown_value);
        for (std::size_t i = 0; i < columns.size(); ++i) {
            if (!columns[i])
                continue;
            auto const value = row.maybe(at++);
            values[i] = value ? digest(*value) : digest(std::nullopt);
        }
        shown.emplace(std::move(key), std::move(values));
    }
    return shown;
}

bool Look::has_more(TablePlan const& table, Side side) {
    Savepoint const savepoint{session_};
    Sql sql{"SELECT EXISTS (SELECT FROM "};
    sql.add(table.names[index(side)]).add(" AS k WHERE NOT EXISTS (SELECT FROM ").add(table.names[index(other(side))]).add(" AS x WHERE ");
    add_same_key(sql, table, "k");
    return session_.one(sql.add(")) AS more")).boolean("more");
}

} // namespace pgcarve::audit
