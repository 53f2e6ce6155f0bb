#include "run/scratch_sync.hpp"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "control/migrations.hpp"
#include "run/split.hpp"
#include "run/stream/sync.hpp"

namespace pgcarve::run {

using model::KeptBy;
using sql::QName;
using sql::Sql;

namespace {

SyncOptions::Limits one_worker() { return {.sync = {.workers = 1}, .throttle = {}}; }

constexpr int rows_at_once = 3;

pg::Session connect(std::string const& dsn) { return pg::Session{{.dsn = dsn, .purpose = "scratch"}}; }

bool exists(pg::Session& session, QName const& table) {
    return session.one(Sql{"SELECT pg_catalog.to_regclass("}.bind(table.quoted()).add(") IS NOT NULL AS there")).boolean("there");
}

// Columns that a client can write, with an expression in g, a number, that makes a value for each.
struct Columns {
    std::vector<std::string> names;
    std::vector<std::string> values;
    std::string trouble; // a column that no value can be made for
};

std::optional<std::string> value_of(pg::Row const& row, int rows) {
    auto const type = row.text("type");
    if (auto const parent = row.maybe("parent"))
        return fmt::format("(SELECT p.{} FROM {} AS p ORDER BY 1 LIMIT 1 OFFSET g % {})", *row.maybe("parent_column"), *parent, rows);
    if (row.letter("kind") == 'e')
        return fmt::format("(pg_catalog.enum_range(NULL::{}))[1]", type);
    switch (row.letter("category")) {
    case 'N':
        return fmt::format("(100 + g)::{}", type);
    case 'S': {
        auto const limit = row.integer("limit");
        auto const value = fmt::format("('v' || g)");
        return limit > 0 ? fmt::format("pg_catalog.right({}, {})::{}", value, limit, type) : fmt::format("{}::{}", value, type);
    }
    case 'B':
        return "(g % 2 = 0)";
    case 'D':
        return fmt::format("('2026-01-01 00:00:00+00'::timestamptz + g * interval '1 day')::{}", type);
    case 'T':
        return fmt::format("(g * interval '1 minute')::{}", type);
    case 'A':
        return fmt::format("'{{}}'::{}", type);
    case 'I':
        return fmt::format("('10.0.0.1'::inet + g)::{}", type);
    default:
        break;
    }
    if (type == "uuid")
        return "pg_catalog.md5('u' || g)::uuid";
    if (type == "json" || type == "jsonb")
        return fmt::format("pg_catalog.json_build_object('g', g)::{}", type);
    if (type == "bytea")
        return "pg_catalog.decode(pg_catalog.md5('b' || g), 'hex')";
    return std::nullopt;
}

Columns columns_of(pg::Session& session, QName const& table) {
    Columns out;
    for (auto const row : session.query(
             Sql{"SELECT pg_catalog.quote_ident(a.attname) AS name, pg_catalog.format_type(a.atttypid, NULL) AS type, t.typcategory AS category,"
                 " t.typtype AS kind, CASE WHEN a.atttypid IN (1042, 1043) THEN a.atttypmod - 4 ELSE -1 END AS \"limit\", a.attnotnull AS required,"
                 " pg_catalog.pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%' AS counts,"
                 " (SELECT f.confrelid::pg_catalog.regclass::text FROM pg_catalog.pg_constraint AS f WHERE f.conrelid = a.attrelid AND f.contype = 'f'"
                 "  AND f.conkey = ARRAY[a.attnum] ORDER BY f.conname LIMIT 1) AS parent,"
                 " (SELECT pg_catalog.quote_ident(p.attname) FROM pg_catalog.pg_constraint AS f JOIN pg_catalog.pg_attribute AS p ON p.attrelid = f.confrelid"
                 "  AND p.attnum = f.confkey[1] WHERE f.conrelid = a.attrelid AND f.contype = 'f' AND f.conkey = ARRAY[a.attnum]"
                 "  ORDER BY f.conname LIMIT 1) AS parent_column"
                 " FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid"
                 " LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum"
                 " WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attidentity = '' AND a.attrelid = pg_catalog.to_regclass("}
                 .bind(table.quoted())
                 .add(") ORDER BY a.attnum"))) {
        if (row.maybe("counts") == "t")
            continue;
        auto value = value_of(row, rows_at_once);
        if (!value && row.boolean("required"))
            out.trouble = fmt::format("no value can be made for column {} of type {}", row.text("name"), row.text("type"));
        if (!value)
            continue;
        out.names.push_back(row.text("name"));
        out.values.push_back(std::move(*value));
    }
    return out;
}

std::string joined(std::vector<std::string> const& parts) {
    std::string out;
    for (auto const& part : parts)
        out += (out.empty() ? "" : ", ") + part;
    return out;
}

// "" when they ran; else the server's words.
std::string tried(pg::Session& session, std::string const& statement) {
    try {
        session.run(statement);
    } catch (pg::SqlError const& error) {
        return error.what();
    }
    return {};
}

// The rows of a table as one text, column names and all.
std::string content(pg::Session& session, QName const& table) {
    return session
        .one(Sql{"SELECT coalesce(pg_catalog.string_agg(r, chr(10) ORDER BY r COLLATE \"C\"), '') AS rows FROM (SELECT pg_catalog.to_jsonb(t)::text AS r FROM "}
                 .server_text(table.quoted())
                 .add(" AS t) AS x"))
        .text("rows");
}

} // namespace

ScratchSync::ScratchSync(std::string dsn, std::string other, base::Interrupt& interrupt)
    : dsn_{std::move(dsn)}
    , other_{std::move(other)}
    , interrupt_{interrupt} {}

void ScratchSync::set_up(std::vector<model::SyncedTable> const& tables) {
    auto session = connect(dsn_);
    for (auto const& table : tables) {
        Pair pair{table};
        bool const forth = table.source.database.empty() && table.by != KeptBy::application &&
                           (table.by == KeptBy::stream || table.phase == "dual_writing" || table.phase == "backfilling");
        if (!forth)
            continue;
        if (!exists(session, table.source.table)) {
            pair.trouble = "the base has no table " + table.source.table.display();
        } else if (session.one(Sql{"SELECT relispartition FROM pg_catalog.pg_class WHERE oid = pg_catalog.to_regclass("}
                                   .bind(table.source.table.quoted())
                                   .add(")"))
                       .boolean("relispartition")) {
            continue; // its root stands for it
        }
        if (pair.trouble.empty() && table.by == KeptBy::mirror)
            session.run("DROP TABLE IF EXISTS " + table.target.table.quoted() + " CASCADE"); // the sync makes it
        pairs_.push_back(std::move(pair));
    }
    // Parents before children, in as many turns as it takes.
    for (std::size_t turn = 0; turn < pairs_.size(); ++turn) {
        for (auto& pair : pairs_) {
            if (!pair.ready)
                fill(pair);
        }
    }
    std::vector<std::pair<std::string, KeptBy>> services;
    for (auto const& pair : pairs_) {
        std::pair const key{pair.table.service, pair.table.by};
        if (pair.ready && std::ranges::find(services, key) == services.end())
            services.push_back(key);
    }
    for (auto const& [service, by] : services)
        make(service, by);
}

void ScratchSync::fill(Pair& pair) {
    auto session = connect(dsn_);
    if (!exists(session, pair.table.source.table))
        return;
    bool broken = false;
    pair.trouble = write(pair, broken);
    pair.ready = pair.trouble.empty();
}

void ScratchSync::make(std::string const& service, KeptBy by) {
    auto map = std::make_unique<model::BoundaryMap>();
    map->file = "the scratch server";
    map->dsn = dsn_;
    model::Service section;
    section.name = service;
    section.schema = "pgcarve_scratch";
    for (auto const& pair : pairs_) {
        if (pair.table.service != service || pair.table.by != by || !pair.ready)
            continue;
        auto const& source = pair.table.source.table;
        map->shared_schema = source.schema;
        section.tables.push_back({source.display(), false, source.schema, source.name, true, true, {}});
        if (by == KeptBy::mirror)
            section.schema = pair.table.target.table.schema;
        else
            section.database = model::Database{other_, pair.table.target.table.schema, {}};
    }
    map->services.emplace(service, std::move(section));
    std::string trouble;
    try {
        auto session = connect(dsn_);
        control::migrate(session, control::embedded_migrations());
        Context context{.map = *map, .interrupt = interrupt_, .operator_name = "lint", .events = {}, .failpoints = Failpoints{}};
        auto const yes = [](model::Plan const&) { return true; };
        if (by == KeptBy::mirror)
            (void)split(context, service, yes);
        else
            (void)sync_service(context, service, {.until_caught_up = true, .limits = one_worker}, yes, {});
    } catch (base::Error const& error) {
        if (error.code() == "interrupted")
            throw;
        trouble = fmt::format("its {} cannot be made there: {}", model::text(by), error.what());
    }
    for (auto& pair : pairs_) {
        if (pair.table.service == service && pair.table.by == by && !trouble.empty()) {
            pair.ready = false;
            pair.trouble = trouble;
        }
    }
    maps_.emplace(std::pair{service, by}, std::move(map));
}

// Inserts, updates and deletes; returns why not. `broken`: it is the sync that does not let it.
std::string ScratchSync::write(Pair const& pair, bool& broken) {
    auto session = connect(dsn_);
    auto const& table = pair.table.source.table;
    auto const columns = columns_of(session, table);
    if (!columns.trouble.empty())
        return columns.trouble;
    made_ += 10;
    auto const name = table.quoted();
    auto const insert = columns.names.empty() ? "INSERT INTO " + name + " DEFAULT VALUES"
                                              : fmt::format("INSERT INTO {} ({}) SELECT {} FROM pg_catalog.generate_series({}, {}) AS g", name, joined(columns.names),
                                                            joined(columns.values), made_, made_ + rows_at_once - 1);
    auto trouble = tried(session, insert);
    if (!trouble.empty()) { // without triggers the mirror is out of it, but not the table's own constraints
        broken = tried(session, "BEGIN; SET LOCAL session_replication_role = replica; " + insert + "; ROLLBACK").empty();
        return trouble;
    }
    if (!columns.names.empty()) {
        trouble = tried(session, fmt::format("UPDATE {} SET {} = {}", name, columns.names.back(), columns.names.back()));
        if (trouble.empty())
            trouble = tried(session, fmt::format("DELETE FROM {} WHERE ctid = (SELECT max(ctid) FROM {})", name, name));
        if (trouble.find("foreign key constraint") != std::string::npos)
            trouble.clear(); // somebody refers to it: not the sync's fault
        broken = !trouble.empty();
    }
    return trouble;
}

std::vector<lint::SyncTried> ScratchSync::try_out() {
    std::vector<lint::SyncTried> out;
    for (auto const& pair : pairs_) {
        interrupt_.check();
        out.push_back(try_out(pair));
    }
    return out;
}

lint::SyncTried ScratchSync::try_out(Pair const& pair) {
    lint::SyncTried tried{.table = pair.table, .tried = pair.ready, .broken = {}, .trouble = pair.trouble};
    if (!pair.ready)
        return tried;
    auto session = connect(dsn_);
    auto const& source = pair.table.source.table;
    if (!exists(session, source)) {
        tried.broken = "there is no table " + source.display() + " any more";
        return tried;
    }
    bool broken = false;
    auto const trouble = write(pair, broken);
    if (!trouble.empty()) {
        (broken ? tried.broken : tried.trouble) = "the application's write fails: " + trouble;
        tried.tried = broken;
        return tried;
    }
    if (pair.table.by == KeptBy::stream) {
        try {
            Context context{.map = *maps_.at({pair.table.service, pair.table.by}), .interrupt = interrupt_, .operator_name = "lint", .events = {}, .failpoints = Failpoints{}};
            (void)sync_service(context, pair.table.service, {.until_caught_up = true, .limits = one_worker}, [](model::Plan const&) { return true; }, {});
        } catch (base::Error const& error) {
            if (error.code() == "interrupted")
                throw;
            tried.broken = fmt::format("the stream stops: {}", error.what());
            return tried;
        }
    }
    auto there = connect(pair.table.by == KeptBy::stream ? other_ : dsn_);
    auto const& target = pair.table.target.table;
    if (!exists(there, target))
        tried.broken = "there is no table " + target.display() + " any more";
    else if (content(session, source) != content(there, target))
        tried.broken = "the rows of both sides differ, and nothing tells of it";
    return tried;
}

} // namespace pgcarve::run
