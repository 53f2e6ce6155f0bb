// Goal: a session keeps its promises on a real server. Method: one private server.
#include <gtest/gtest.h>

#include "pg/retry.hpp"
#include "support/server.hpp"

namespace {

using namespace pgcarve;
using sql::Sql;

TEST(Session, BindsValuesAndNulls) {
    auto session = test::Server::shared().connect();
    auto const row = session.one(Sql{"SELECT "}.bind("it's; -- \\").add("::text AS a, ").bind(std::nullopt).add("::text AS b"));
    EXPECT_EQ(row.text("a"), "it's; -- \\");
    EXPECT_FALSE(row.maybe("b"));
}

TEST(Session, ReadsArraysAsTheServerWritesThem) {
    auto session = test::Server::shared().connect();
    std::vector<std::string> const items{"plain", "with \"quotes\"", "back\\slash", "comma,", "", "{brace}"};
    auto const row = session.one(Sql{"SELECT "}.bind(pg::format_array(items)).add("::text[] AS a"));
    EXPECT_EQ(row.array("a"), items);
}

TEST(Session, SqlErrorsCarryTheirSqlstate) {
    auto session = test::Server::shared().connect();
    try {
        session.run("SELECT 1/0");
        FAIL();
    } catch (pg::SqlError const& e) {
        EXPECT_EQ(e.sqlstate(), "22012");
    }
    EXPECT_TRUE(session.alive());
}

TEST(Session, KeepsTheSqlstatesThatAreBranchedOn) {
    auto session = test::Server::shared().connect();
    for (auto const state : {pg::sqlstate::lock_not_available, pg::sqlstate::deadlock_detected, pg::sqlstate::serialization_failure,
                             pg::sqlstate::disk_full, pg::sqlstate::insufficient_privilege, pg::sqlstate::query_canceled,
                             pg::sqlstate::unique_violation, pg::sqlstate::foreign_key_violation, pg::sqlstate::moved}) {
        try {
            session.run("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '" + std::string{state} + "'; END $$");
            FAIL() << state;
        } catch (pg::SqlError const& e) {
            EXPECT_EQ(e.sqlstate(), state);
        }
    }
}

TEST(Session, StaysLostOnceLost) {
    auto session = test::Server::shared().connect();
    auto other = test::Server::shared().connect();
    other.query(Sql{"SELECT pg_terminate_backend("}.number(session.backend_pid()).add(")"));
    for (int i = 0; i < 2; ++i) {
        try {
            session.run("SELECT 1");
            FAIL() << "a lost session answered";
        } catch (base::Error const& e) {
            EXPECT_EQ(e.code(), "server-lost");
            EXPECT_EQ(e.exit(), base::Exit::unavailable);
        }
    }
}

TEST(Session, DoesNotRepeatABadConnectionString) {
    try {
        pg::Session session{{.dsn = "host=x password=hidden secret", .purpose = "test"}};
        FAIL();
    } catch (base::Error const& e) {
        EXPECT_EQ(e.exit(), base::Exit::usage);
        EXPECT_EQ(std::string{e.what()}.find("secret"), std::string::npos);
    }
}

TEST(Retry, NamesWhoHoldsTheLockAndThenGivesUp) {
    auto& server = test::Server::shared();
    auto holder = server.connect();
    auto waiter = server.connect();
    holder.run("CREATE TABLE public.held (id int)");
    pg::Transaction hold{holder};
    holder.run("INSERT INTO public.held VALUES (1)");
    int waits = 0;
    try {
        pg::with_lock_retry(
            waiter, {.lock_timeout = base::Millis{20}, .tries = 3, .pause = base::Millis{5}}, {"public.held"},
            [](pg::Transaction& t) { t.session().run("LOCK TABLE public.held IN SHARE ROW EXCLUSIVE MODE"); },
            [&](int, std::vector<pg::Blocker> const& blockers) {
                ++waits;
                ASSERT_EQ(blockers.size(), 1U);
                EXPECT_EQ(blockers[0].pid, holder.backend_pid());
            });
        FAIL();
    } catch (base::Error const& e) {
        EXPECT_EQ(e.code(), "lock-not-acquired");
        EXPECT_EQ(e.details().size(), 1U);
    }
    EXPECT_EQ(waits, 2);
}

} // namespace
