// The boundary map and the tables themselves: can they be copied, and is there room for the copy?
#include <algorithm>

#include <fmt/format.h>

#include "ddl/carry.hpp"
#include "ddl/move.hpp"
#include "run/doctor/parts.hpp"

namespace pgcarve::run::doctor {

using model::DoctorLevel;
using model::Index;
using model::Table;
using sql::Ident;
using sql::QName;
using sql::Sql;

namespace {

bool plain_unique(Index const& index) {
    return index.unique && !index.partial && !index.expressions && !index.key_columns.empty();
}

// SET NOT NULL reads the whole table under ACCESS EXCLUSIVE unless a valid check says the same.
void add_not_null(std::vector<std::string>& sql, Table const& table, std::string const& column) {
    Ident const check{sql::bounded_name(column, "_not_null")};
    Ident const name{column};
    sql.push_back(Sql{"ALTER TABLE "}.add(table.name).add(" ADD CONSTRAINT ").add(check).add(" CHECK (").add(name).add(
        " IS NOT NULL) NOT VALID").text());
    sql.push_back(Sql{"ALTER TABLE "}.add(table.name).add(" VALIDATE CONSTRAINT ").add(check).text());
    sql.push_back(Sql{"ALTER TABLE "}.add(table.name).add(" ALTER COLUMN ").add(name).add(" SET NOT NULL, DROP CONSTRAINT ").add(check).text());
}

// nullopt when the partition key holds an expression.
std::optional<std::vector<std::string>> partition_columns(pg::Session& session, Table const& table) {
    std::vector<std::string> columns;
    for (auto const row : session.query(Sql{"SELECT a.attname FROM pg_partitioned_table p CROSS JOIN unnest(p.partattrs::int2[]) AS k"
                                            " LEFT JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = k"
                                            " AND k <> 0 WHERE p.partrelid = "}
                                            .number(table.oid.value))) {
        if (!row.maybe("attname"))
            return std::nullopt;
        columns.push_back(row.text("attname"));
    }
    return columns;
}

Mend new_key(pg::Session& session, Table const& table) {
    auto const* const id = table.column("id");
    bool const has_id = id != nullptr && id->not_null;
    if (table.kind == 'p') {
        auto columns = partition_columns(session, table);
        if (!columns || !has_id)
            return {{}, fmt::format("ALTER TABLE {} ADD PRIMARY KEY (…): the columns that identify a row, those of the partition key"
                                    " among them",
                                    table.name.quoted())};
        if (std::ranges::find(*columns, "id") == columns->end())
            columns->push_back("id");
        return {{Sql{"ALTER TABLE "}.add(table.name).add(" ADD PRIMARY KEY (").names(*columns).add(")").text()},
                "locks the table while the index is built; it fails if two rows have the same values"};
    }
    Mend mend;
    std::string column = "id";
    mend.hint = "run them one by one, as the owner of the table; it fails if two rows have the same id";
    if (!has_id) {
        column = "row_id";
        while (table.column(column) != nullptr)
            column += "_";
        mend.sql.push_back(Sql{"ALTER TABLE "}.add(table.name).add(" ADD COLUMN ").add(Ident{column}).add(
            " bigint GENERATED ALWAYS AS IDENTITY").text());
        mend.hint = "run them one by one, as the owner of the table; the first rewrites it under ACCESS EXCLUSIVE. If columns that are"
                    " NOT NULL identify a row, CREATE UNIQUE INDEX CONCURRENTLY on them is enough";
    }
    QName const index{table.name.schema, sql::bounded_name(table.name.name, "_pkey")};
    mend.sql.push_back(Sql{"CREATE UNIQUE INDEX CONCURRENTLY "}.add(Ident{index.name}).add(" ON ").add(table.name).add(" (").add(
        Ident{column}).add(")").text());
    mend.sql.push_back(Sql{"ALTER TABLE "}.add(table.name).add(" ADD CONSTRAINT ").add(Ident{index.name}).add(
        " PRIMARY KEY USING INDEX ").add(Ident{index.name}).text());
    return mend;
}

Mend key_mend(pg::Session& session, Table const& table) {
    for (auto const& index : table.indexes) {
        if (!plain_unique(index))
            continue;
        Mend mend;
        mend.hint = "run them one by one, as the owner of the table";
        if (!index.valid && table.kind != 'p')
            mend.sql.push_back(Sql{"REINDEX INDEX CONCURRENTLY "}.add(QName{table.name.schema, index.name}).text());
        for (auto const& name : index.key_columns) {
            auto const* const column = table.column(name);
            if (column != nullptr && !column->not_null)
                add_not_null(mend.sql, table, name);
        }
        if (!mend.sql.empty()) {
            mend.hint += fmt::format("; with them the unique index {} identifies rows", sql::display_ident(index.name));
            return mend;
        }
    }
    return new_key(session, table);
}

void keys(Examination& exam, Case const& one) {
    exam.check("table-key", one.service->name, "every table has a key that identifies its rows", [&] {
        for (auto const* const table : one.roots) {
            if (table->kind != 'r' && table->kind != 'p')
                continue; // refused for what it is
            auto const key = model::usable_key(*table);
            if (!key) {
                auto mend = key_mend(exam.session, *table);
                exam.add({.level = DoctorLevel::problem,
                          .id = "table-key",
                          .object = table->name.display(),
                          .message = "has no usable key: neither a primary key nor a unique index over NOT NULL columns",
                          .sql = std::move(mend.sql),
                          .hint = std::move(mend.hint)});
            } else if (!key->immediate) {
                Mend mend{{}, "ALTER TABLE … ADD UNIQUE (…) with the same columns, not deferrable"};
                if (table->kind == 'r')
                    mend = {{Sql{"CREATE UNIQUE INDEX CONCURRENTLY ON "}.add(table->name).add(" (").names(key->columns).add(")").text()},
                            "run it as the owner of the table"};
                exam.add({.level = DoctorLevel::advice,
                          .id = "deferrable-key",
                          .object = table->name.display(),
                          .message = fmt::format("its only key, {}, is deferrable; the mirror of such a table is slower",
                                                 sql::display_ident(key->index)),
                          .sql = std::move(mend.sql),
                          .hint = std::move(mend.hint)});
            }
        }
    });
}

void invalid_indexes(Examination& exam, Case const& one) {
    exam.check("invalid-index", one.service->name, "every index is valid", [&] {
        for (auto const* const table : one.tables) {
            for (auto const& index : table->indexes) {
                if (index.valid)
                    continue;
                QName const name{table->name.schema, index.name};
                bool const partitioned = table->kind == 'p';
                exam.add({.level = DoctorLevel::problem,
                          .id = "invalid-index",
                          .object = name.display(),
                          .message = partitioned ? "does not reach every partition yet, so the server does not rely on it"
                                                 : "was left invalid, most likely by a CREATE INDEX CONCURRENTLY that failed",
                          .sql = {partitioned ? Sql{"DROP INDEX "}.add(name).text()
                                              : Sql{"REINDEX INDEX CONCURRENTLY "}.add(name).text()},
                          .hint = partitioned ? "or attach an index to it for every partition: CREATE INDEX on the partition, then"
                                                " ALTER INDEX … ATTACH PARTITION"
                                              : fmt::format("or DROP INDEX CONCURRENTLY {}", name.quoted())});
            }
        }
    });
}

// What the split would refuse, except for what has a check of its own here.
void shapes(Examination& exam, Case const& one) {
    exam.check("table-shape", one.service->name, "everything that its tables are made of can be carried", [&] {
        auto catalog = exam.catalog;
        catalog.role.superuser = true;
        catalog.role.bypass_rls = true;
        for (auto& table : catalog.tables) {
            for (auto& index : table.indexes)
                index.valid = true;
        }
        ddl::Pairs pairs;
        for (auto const* const table : one.tables)
            pairs.push_back(ddl::make_pair(*table, one.service->schema));
        auto notices = one.copies() ? ddl::carry_notices(catalog, pairs, {.needs_key = false}) : ddl::move_notices(catalog, pairs);
        if (one.service->legacy == model::Legacy::view) {
            for (auto& notice : ddl::legacy_view_notices(catalog, pairs))
                notices.push_back(std::move(notice));
        }
        for (auto& notice : notices) {
            bool const in_the_way = std::ranges::any_of(pairs, [&](auto const& p) { return p.target.display() == notice.object; });
            if (in_the_way)
                continue; // target-taken
            exam.add({.level = notice.refuses ? DoctorLevel::problem : DoctorLevel::advice,
                      .id = "table-shape",
                      .object = notice.object,
                      .message = notice.text,
                      .hint = notice.hint});
        }
    });
}

void target_table(Examination& exam, Table const& table, QName const& target) {
    auto const row = exam.session.maybe_one(
        Sql{"SELECT c.relkind, has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(c.relnamespace, 'USAGE') AS readable"
            " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = "}
            .bind(target.schema)
            .add(" AND c.relname = ")
            .bind(target.name));
    if (!row)
        return;
    model::DoctorFinding finding{.level = DoctorLevel::problem, .id = "target-taken", .object = target.display()};
    auto const kind = row->letter("relkind");
    auto const aside = Ident{sql::bounded_name(target.name, "_before_pgcarve")};
    if (kind != 'r' && kind != 'p') {
        finding.message = fmt::format("the name that the copy of {} is to have is taken", table.name.display());
        finding.hint = "rename or drop what has it";
    } else if (!row->boolean("readable")) {
        finding.message = fmt::format("a table is there where the copy of {} is to be, and {} may not read it", table.name.display(), exam.me());
        finding.sql = {Sql{"ALTER TABLE "}.add(target).add(" RENAME TO ").add(aside).text()};
        finding.hint = "run it as the owner of the table";
    } else if (exam.session.one(Sql{"SELECT EXISTS (SELECT FROM "}.add(target).add(") AS filled")).boolean("filled")) {
        finding.message = fmt::format("a table with rows is there where the copy of {} is to be", table.name.display());
        finding.sql = {Sql{"ALTER TABLE "}.add(target).add(" RENAME TO ").add(aside).text()};
        finding.hint = "or drop it, if nobody needs its rows";
    } else {
        finding.message = fmt::format("an empty table is there where the copy of {} is to be", table.name.display());
        finding.sql = {Sql{"DROP TABLE "}.add(target).text()};
        finding.hint = "run it as the owner of the table";
    }
    exam.add(std::move(finding));
}

void target(Examination& exam, Case const& one) {
    exam.check("target", one.service->name, "nothing stands where the service's tables are to be", [&] {
        auto const schema = std::ranges::find(exam.catalog.schemas, one.service->schema, &model::Schema::name);
        if (schema == exam.catalog.schemas.end())
            return;
        exam.add({.level = DoctorLevel::advice,
                  .id = "target-schema",
                  .object = sql::display_ident(schema->name),
                  .message = fmt::format("the service's schema is there already and belongs to {}: split uses it, cancel leaves it",
                                         sql::display_ident(schema->owner))});
        for (auto const* const table : one.tables)
            target_table(exam, *table, {one.service->schema, table->name.name});
    });
}

void disk(Examination& exam, Case const& one) {
    if (!one.copies() || one.tables.empty())
        return;
    std::int64_t bytes = 0;
    for (auto const* const table : one.tables)
        bytes += table->bytes;
    exam.add({.level = DoctorLevel::advice,
              .id = "disk",
              .object = one.service->name,
              .message = "the copy takes as much room as the tables do, and about as much WAL is written meanwhile; how much is free"
                         " cannot be seen through SQL",
              .observed = fmt::format("{} in {} tables and partitions", bytes_text(bytes), one.tables.size()),
              .wanted = fmt::format("{} free for data, and as much again for WAL until it is recycled", bytes_text(bytes)),
              .hint = "df -h, on the server, at its data directory"});
}

// An apply worker runs with session_replication_role = replica: no ordinary trigger fires for what it writes.
void subscriptions(Examination& exam, Case const& one) {
    exam.check("subscription", one.service->name, "no subscription writes to its tables", [&] {
        for (auto const row : exam.session.query(
                 Sql{"SELECT s.subname, r.srrelid::bigint AS relation FROM pg_subscription_rel r JOIN pg_subscription s ON s.oid = r.srsubid"
                     " WHERE r.srrelid = ANY ("}
                     .bind(pg::format_array(oid_texts(one.tables)))
                     .add("::oid[]) ORDER BY 1, 2"))) {
            auto const* const table = exam.catalog.find(base::Oid{static_cast<std::uint32_t>(row.integer("relation"))});
            exam.add({.level = DoctorLevel::problem,
                      .id = "subscription",
                      .object = table == nullptr ? row.text("relation") : table->name.display(),
                      .message = fmt::format("is written by the subscription {}: triggers do not fire for it, so nothing would be mirrored",
                                             sql::display_ident(row.text("subname"))),
                      .hint = "take the table out of the publication it comes from, then ALTER SUBSCRIPTION … REFRESH PUBLICATION"});
        }
    });
}

} // namespace

void check_boundary(Examination& exam) {
    exam.check("boundary-map", exam.context.map.file, "every pattern fits and no table is owned twice", [&] {
        for (auto const& problem : exam.ownership.problems)
            exam.add({.level = DoctorLevel::problem,
                      .id = "boundary-map",
                      .object = fmt::format("{}:{}", problem.where.file, problem.where.line),
                      .message = fmt::format("{}: {}", problem.where.key, problem.message),
                      .hint = "mend it in that line"});
    });
}

void check_tables(Examination& exam, Case const& one) {
    subscriptions(exam, one);
    if (!one.planned() || one.attempt_open)
        return;
    if (one.copies())
        keys(exam, one);
    invalid_indexes(exam, one);
    shapes(exam, one);
    target(exam, one);
    disk(exam, one);
}

void check_activity(Examination& exam, Case const& one) {
    exam.check("transaction", one.service->name, "no old transaction is in the way", [&] {
        auto const limit = one.service->limits.max_transaction_age;
        for (auto const row : exam.session.query(
                 Sql{"SELECT a.pid, coalesce(a.usename, '?') AS usename, coalesce(a.application_name, '') AS application,"
                     " coalesce(a.state, '?') AS state, extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS seconds,"
                     " EXISTS (SELECT FROM pg_locks l WHERE l.pid = a.pid AND l.granted AND l.locktype = 'relation'"
                     "  AND l.database = a.datid AND l.mode IN ('RowExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock',"
                     "  'ExclusiveLock', 'AccessExclusiveLock') AND l.relation = ANY ("}
                     .bind(pg::format_array(oid_texts(one.tables)))
                     .add("::oid[])) AS writes FROM pg_stat_activity a WHERE a.datname = current_database()"
                          " AND a.pid <> pg_backend_pid() AND a.backend_type = 'client backend'"
                          " AND a.xact_start < clock_timestamp() - make_interval(secs => ")
                     .bind(fmt::format("{}", static_cast<double>(limit.count()) / 1000))
                     .add("::float8) ORDER BY a.xact_start LIMIT 20"))) {
            bool const writes = row.boolean("writes");
            exam.add({.level = writes ? DoctorLevel::problem : DoctorLevel::advice,
                      .id = "transaction",
                      .object = fmt::format("pid {}", row.integer("pid")),
                      .message = writes ? "an old transaction has locked tables of the service for writing: a switch would wait for it"
                                        : "an old transaction is open; a switch waits for it if it touches the service's tables",
                      .observed = fmt::format("{}{}{}, {}, open for {}", row.text("usename"), row.text("application").empty() ? "" : " ",
                                              row.text("application"), row.text("state"),
                                              base::describe_duration(base::Millis{static_cast<long long>(row.real("seconds") * 1000)})),
                      .wanted = fmt::format("ended within {}", base::format_duration(limit)),
                      .sql = {Sql{"SELECT pg_catalog.pg_terminate_backend("}.number(row.integer("pid")).add(")").text()},
                      .hint = "better: let its application end it"});
        }
    });
}

} // namespace pgcarve::run::doctor
