#include "run/stream/target.hpp"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "base/error.hpp"
#include "sql/builder.hpp"
#include "sync/stream.hpp"

namespace pgcarve::run {

using base::Error;
using base::Exit;
using sql::Sql;

TargetSteps::TargetSteps(pg::SessionSettings settings, std::string stream) : target_{std::move(settings)}, stream_{std::move(stream)} {
    sync::prepare_target(target_);
    target_.run("CREATE TABLE IF NOT EXISTS pgcarve.step (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, stream text NOT NULL, "
                "step text NOT NULL, undo text[] NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp(), UNIQUE (stream, step))");
    target_.run("CREATE TABLE IF NOT EXISTS pgcarve.authority (stream text PRIMARY KEY, service text NOT NULL, "
                "authority text NOT NULL CHECK (authority IN ('shared', 'database')), since timestamptz NOT NULL DEFAULT clock_timestamp())");
}

bool TargetSteps::insert(model::Step const& step) {
    Sql sql{"INSERT INTO pgcarve.step (stream, step, undo) VALUES ("};
    sql.bind(stream_).add(", ").bind(step.id).add(", ").bind(pg::format_array(step.undo)).add("::text[]) ON CONFLICT (stream, step) DO NOTHING");
    return target_.query(sql).affected() == 1;
}

void TargetSteps::run(model::Step const& step, OnWait const& on_wait) {
    pg::with_lock_retry(
        target_, pg::LockPolicy{}, {},
        [&](pg::Transaction&) {
            if (!insert(step))
                return;
            for (auto const& statement : step.sql)
                target_.run(statement);
        },
        on_wait);
}

bool TargetSteps::done(std::string const& step) {
    return target_.one(Sql{"SELECT EXISTS (SELECT FROM pgcarve.step WHERE stream = "}.bind(stream_).add(" AND step = ").bind(step).add(") AS done")).boolean("done");
}

void TargetSteps::record(model::Step const& step) {
    if (!insert(step))
        base::bug("step " + step.id + " is done twice in the other database");
}

void TargetSteps::undo(std::string const& step) {
    pg::Transaction transaction{target_};
    auto const line = target_.maybe_one(Sql{"DELETE FROM pgcarve.step WHERE stream = "}.bind(stream_).add(" AND step = ").bind(step).add(" RETURNING undo"));
    if (!line)
        return;
    for (auto const& statement : line->array("undo"))
        target_.run(statement);
    transaction.commit();
}

void TargetSteps::forget_lines(std::string const& prefix) {
    target_.query(Sql{"DELETE FROM pgcarve.step WHERE stream = "}.bind(stream_).add(" AND pg_catalog.starts_with(step, ").bind(prefix).add(")"));
}

void TargetSteps::undo() {
    for (;;) {
        auto const last = target_.maybe_one(Sql{"SELECT id, undo FROM pgcarve.step WHERE stream = "}.bind(stream_).add(" ORDER BY id DESC LIMIT 1"));
        if (!last)
            break;
        pg::Transaction transaction{target_};
        for (auto const& statement : last->array("undo"))
            target_.run(statement);
        target_.query(Sql{"DELETE FROM pgcarve.step WHERE id = "}.number(last->integer("id")));
        transaction.commit();
    }
    forget();
}

void TargetSteps::forget() {
    pg::Transaction transaction{target_};
    target_.query(Sql{"DELETE FROM pgcarve.step WHERE stream = "}.bind(stream_));
    target_.query(Sql{"DELETE FROM pgcarve.authority WHERE stream = "}.bind(stream_));
    sync::forget(target_, stream_);
    drop_schema_when_empty();
    transaction.commit();
}

void TargetSteps::drop_schema_when_empty() {
    if (target_.one(Sql{"SELECT NOT EXISTS (SELECT FROM pgcarve.stream) AND NOT EXISTS (SELECT FROM pgcarve.step) AND "
                        "pg_catalog.to_regclass('pgcarve.service') IS NULL AS empty"})
            .boolean("empty"))
        target_.run("DROP TABLE IF EXISTS pgcarve.loose_queue, pgcarve.mark; DROP TABLE pgcarve.aside, pgcarve.touched, pgcarve.chunk, pgcarve.step, pgcarve.authority, pgcarve.stream;"
                    " DROP SCHEMA pgcarve");
}

std::optional<std::string> authority_recorded(pg::Session& other, std::string const& stream) {
    if (!other.one(Sql{"SELECT pg_catalog.to_regclass('pgcarve.authority') IS NOT NULL AS there"}).boolean("there"))
        return std::nullopt;
    auto const row = other.maybe_one(Sql{"SELECT authority FROM pgcarve.authority WHERE stream = "}.bind(stream));
    return row ? std::optional{row->text("authority")} : std::nullopt;
}

namespace {

// By their foreign keys; where these form a ring, in the order given.
std::vector<model::TablePair> parents_first(std::vector<model::TablePair> const& pairs, model::Catalog const& catalog) {
    std::vector<model::TablePair> sorted;
    std::set<sql::QName> seen;
    auto const add = [&](auto const& self, model::TablePair const& pair) -> void {
        if (!seen.insert(pair.source).second)
            return;
        auto const* const table = catalog.find(pair.source);
        for (auto const& constraint : table == nullptr ? std::vector<model::Constraint>{} : table->constraints) {
            auto const parent = constraint.type == 'f' ? std::ranges::find(pairs, constraint.referenced, &model::TablePair::source) : pairs.end();
            if (parent != pairs.end())
                self(self, *parent);
        }
        sorted.push_back(pair);
    };
    for (auto const& pair : pairs)
        add(add, pair);
    return sorted;
}

bool last_column_dropped(pg::Session& session, sql::QName const& table) {
    return session.one(Sql{"SELECT coalesce((SELECT attisdropped FROM pg_attribute WHERE attnum > 0 AND attrelid = to_regclass("}
                           .bind(table.quoted())
                           .add(") ORDER BY attnum DESC LIMIT 1), true) AS dropped"))
        .boolean("dropped");
}

} // namespace

std::vector<sync::MappedTable> mapped_tables(pg::Session& source, pg::Session& target, model::Catalog const& catalog, std::vector<model::TablePair> const& pairs,
                                             TargetFirst first) {
    struct Column {
        base::Oid type;
        std::int32_t typmod;
        std::string text;
        bool always_identity;
        bool may_be_left_out;
        long long number;
    };
    auto const columns_of = [](pg::Session& session, sql::QName const& table) {
        std::map<std::string, Column> columns;
        Sql sql{"SELECT attname::text AS name, atttypid::bigint AS type, atttypmod::bigint AS typmod, format_type(atttypid, atttypmod) AS text, "
                "attidentity = 'a' AS always_identity, NOT attnotnull OR atthasdef OR attidentity <> '' AS may_be_left_out, attnum "
                "FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped AND attrelid = to_regclass("};
        for (auto const row : session.query(sql.bind(table.quoted()).add(")")))
            columns.emplace(row.text("name"), Column{base::Oid{static_cast<std::uint32_t>(row.integer("type"))},
                                                     static_cast<std::int32_t>(row.integer("typmod")), row.text("text"), row.boolean("always_identity"), row.boolean("may_be_left_out"),
                                                     row.integer("attnum")});
        return columns;
    };
    // Others are printed with their schema, which may have another name there.
    auto const built_in = [](std::string const& type) { return type.find('.') == std::string::npos; };
    std::vector<sync::MappedTable> all;
    for (auto const& pair : parents_first(pairs, catalog)) {
        auto const* const table = catalog.find(pair.source);
        if (table == nullptr)
            throw Error{Exit::needs_decision, "schema-changed", fmt::format("table {} is not there any more", pair.source.display()),
                        "it was dropped or renamed under the sync: rename it back, or cancel the sync"};
        if (table->kind == 'p')
            continue;
        auto const key = model::usable_key(*table);
        if (!key)
            throw Error{Exit::needs_decision, "schema-changed", fmt::format("table {} has lost its key", pair.source.display()),
                        "give it a primary key again, or cancel the sync"};
        auto const here = columns_of(source, pair.source);
        auto const there = columns_of(target, pair.target);
        sync::MappedTable mapped{pair.source, pair.target, {}, {}};
        // Behind all the others, and the last column that the source had is still there.
        auto const to_come = [&](std::string const& name) {
            auto const& column = there.at(name);
            return column.may_be_left_out && std::ranges::none_of(there, [&](auto const& other) { return table->column(other.first) != nullptr && other.second.number > column.number; }) &&
                   !last_column_dropped(source, pair.source);
        };
        for (auto const& column : table->columns) {
            auto const target_column = there.find(column.name);
            if (target_column == there.end())
                throw Error{Exit::needs_decision, "schema-changed", fmt::format("column {} of table {} is missing in the other database", column.name, pair.target.display()),
                            fmt::format("add it there: ALTER TABLE {} ADD COLUMN {} {};  -- then run the same command again", pair.target.quoted(),
                                        sql::quote_ident(column.name), column.type)};
            if (column.generated != 0)
                continue;
            auto const& own = here.at(column.name);
            if (built_in(own.text) && built_in(target_column->second.text) && own.text != target_column->second.text)
                throw Error{Exit::needs_decision, "schema-changed",
                            fmt::format("column {} of table {} is {} at the source and {} in the other database", column.name, pair.target.display(), own.text,
                                        target_column->second.text),
                            fmt::format("alter it there: ALTER TABLE {} ALTER COLUMN {} TYPE {};  -- then run the same command again", pair.target.quoted(),
                                        sql::quote_ident(column.name), own.text)};
            bool const in_key = std::ranges::find(key->columns, column.name) != key->columns.end();
            mapped.columns.push_back({column.name, target_column->second.text, own.type, own.typmod, in_key, target_column->second.always_identity});
        }
        for (auto const& [name, column] : there) {
            if (table->column(name) != nullptr)
                continue;
            if (first == TargetFirst::accepted && to_come(name))
                mapped.to_come.push_back(name);
            else
                throw Error{Exit::needs_decision, "schema-changed", fmt::format("column {} of table {} is in the other database only", name, pair.target.display()),
                            fmt::format("ALTER TABLE {} DROP COLUMN {};  -- when it was dropped at the source; else add it there; then run the same command again",
                                        pair.target.quoted(), sql::quote_ident(name))};
        }
        for (auto const& name : key->columns) {
            auto const at = std::ranges::find(mapped.columns, name, &sync::MappedColumn::name);
            if (at == mapped.columns.end())
                base::bug("a generated column in the key of " + pair.source.display());
            mapped.key.push_back(static_cast<std::size_t>(at - mapped.columns.begin()));
        }
        all.push_back(std::move(mapped));
    }
    return all;
}

} // namespace pgcarve::run
