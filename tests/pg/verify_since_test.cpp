// Goal: within one database, what is called proven at a moment is equal there, although pieces were compared at earlier ones, or
// only what was written since the last time is looked at. Method: one private server; random writes to both sides and to one.
#include <atomic>
#include <map>
#include <random>
#include <thread>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "run/proof/schema_verification.hpp"
#include "support/server.hpp"

namespace {

using namespace pgcarve;
using model::FindingKind;
using model::Verdict;

struct KeyCase {
    std::string name;
    std::string columns; // of the key, of a number g
    std::string values;
    std::vector<std::string> key;
};

std::vector<KeyCase> const key_cases{
    {"number", "id bigint NOT NULL", "{0}", {"id"}},
    {"words", "id text NOT NULL", "'Ä' || md5('{0}')", {"id"}},
    {"tokens", "id uuid NOT NULL", "md5('{0}')::uuid", {"id"}},
    {"amounts", "id numeric NOT NULL", "{0} / 10.0", {"id"}},
    {"pairs", "\"a b\" varchar(40) NOT NULL, id date NOT NULL", "'x{0}', date '2020-01-01' + {0} % 7", {"a b", "id"}},
};

class Since : public testing::TestWithParam<unsigned> {
protected:
    void SetUp() override {
        database_ = server_.create_database();
        session_.emplace(server_.connect(database_));
        session_->run("CREATE SCHEMA shop");
        for (auto const& one : key_cases) {
            std::string key;
            for (auto const& column : one.key)
                key += (key.empty() ? "\"" : ", \"") + column + "\"";
            for (auto const* const side : {"public", "shop"})
                session_->run(fmt::format("CREATE TABLE {}.{} ({}, v text, PRIMARY KEY ({})); ALTER TABLE {}.{} SET (autovacuum_enabled = off)", side, one.name, one.columns,
                                          key, side, one.name));
            for (int g = 0; g < rows; ++g)
                write(one, "both", 0, g);
            pairs_.push_back({{"public", one.name}, {"shop", one.name}, one.key});
        }
        session_->run("ANALYZE");
    }

    int any(int below) { return std::uniform_int_distribution{0, below - 1}(random_); }

    // kind 0: that row is there, with a new value; 1: it is not.
    void write(KeyCase const& one, std::string const& where, int kind, int g) {
        std::string list;
        for (auto const& column : one.key)
            list += (list.empty() ? "\"" : ", \"") + column + "\"";
        auto const values = fmt::format(fmt::runtime(one.values), g);
        auto const text = std::to_string(++value_);
        pg::Transaction transaction{*session_};
        for (std::string const side : {"public", "shop"}) {
            if (where != "both" && where != side)
                continue;
            session_->run(kind == 0 ? fmt::format("INSERT INTO {}.{} VALUES ({}, '{}') ON CONFLICT ({}) DO UPDATE SET v = EXCLUDED.v", side, one.name, values, text, list)
                                    : fmt::format("DELETE FROM {}.{} WHERE ({}) = ({})", side, one.name, list, values));
        }
        transaction.commit();
    }

    [[nodiscard]] pg::SessionSettings settings() const { return {.dsn = server_.dsn(database_), .purpose = "verify", .lock_timeout = base::Millis{2'000}}; }
    run::SchemaOutcome verify(run::SchemaOptions const& options) { return run::verify_schema(settings(), "shop", pairs_, options, {}); }

    // What differs, as the server itself says: table, number of kinds.
    std::map<std::string, std::string> truth() {
        std::map<std::string, std::string> all;
        for (auto const& one : key_cases) {
            std::string join;
            for (auto const& column : one.key)
                join += fmt::format("{}\"{}\"", join.empty() ? "" : ", ", column);
            auto const row = session_->one(sql::Sql{"SELECT "}.server_text(fmt::format(
                "count(*) FILTER (WHERE t.v IS NULL) || '/' || count(*) FILTER (WHERE s.v IS NULL) || '/' || count(*) FILTER (WHERE s.v <> t.v) AS n"
                " FROM public.{0} s FULL JOIN shop.{0} t USING ({1})",
                one.name, join)));
            all["public." + one.name] = row.text("n");
        }
        return all;
    }
    static std::map<std::string, std::string> found(model::Verification const& verification) {
        std::map<std::string, std::string> all;
        for (auto const& table : verification.tables) {
            EXPECT_EQ(table.why, "");
            all[table.source.display()] = fmt::format("{}/{}/{}", table.missing, table.extra, table.different);
            EXPECT_EQ(table.samples.size(), std::min<std::size_t>(20, static_cast<std::size_t>(table.missing + table.extra + table.different)));
        }
        return all;
    }
    void mend() {
        for (auto const& one : key_cases)
            session_->run(fmt::format("BEGIN; DELETE FROM shop.{0}; INSERT INTO shop.{0} TABLE public.{0}; COMMIT", one.name));
    }

    static constexpr int rows = 300;
    test::Server& server_ = test::Server::shared();
    std::string database_;
    std::optional<pg::Session> session_;
    std::vector<model::TablePair> pairs_;
    std::mt19937 random_{GetParam()};
    int value_ = 0;
};

TEST_P(Since, FindsExactlyWhatWasWrittenOnOneSideSinceTheLastTime) {
    run::SchemaOptions options;
    auto last = verify(options).verification;
    ASSERT_EQ(last.verdict, Verdict::clean);
    for (int round = 0; round < 12; ++round) {
        SCOPED_TRACE(round);
        for (int n = any(60); n > 0; --n)
            write(key_cases[static_cast<std::size_t>(any(static_cast<int>(key_cases.size())))], "both", any(3) == 0 ? 1 : 0, any(rows + 50));
        for (int n = any(3) == 0 ? 0 : any(12); n > 0; --n)
            write(key_cases[static_cast<std::size_t>(any(static_cast<int>(key_cases.size())))], any(2) == 0 ? "public" : "shop", any(2), any(rows + 50));
        // One row less on either side: their number is the same.
        if (any(3) == 0) {
            write(key_cases[0], "public", 1, 7);
            write(key_cases[0], "shop", 1, 8);
        }
        if (any(6) == 0)
            session_->run("TRUNCATE shop.tokens");
        if (any(6) == 0)
            session_->run("TRUNCATE public.words, shop.words");

        run::SchemaOptions incremental;
        incremental.since = last.horizon;
        incremental.share = 0.01;
        incremental.compare.rows_per_item = any(2) == 0 ? 40 : 1e6;
        incremental.compare.snapshot_limit = base::Millis{any(2) == 0 ? 0 : 300'000};
        incremental.compare.workers = 1 + any(3);
        auto const verification = verify(incremental).verification;
        EXPECT_EQ(verification.mode, "incremental");
        auto const should = truth();
        EXPECT_EQ(found(verification), should);
        bool const clean = std::ranges::all_of(should, [](auto const& table) { return table.second == "0/0/0"; });
        EXPECT_EQ(verification.verdict, clean ? Verdict::clean : Verdict::different);
        if (!clean) {
            mend();
            last = verify({}).verification;
        } else {
            last = verification;
        }
        ASSERT_EQ(last.verdict, Verdict::clean);
    }
}

TEST_P(Since, AFrozenRowIsFoundWhenItsTurnComes) {
    auto const last = verify({}).verification;
    write(key_cases[0], "shop", 0, 250);
    session_->run("VACUUM (FREEZE) shop.number");
    run::SchemaOptions incremental;
    incremental.since = last.horizon;
    incremental.share = 0.1;
    incremental.compare.rows_per_item = 10;
    int runs = 0;
    for (; runs < 12; ++runs) {
        auto outcome = verify(incremental);
        if (outcome.verification.verdict == Verdict::different) {
            EXPECT_EQ(found(outcome.verification), truth());
            break;
        }
        EXPECT_LT(outcome.verification.tables[0].rows, rows / 2);
        incremental.turns = std::move(outcome.turns);
    }
    EXPECT_LT(runs, 12);
    EXPECT_EQ(verify({}).verification.verdict, Verdict::different);
}

TEST_P(Since, WhereMostWasWrittenAllIsCompared) {
    session_->run("INSERT INTO public.number SELECT g, 'v' FROM generate_series(1000, 40000) g; INSERT INTO shop.number TABLE public.number ON CONFLICT DO NOTHING");
    auto const last = verify({}).verification;
    ASSERT_EQ(last.verdict, Verdict::clean);
    session_->run("UPDATE public.number SET v = 'w'; UPDATE shop.number SET v = 'w' WHERE id <> 31000");
    run::SchemaOptions incremental;
    incremental.since = last.horizon;
    incremental.share = 0.01;
    auto const verification = verify(incremental).verification;
    EXPECT_EQ(found(verification), truth());
    EXPECT_EQ(verification.tables[0].rows, 39'001 + rows);
}

TEST_P(Since, AtManyMomentsUnderWritersWhoKeepBothSidesEqual) {
    std::atomic<bool> done{false};
    std::atomic<int> written{0};
    std::vector<std::jthread> writers;
    for (unsigned w = 0; w < 2; ++w) {
        writers.emplace_back([&, w] {
            auto session = server_.connect(database_);
            std::mt19937 random{GetParam() * 10 + w};
            for (int i = 0; !done; ++i) {
                auto const g = static_cast<int>(random() % 400U);
                try {
                    pg::Transaction transaction{session};
                    session.run(fmt::format("UPDATE public.words SET v = '{}' WHERE id = 'Ä' || md5('{}')", i, g));
                    for (std::string const side : {"shop", "public"}) {
                        session.run(fmt::format("INSERT INTO {}.number VALUES ({}, '{}') ON CONFLICT (id) DO UPDATE SET v = EXCLUDED.v", side, g, i));
                        session.run(fmt::format("DELETE FROM {}.amounts WHERE id = {} / 10.0", side, g));
                        if (i % 2 == 0)
                            session.run(fmt::format("INSERT INTO {}.amounts VALUES ({} / 10.0, '{}')", side, g, i));
                    }
                    session.run("DELETE FROM shop.words; INSERT INTO shop.words TABLE public.words");
                    transaction.commit();
                    ++written;
                } catch (pg::SqlError const&) { // a deadlock of the two, or a key taken twice
                }
            }
        });
    }
    for (int round = 0; round < 8; ++round) {
        run::SchemaOptions options;
        options.compare.workers = 2;
        options.compare.rows_per_item = 100;
        options.compare.snapshot_limit = base::Millis{0};
        auto const verification = verify(options).verification;
        EXPECT_EQ(verification.verdict, Verdict::clean);
        for (auto const& table : verification.tables)
            EXPECT_EQ(table.why, "") << table.source.display();
    }
    EXPECT_TRUE(test::wait_until([&] { return written > 50; }));
    done = true;
}

INSTANTIATE_TEST_SUITE_P(Seeds, Since, testing::Values(1U, 2U));

} // namespace
