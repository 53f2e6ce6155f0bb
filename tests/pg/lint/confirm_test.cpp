// Goal: rules whose examples show nothing in one statement's locks (timeouts, work under a lock, lock order, loss) are
// right about a server too. Method: their examples run on a real server; what each claims is looked at where it shows:
// in a second session that waits, in what a transaction still holds, in rows and objects that are gone.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <thread>

#include "lint/proof.hpp"
#include "pg/lint/examples.hpp"
#include "pg/trace.hpp"
#include "run/scratch.hpp"
#include "support/server.hpp"

namespace {

using namespace pgcarve;
using lint::Lock;

std::vector<lint::Observed> observe(std::string const& sql) {
    lint::Input input;
    input.schema.push_back({"schema.sql", test::example_schema()});
    input.files.push_back({"m.sql", sql});
    base::Interrupt interrupt;
    auto result = run::run_on_scratch({.dsn = test::Server::shared().dsn()}, input, interrupt);
    EXPECT_TRUE(result.unproven.empty()) << sql;
    for (auto const& seen : result.observed)
        EXPECT_TRUE(seen.ran) << sql << ": " << seen.refused;
    return result.observed;
}

lint::Rule const& rule(std::string const& id) { return *lint::find_rule(id); }

std::string prepared() {
    auto& server = test::Server::shared();
    auto const database = server.create_database();
    pg::Trace trace{server.dsn(database), base::Millis{0}};
    for (auto const& piece : lint::split(lint::example_schema()).pieces)
        trace.run(std::string{lint::example_schema().substr(piece.span.begin, piece.span.end - piece.span.begin)});
    return database;
}

struct Waited {
    bool ended = false;   // by itself, while the other session went on
    bool waited = false;  // for that session
    std::string sqlstate; // of what ended it; "" when it ran
};

// Runs an example while another session reads the tables and does not finish before the example has, or has been seen to
// wait for much longer than the timeouts that the examples are given here.
Waited run_beside_reader(std::string const& sql, bool ends) {
    auto& server = test::Server::shared();
    auto const database = prepared();
    auto reader = server.connect(database);
    auto watcher = server.connect(database);
    pg::Transaction transaction{reader};
    reader.run("LOCK TABLE public.orders, public.customers IN ACCESS SHARE MODE");
    Waited result;
    std::atomic<bool> ended = false;
    std::jthread const migration{[&] {
        pg::Trace trace{server.dsn(database), base::Millis{0}};
        for (auto const& piece : lint::split(sql).pieces) {
            auto const ran = trace.run(sql.substr(piece.span.begin, piece.span.end - piece.span.begin));
            if (!ran.ok && result.sqlstate.empty())
                result.sqlstate = ran.sqlstate;
        }
        ended = true;
    }};
    auto const waits = [&] {
        return watcher
            .one(sql::Sql{"SELECT count(*) > 0 AS yes FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND "
                          "clock_timestamp() - query_start > interval '1 second'"})
            .boolean("yes");
    };
    (void)test::wait_until([&] { return ended.load() || (!ends && waits()); });
    result.ended = ended;
    result.waited = !ended && waits();
    transaction.abort();
    EXPECT_TRUE(test::wait_until([&] { return ended.load(); }));
    return result;
}

TEST(Confirm, TimeoutsEndTheWaiting) {
    for (std::string const id : {"L20", "L21"}) {
        for (auto const& sql : rule(id).about.violating) {
            auto const result = run_beside_reader(sql, false);
            EXPECT_TRUE(result.waited) << id << ": " << sql;
            EXPECT_EQ(result.sqlstate, "") << "it ran in the end: " << sql;
        }
        for (auto sql : rule(id).about.accepted) {
            for (std::string const time : {"'1min'", "'2s'"}) { // the same in a time that a test has
                if (auto const at = sql.find(time); at != std::string::npos)
                    sql.replace(at, time.size(), "'200ms'");
            }
            EXPECT_TRUE(run_beside_reader(sql, true).ended) << id << ": " << sql;
        }
    }
}

// A lock that an earlier statement took and that still blocks while this one works.
bool works_under(std::vector<lint::Observed> const& all) {
    return std::ranges::any_of(all, [](lint::Observed const& seen) {
        bool const old = std::ranges::any_of(seen.held, [&](lint::TableLock const& lock) {
            return lint::blocks_writes(lock.mode) && std::ranges::none_of(seen.taken, [&](lint::TableLock const& t) { return t.table == lock.table && t.mode == lock.mode; });
        });
        bool const writes = std::ranges::any_of(seen.held, [](lint::TableLock const& lock) { return lock.mode == Lock::row_exclusive; });
        return old && (writes || !seen.builds.empty() || !seen.scans.empty() || !seen.rewrites.empty());
    });
}

TEST(Confirm, WorkUnderALock) {
    for (std::string const id : {"L22", "L23"}) {
        for (auto const& sql : rule(id).about.violating)
            EXPECT_TRUE(works_under(observe(sql))) << sql;
        for (auto const& sql : rule(id).about.accepted)
            EXPECT_FALSE(works_under(observe(sql))) << sql;
    }
}

int blocking_statements(std::vector<lint::Observed> const& all) {
    return static_cast<int>(std::ranges::count_if(all, [](lint::Observed const& seen) { return lint::blocks_writes(seen.strongest_taken()); }));
}

std::size_t most_tables_held(std::vector<lint::Observed> const& all) {
    std::size_t most = 0;
    for (auto const& seen : all) {
        std::set<sql::QName> tables;
        for (auto const& lock : seen.held) {
            if (lint::blocks_writes(lock.mode))
                tables.insert(lock.table);
        }
        most = std::max(most, tables.size());
    }
    return most;
}

TEST(Confirm, LocksOfSeveralStatements) {
    for (auto const& sql : rule("L24").about.violating)
        EXPECT_GT(blocking_statements(observe(sql)), 1) << "the lock is taken again for each";
    for (auto const& sql : rule("L24").about.accepted)
        EXPECT_EQ(blocking_statements(observe(sql)), 1) << sql;
    for (auto const& sql : rule("L27").about.violating)
        EXPECT_GT(most_tables_held(observe(sql)), 1U) << sql;
    for (auto const& sql : rule("L27").about.accepted)
        EXPECT_LE(most_tables_held(observe(sql)), 1U) << sql;
}

TEST(Confirm, BulkChangesTouchEveryRow) {
    auto& server = test::Server::shared();
    for (auto const& sql : rule("L25").about.violating) {
        auto session = server.connect(prepared());
        session.run("SET search_path = public");
        auto const table = sql.find("order_lines") != std::string::npos ? "order_lines" : "orders";
        auto const rows = session.one(sql::Sql{"SELECT count(*) AS n FROM "}.server_text(table)).integer("n");
        EXPECT_EQ(session.query(sql::Sql{""}.server_text(sql)).affected(), static_cast<std::size_t>(rows)) << sql;
        EXPECT_GT(rows, 0);
    }
}

TEST(Confirm, WhatIsDroppedIsGone) {
    auto& server = test::Server::shared();
    auto session = server.connect(prepared());
    session.run("CREATE SCHEMA shop; CREATE TABLE shop.orders (id int); SET search_path = public");
    session.run(rule("C03").about.violating[0]);
    EXPECT_TRUE(session.query(sql::Sql{"SELECT FROM pg_class WHERE oid = to_regclass('shop.orders')"}).empty());
    session.run(rule("C03").about.accepted[0]);
    session.run("CREATE DATABASE shop");
    session.run(rule("C04").about.violating[0]);
    EXPECT_TRUE(session.query(sql::Sql{"SELECT FROM pg_database WHERE datname = 'shop'"}).empty());
    session.run("CREATE FUNCTION gone(int) RETURNS int LANGUAGE sql AS 'SELECT $1';"
                "CREATE FUNCTION caller() RETURNS int LANGUAGE plpgsql SET search_path = public AS 'BEGIN RETURN gone(1); END'");
    session.run("SELECT caller()");
    session.run(rule("C11").about.violating[0]);
    EXPECT_THROW(session.run("SELECT caller()"), pg::SqlError) << "whoever calls it fails from now on";
    session.run(rule("C11").about.accepted[0]);
    auto const versions = session.query(sql::Sql{"SELECT version FROM pg_available_extension_versions WHERE name = 'hstore' ORDER BY string_to_array(version, '.')::int[]"});
    if (versions.size() < 2)
        GTEST_SKIP() << "there are no two versions of hstore here to update between";
    session.run("CREATE EXTENSION hstore VERSION " + sql::literal(versions[0].text("version")));
    session.run(rule("C11").about.violating[1]);
    EXPECT_NE(session.one(sql::Sql{"SELECT extversion FROM pg_extension WHERE extname = 'hstore'"}).text("extversion"), versions[0].text("version"));
}

// A whole history: each file is run, and nothing is left behind.
TEST(Confirm, ManyMigrations) {
    constexpr int files = 60;
    lint::Input input;
    for (int i = 0; i < files; ++i)
        input.files.push_back({"m" + std::to_string(i) + ".sql", "CREATE TABLE t" + std::to_string(i) + " (id bigint PRIMARY KEY, a text);\nCREATE INDEX ON t" + std::to_string(i) +
                                                                    " (a);\n" + (i > 0 ? "ALTER TABLE t" + std::to_string(i - 1) + " ADD COLUMN b int;\n" : "")});
    base::Interrupt interrupt;
    auto const result = run::run_on_scratch({.dsn = test::Server::shared().dsn()}, input, interrupt);
    EXPECT_EQ(result.observed.size(), 3U * files - 1);
    for (auto const& seen : result.observed)
        EXPECT_TRUE(seen.ran) << seen.refused;
    auto session = test::Server::shared().connect();
    EXPECT_TRUE(session.query(sql::Sql{"SELECT FROM pg_database WHERE datname LIKE 'pgcarve_lint_%'"}).empty());
}

} // namespace
