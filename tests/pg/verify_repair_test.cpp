// Goal: repair makes the follower equal with the smallest statements, whatever constraints stand in
// the way, loses no write of the application, and says what it could not mend.
// Method: one private server.
#include <atomic>
#include <thread>

#include <gtest/gtest.h>

#include "run/proof/schema_verification.hpp"
#include "support/server.hpp"
#include "verify/repair.hpp"

namespace {

using namespace pgcarve;
using model::Verdict;

class Repair : public testing::Test {
protected:
    void SetUp() override {
        database_ = server_.create_database();
        session_.emplace(server_.connect(database_));
        session_->run("CREATE SCHEMA shop");
    }

    [[nodiscard]] pg::SessionSettings settings() const {
        return {.dsn = server_.dsn(database_), .purpose = "repair", .lock_timeout = base::Millis{2000}};
    }

    static model::TablePair pair(std::string const& name) { return {{"public", name}, {"shop", name}, {"id"}}; }

    [[nodiscard]] verify::Located located(std::vector<model::TablePair> const& pairs, verify::RepairOptions const& options) const {
        return run::locate_differences(settings(), "shop", pairs, options.compare, {});
    }

    verify::RepairReport repair(std::vector<model::TablePair> const& pairs, verify::RepairOptions const& options = {}) {
        return verify::repair(settings(), located(pairs, options), options, {});
    }

    Verdict verdict(std::vector<model::TablePair> const& pairs) {
        return run::verify_schema(settings(), "shop", pairs, {}, {}).verification.verdict;
    }

    long long count(std::string const& what) {
        return session_->one(sql::Sql{"SELECT count(*) AS n FROM "}.server_text(what)).integer("n");
    }

    test::Server& server_ = test::Server::shared();
    std::string database_;
    std::optional<pg::Session> session_;
};

TEST_F(Repair, PrintsTheSmallestStatementsAndChangesNothing) {
    session_->run("CREATE TABLE public.a (id int PRIMARY KEY, \"V\" text, w numeric); CREATE TABLE shop.a (LIKE public.a INCLUDING ALL);"
                  "INSERT INTO public.a VALUES (1, 'secret', 1), (2, 'secret', 1.0), (3, 'secret', 1);"
                  "INSERT INTO shop.a VALUES (1, 'secret', 1), (2, 'secret', 1.00), (4, 'secret', 1)");
    std::vector<std::string> printed;
    verify::RepairEvents events;
    events.statement = [&](verify::RepairStatement const& s) { printed.push_back(s.sql); };
    verify::print_repairs(settings(), located({pair("a")}, {}), {.batch_rows = 1}, events);
    EXPECT_EQ(printed, (std::vector<std::string>{
                           "DELETE FROM shop.a WHERE id = '4';",
                           "UPDATE shop.a AS t SET w = s.w FROM public.a AS s WHERE s.id = '2' AND t.id = '2';",
                           "INSERT INTO shop.a (id, \"V\", w) OVERRIDING SYSTEM VALUE SELECT id, \"V\", w FROM public.a"
                           " WHERE id = '3';"}));
    EXPECT_EQ(verdict({pair("a")}), Verdict::different);
    for (auto const& statement : printed)
        session_->run(statement);
    EXPECT_EQ(verdict({pair("a")}), Verdict::clean);
}

TEST_F(Repair, MendsAllDifferencesAndNotOnlyTheSamples) {
    session_->run("CREATE TABLE public.a (id int PRIMARY KEY, v text); CREATE TABLE shop.a (LIKE public.a INCLUDING ALL);"
                  "INSERT INTO public.a SELECT i, 'v' FROM generate_series(1, 5000) i;"
                  "INSERT INTO shop.a SELECT i, CASE WHEN i % 2 = 0 THEN 'w' ELSE 'v' END FROM generate_series(2500, 6000) i");
    auto const report = repair({pair("a")});
    ASSERT_EQ(report.tables.size(), 1U);
    EXPECT_EQ(report.tables[0].inserted, 2499);
    EXPECT_EQ(report.tables[0].updated, 1251);
    EXPECT_EQ(report.tables[0].deleted, 1000);
    EXPECT_EQ(report.remaining(), 0);
    EXPECT_EQ(verdict({pair("a")}), Verdict::clean);
}

TEST_F(Repair, GivesBackExchangedUniqueValues) {
    session_->run("CREATE TABLE public.a (id int PRIMARY KEY, u int NOT NULL UNIQUE); CREATE TABLE shop.a (LIKE public.a INCLUDING ALL);"
                  "CREATE TABLE shop.child (id int PRIMARY KEY, a int REFERENCES shop.a);"
                  "INSERT INTO public.a SELECT i, i FROM generate_series(1, 100) i; INSERT INTO shop.a TABLE public.a;"
                  "INSERT INTO shop.child VALUES (1, 1), (2, 99);"
                  // A ring across batches (1 -> 99 -> 50 -> 1) and a chain (10 -> 11 -> 12 -> free).
                  "UPDATE shop.a SET u = -id WHERE id IN (1, 50, 99, 10, 11, 12);"
                  "UPDATE shop.a SET u = 99 WHERE id = 1; UPDATE shop.a SET u = 50 WHERE id = 99; UPDATE shop.a SET u = 1 WHERE id = 50;"
                  "UPDATE shop.a SET u = 11 WHERE id = 10; UPDATE shop.a SET u = 12 WHERE id = 11; UPDATE shop.a SET u = 1000 WHERE id = 12");
    auto const report = repair({pair("a")}, {.batch_rows = 2});
    EXPECT_EQ(report.remaining(), 0);
    EXPECT_TRUE(report.tables[0].reasons.empty());
    EXPECT_EQ(report.tables[0].updated, 6);
    EXPECT_EQ(verdict({pair("a")}), Verdict::clean);
    EXPECT_EQ(count("shop.child"), 2);
}

TEST_F(Repair, ParksUniqueValuesWhereReplacingWouldReachOtherTables) {
    session_->run("CREATE TABLE public.a (id int PRIMARY KEY, u int UNIQUE, v text); CREATE TABLE shop.a (LIKE public.a INCLUDING ALL);"
                  "CREATE TABLE shop.child (id int PRIMARY KEY, a int REFERENCES shop.a ON DELETE CASCADE);"
                  "INSERT INTO public.a VALUES (1, 1, 'a'), (2, 2, 'b'), (3, 3, 'c');"
                  "INSERT INTO shop.a VALUES (1, 2, 'a'), (2, 1, 'x'), (3, 3, 'c'), (4, 4, 'd'), (5, 5, 'e');"
                  "INSERT INTO shop.child VALUES (1, 1), (2, 2), (4, 4)");
    auto const report = repair({pair("a")});
    EXPECT_EQ(count("shop.child"), 3);
    EXPECT_EQ(report.tables[0].updated, 2);
    EXPECT_EQ(report.tables[0].deleted, 1); // row 5; row 4 has a child that would go with it
    EXPECT_EQ(report.remaining(), 1);
    ASSERT_EQ(report.tables[0].remaining_samples.size(), 1U);
    EXPECT_EQ(report.tables[0].remaining_samples[0].key[0].second, "4");
    ASSERT_EQ(report.tables[0].reasons.size(), 1U);
    EXPECT_NE(report.tables[0].reasons[0].find("shop.child"), std::string::npos);
}

TEST_F(Repair, FollowsForeignKeysBetweenTheTables) {
    for (auto const* const schema : {"public", "shop"}) {
        auto const s = std::string{schema};
        session_->run("CREATE TABLE " + s + ".parent (id int PRIMARY KEY, boss int REFERENCES " + s + ".parent);" +
                      "CREATE TABLE " + s + ".child (id int PRIMARY KEY, parent int NOT NULL REFERENCES " + s +
                      ".parent ON DELETE CASCADE);");
    }
    session_->run("INSERT INTO public.parent VALUES (1, NULL), (2, 3), (3, 1); INSERT INTO public.child VALUES (1, 1), (2, 2);"
                  "INSERT INTO shop.parent VALUES (1, NULL), (8, 1), (9, 8); INSERT INTO shop.child VALUES (1, 9), (7, 8)");
    auto const pairs = std::vector{pair("child"), pair("parent")};
    EXPECT_EQ(repair(pairs, {.batch_rows = 1}).remaining(), 0);
    EXPECT_EQ(verdict(pairs), Verdict::clean);
}

TEST_F(Repair, WritesIdentityAndGeneratedColumns) {
    session_->run("CREATE TABLE public.a (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int, g int GENERATED ALWAYS AS (n * 2) STORED);"
                  "CREATE TABLE public.b (id int PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY);"
                  "CREATE TABLE shop.a (LIKE public.a INCLUDING ALL); CREATE TABLE shop.b (LIKE public.b INCLUDING ALL);"
                  "INSERT INTO public.a (n) SELECT i FROM generate_series(1, 9) i; INSERT INTO public.b (id) SELECT i FROM generate_series(1, 9) i;"
                  "INSERT INTO shop.a (n) SELECT i FROM generate_series(1, 5) i;"
                  "INSERT INTO shop.b OVERRIDING SYSTEM VALUE SELECT id, n + 100 FROM public.b;"
                  "UPDATE shop.a SET n = 7 WHERE id = 1");
    auto const report = repair({pair("a"), pair("b")});
    EXPECT_EQ(report.remaining(), 0);
    EXPECT_EQ(verdict({pair("a"), pair("b")}), Verdict::clean);
}

TEST_F(Repair, PassesTheFenceAndWritesNothingToTheSource) {
    session_->run("CREATE TABLE public.a (id int PRIMARY KEY, v text); CREATE TABLE shop.a (LIKE public.a INCLUDING ALL);"
                  "INSERT INTO public.a VALUES (1, 'a'), (2, 'b'); INSERT INTO shop.a VALUES (2, 'x'), (3, 'c');"
                  "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'refused'; END$$;"
                  "CREATE TRIGGER fence BEFORE INSERT OR UPDATE OR DELETE ON shop.a FOR EACH STATEMENT"
                  " WHEN (current_setting('pgcarve.mirror', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION public.refuse();"
                  "CREATE TRIGGER fence BEFORE INSERT OR UPDATE OR DELETE ON public.a FOR EACH STATEMENT EXECUTE FUNCTION public.refuse()");
    EXPECT_EQ(repair({pair("a")}).remaining(), 0);
    EXPECT_EQ(verdict({pair("a")}), Verdict::clean);
    EXPECT_THROW(session_->run("DELETE FROM shop.a"), pg::SqlError);
}

TEST_F(Repair, SaysWhichRowsTheTargetRefusesAndMendsTheOthers) {
    session_->run("CREATE TABLE public.a (id int PRIMARY KEY, v int); CREATE TABLE shop.a (LIKE public.a INCLUDING ALL);"
                  "ALTER TABLE shop.a ADD CONSTRAINT small CHECK (v < 10);"
                  "INSERT INTO public.a SELECT i, i FROM generate_series(1, 12) i; INSERT INTO shop.a VALUES (11, 0)");
    auto const report = repair({pair("a")});
    EXPECT_EQ(report.tables[0].inserted, 9);
    EXPECT_EQ(report.remaining(), 3);
    EXPECT_EQ(report.tables[0].remaining_samples.size(), 3U);
    ASSERT_FALSE(report.tables[0].reasons.empty());
    EXPECT_NE(report.tables[0].reasons[0].find("small"), std::string::npos);
}

TEST_F(Repair, GivesWayToALockAndNamesItsHolder) {
    session_->run("CREATE TABLE public.a (id int PRIMARY KEY, v int); CREATE TABLE shop.a (LIKE public.a INCLUDING ALL);"
                  "INSERT INTO public.a VALUES (1, 1); INSERT INTO shop.a VALUES (1, 2)");
    auto holder = server_.connect(database_);
    pg::Transaction hold{holder};
    holder.run("UPDATE public.a SET v = 3");
    try {
        repair({pair("a")}, {.locks = {.lock_timeout = base::Millis{20}, .tries = 2, .pause = base::Millis{5}}});
        FAIL() << "did not need the lock";
    } catch (base::Error const& e) {
        EXPECT_EQ(e.code(), "lock-not-acquired");
        EXPECT_EQ(e.details().size(), 1U);
    }
    EXPECT_EQ(count("shop.a WHERE v = 2"), 1);
}

// Writers keep both sides equal by state, as the mirror does; meanwhile rows of the target are spoilt and repaired.
TEST_F(Repair, LosesNoWriteOfLiveWriters) {
    session_->run("CREATE TABLE public.a (id int PRIMARY KEY, v int); CREATE TABLE shop.a (LIKE public.a INCLUDING ALL);"
                  "INSERT INTO public.a SELECT i, 0 FROM generate_series(1, 60) i; INSERT INTO shop.a TABLE public.a");
    std::atomic<bool> done{false};
    std::atomic<int> written{0};
    std::vector<std::jthread> writers;
    for (int w = 0; w < 3; ++w) {
        writers.emplace_back([&, w] {
            auto session = server_.connect(database_);
            for (int i = w; !done; i += 3) {
                auto const id = std::to_string(1 + i * 7 % 80);
                auto const change = i % 4 == 0 ? "DELETE FROM public.a WHERE id = " + id
                                               : "INSERT INTO public.a VALUES (" + id + ", " + std::to_string(i) +
                                                     ") ON CONFLICT (id) DO UPDATE SET v = EXCLUDED.v";
                pg::Transaction transaction{session};
                session.run(change);
                session.run("INSERT INTO shop.a SELECT * FROM public.a WHERE id = " + id +
                            " ON CONFLICT (id) DO UPDATE SET v = EXCLUDED.v WHERE shop.a.* IS DISTINCT FROM EXCLUDED.*");
                session.run("DELETE FROM shop.a WHERE id = " + id + " AND NOT EXISTS (SELECT FROM public.a WHERE id = " + id + ")");
                transaction.commit();
                ++written;
            }
        });
    }
    std::int64_t mended = 0;
    for (int round = 0; round < 25; ++round) {
        session_->run("UPDATE shop.a SET v = -1 WHERE id % 5 = 1; DELETE FROM shop.a WHERE id % 7 = 2;"
                      "INSERT INTO shop.a SELECT i, -2 FROM generate_series(1, 100) i ON CONFLICT DO NOTHING");
        auto const report = repair({pair("a")}, {.batch_rows = 5});
        EXPECT_EQ(report.remaining(), 0);
        for (auto const& table : report.tables)
            mended += table.inserted + table.updated + table.deleted;
    }
    EXPECT_TRUE(test::wait_until([&] { return written > 100; }));
    done = true;
    writers.clear();
    EXPECT_GT(mended, 0);
    EXPECT_EQ(verdict({pair("a")}), Verdict::clean);
}

} // namespace
