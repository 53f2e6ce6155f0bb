// Goal: a comparison says clean only for what it has seen, goes on where one table fails, and
// sees no difference where writers keep both sides equal. Method: one private server.
#include <atomic>
#include <thread>

#include <gtest/gtest.h>

#include "run/proof/schema_verification.hpp"
#include "support/busy.hpp"
#include "support/server.hpp"
#include "verify/compare.hpp"

namespace {

using namespace pgcarve;
using model::FindingKind;
using model::Verdict;

class Compare : public testing::Test {
protected:
    void SetUp() override {
        database_ = server_.create_database();
        session_.emplace(server_.connect(database_));
        session_->run("CREATE SCHEMA shop");
    }

    [[nodiscard]] pg::SessionSettings settings(std::string const& user = "postgres") const {
        return {.dsn = server_.dsn(database_, user), .purpose = "verify", .lock_timeout = base::Millis{100}};
    }

    static model::TablePair pair(std::string const& name, std::vector<std::string> key = {"id"}) {
        return {{"public", name}, {"shop", name}, std::move(key)};
    }

    // A table and its equal, with the ids from 1 to `rows`.
    model::TablePair make(std::string const& name, int rows) {
        session_->run("CREATE TABLE public." + name + " (id int PRIMARY KEY, v text); INSERT INTO public." + name +
                      " SELECT i, 'v' || i FROM generate_series(1, " + std::to_string(rows) + ") i;" +
                      "CREATE TABLE shop." + name + " (LIKE public." + name + " INCLUDING ALL);" + "INSERT INTO shop." +
                      name + " TABLE public." + name);
        return pair(name);
    }

    model::Verification compare(std::vector<model::TablePair> const& pairs, verify::CompareOptions const& options = {},
                                std::string const& user = "postgres", verify::CompareEvents const& events = {}) {
        return run::verify_schema(settings(user), "shop", pairs, {.compare = options}, events).verification;
    }

    model::TableVerification compare_one(model::TablePair const& one, verify::CompareOptions const& options = {}) {
        return compare({one}, options).tables.at(0);
    }

    test::Server& server_ = test::Server::shared();
    std::string database_;
    std::optional<pg::Session> session_;
};

TEST_F(Compare, ProvesEqualTablesForAPositionAndATime) {
    auto const a = make("a", 1000);
    auto const b = make("b", 0);
    auto const c = make("c", 1);
    auto const result = compare({a, b, c}, {.workers = 3, .rows_per_item = 10});
    EXPECT_EQ(result.verdict, Verdict::clean);
    EXPECT_EQ(result.rows(), 1001);
    EXPECT_EQ(result.mode, "full");
    EXPECT_GT(result.proven_lsn.value, 0U);
    EXPECT_EQ(result.proven_time.back(), 'Z');
}

TEST_F(Compare, CutsBigTablesIntoRanges) {
    auto const a = make("a", 1000);
    auto const locate = [&](base::Millis snapshots = base::Millis{300'000}) {
        return run::locate_differences(settings(), "shop", {a}, {.rows_per_item = 1, .snapshot_limit = snapshots}, {});
    };
    EXPECT_TRUE(locate().dirty.empty());
    session_->run("UPDATE shop.a SET v = 'other'");
    for (auto const snapshots : {300'000, 100}) {
        auto const all = locate(base::Millis{snapshots});
        EXPECT_EQ(all.dirty.at(0).ranges.size(), 1000U);
        EXPECT_EQ(all.verification.tables[0].different, 1000);
    }
}

TEST_F(Compare, CountsExactlyAndBoundsSamplesInTheOrderOfTheKey) {
    auto const a = make("a", 3000);
    session_->run("DELETE FROM shop.a WHERE id % 3 = 0; UPDATE shop.a SET v = '' WHERE id % 3 = 1;"
                  "INSERT INTO shop.a SELECT i, 'x' FROM generate_series(4001, 4500) i");
    for (double const rows_per_item : {50.0, 1e6}) {
        auto const table =
            compare_one(a, {.workers = 2, .max_samples = 5, .show_values = true, .rows_per_item = rows_per_item});
        EXPECT_EQ(table.missing, 1000);
        EXPECT_EQ(table.different, 1000);
        EXPECT_EQ(table.extra, 500);
        EXPECT_EQ(table.rows, 3000);
        ASSERT_EQ(table.samples.size(), 5U);
        EXPECT_EQ(table.samples[0].key[0].second, "1");
        EXPECT_EQ(table.samples[0].columns, std::vector<std::string>{"v"});
        EXPECT_EQ(table.samples[0].values.at(0), std::make_tuple(std::string{"v"}, std::optional<std::string>{"v1"},
                                                                 std::optional<std::string>{""}));
        EXPECT_EQ(table.samples[1].key[0].second, "3");
        EXPECT_EQ(table.samples[1].kind, FindingKind::missing);
        EXPECT_EQ(table.samples[4].key[0].second, "7");
    }
    EXPECT_TRUE(compare_one(a, {}).samples[0].values.empty());
}

TEST_F(Compare, FindsRowsBeyondTheEndsOfTheOtherSide) {
    auto const a = make("a", 0);
    session_->run("INSERT INTO shop.a SELECT i, 'x' FROM generate_series(-500, 500) i");
    EXPECT_EQ(compare_one(a, {.rows_per_item = 10}).extra, 1001);
    session_->run("DELETE FROM shop.a; INSERT INTO public.a SELECT i, 'x' FROM generate_series(-500, 500) i");
    EXPECT_EQ(compare_one(a, {.rows_per_item = 10}).missing, 1001);
}

TEST_F(Compare, TakesTwoImagesOfOneValueForEqual) {
    session_->run("CREATE TABLE public.a (id int PRIMARY KEY, v int[]); CREATE TABLE shop.a (LIKE public.a INCLUDING ALL);"
                  "INSERT INTO public.a VALUES (1, '{1,2}'); INSERT INTO shop.a VALUES (1, '{1,NULL}');"
                  "UPDATE shop.a SET v[2] = 2");
    auto const images = session_->one(sql::Sql{"SELECT ROW(s.v)::record *<> ROW(t.v)::record AS differ FROM public.a s, shop.a t"});
    ASSERT_TRUE(images.boolean("differ")) << "the server no longer keeps a null bitmap: choose another example";
    EXPECT_EQ(compare_one(pair("a")).verdict, Verdict::clean);
}

TEST_F(Compare, ComparesPartitionedTablesWhateverTheirPartitions) {
    session_->run("CREATE TABLE public.p (id int, d date, v text, PRIMARY KEY (d, id)) PARTITION BY RANGE (d);"
                  "CREATE TABLE public.p1 PARTITION OF public.p FOR VALUES FROM ('2020-01-01') TO ('2020-02-01');"
                  "CREATE TABLE public.p2 PARTITION OF public.p FOR VALUES FROM ('2020-02-01') TO ('2020-03-01');"
                  "CREATE TABLE shop.p (id int, d date, v text, PRIMARY KEY (d, id)) PARTITION BY RANGE (d);"
                  "CREATE TABLE shop.p_default PARTITION OF shop.p DEFAULT;"
                  "INSERT INTO public.p SELECT i, date '2020-01-01' + i % 60, 'v' FROM generate_series(1, 900) i;"
                  "INSERT INTO shop.p TABLE public.p");
    auto const p = pair("p", {"id", "d"});
    EXPECT_EQ(compare_one(p, {.rows_per_item = 20}).verdict, Verdict::clean);
    EXPECT_EQ(compare_one(p, {.rows_per_item = 20}).rows, 900);
    session_->run("UPDATE shop.p SET v = 'w' WHERE id = 59");
    auto const table = compare_one(p, {.rows_per_item = 20});
    EXPECT_EQ(table.different, 1);
    EXPECT_EQ(table.samples.at(0).key.size(), 2U);
}

TEST_F(Compare, ComparesWideTables) {
    std::string columns = "id int PRIMARY KEY";
    for (int i = 0; i < 400; ++i)
        columns += ", c" + std::to_string(i) + (i % 2 == 0 ? " text" : " numeric");
    session_->run("CREATE TABLE public.w (" + columns + "); CREATE TABLE shop.w (LIKE public.w INCLUDING ALL);"
                  "INSERT INTO public.w (id, c0, c399) SELECT i, repeat(md5(i::text), 50000), 1.0 FROM generate_series(1, 3) i;"
                  "INSERT INTO shop.w TABLE public.w; UPDATE shop.w SET c0 = c0 || '.', c399 = 1.00 WHERE id = 2");
    auto const table = compare_one(pair("w"), {.show_values = true});
    EXPECT_EQ(table.different, 1);
    EXPECT_EQ(table.samples.at(0).columns, (std::vector<std::string>{"c0", "c399"}));
}

TEST_F(Compare, GoesOnWhereOneTableCannotBeCompared) {
    auto const good = make("good", 10);
    auto const locked = make("locked", 10);
    make("narrow", 10);
    make("retyped", 10);
    make("keyless", 10);
    session_->run("ALTER TABLE shop.narrow DROP COLUMN v; ALTER TABLE shop.narrow ADD w int;"
                  "ALTER TABLE shop.retyped ALTER v TYPE varchar; ALTER TABLE shop.keyless DROP CONSTRAINT keyless_pkey");
    auto holder = server_.connect(database_);
    pg::Transaction hold{holder};
    holder.run("LOCK TABLE shop.locked IN ACCESS EXCLUSIVE MODE");
    auto const result = compare({locked, pair("narrow"), pair("retyped"), pair("keyless"), pair("absent"), good});
    EXPECT_EQ(result.verdict, Verdict::incomplete);
    for (std::size_t i = 0; i < 5; ++i) {
        EXPECT_EQ(result.tables[i].verdict, Verdict::incomplete) << i;
        EXPECT_EQ(result.tables[i].samples.size(), 0U);
    }
    EXPECT_NE(result.tables[0].why.find("55P03"), std::string::npos) << result.tables[0].why;
    EXPECT_EQ(result.tables[1].why, "the columns differ: column v is missing in the target; column w is in the target only");
    EXPECT_EQ(result.tables[2].why, "the columns differ: column v is text in the source and character varying in the target");
    EXPECT_EQ(result.tables[3].why, "shop.keyless has no valid unique index over its key");
    EXPECT_EQ(result.tables[4].why, "the source table public.absent does not exist");
    EXPECT_EQ(result.tables[5].verdict, Verdict::clean) << result.tables[5].why;
    EXPECT_EQ(result.tables[5].rows, 10);
}

TEST_F(Compare, NeedsNothingButSelectAndNeverTrustsFilteredRows) {
    auto const open = make("open", 10);
    auto const secret = make("secret", 10);
    auto const forbidden = make("forbidden", 10);
    session_->run("DO $$ BEGIN CREATE ROLE reader LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
                  "GRANT USAGE ON SCHEMA shop, public TO reader; GRANT SELECT ON public.open, shop.open,"
                  " public.secret, shop.secret TO reader; ALTER TABLE shop.secret ENABLE ROW LEVEL SECURITY;"
                  "CREATE POLICY few ON shop.secret USING (id < 5)");
    auto const result = compare({open, secret, forbidden}, {}, "reader");
    EXPECT_EQ(result.tables[0].verdict, Verdict::clean);
    EXPECT_EQ(result.tables[1].verdict, Verdict::incomplete);
    EXPECT_NE(result.tables[1].why.find("row-level security"), std::string::npos) << result.tables[1].why;
    EXPECT_EQ(result.tables[2].verdict, Verdict::incomplete);
    EXPECT_NE(result.tables[2].why.find("permission denied"), std::string::npos) << result.tables[2].why;
    try {
        compare({open}, {.max_active_sessions = 5}, "reader");
        FAIL() << "took an unknown load for none";
    } catch (base::Error const& e) {
        EXPECT_EQ(e.code(), "load-unknown");
        EXPECT_EQ(e.exit(), base::Exit::usage);
    }
}

TEST_F(Compare, RestsWhileOthersAreActiveAndOnlyThen) {
    auto const a = make("a", 1000);
    verify::CompareOptions const options{.workers = 2, .nice_ratio = 2, .rows_per_item = 10};
    std::vector<std::string> notes;
    verify::CompareEvents const events{.note = [&](std::string const& note) { notes.push_back(note); }};
    EXPECT_EQ(compare({a}, options, "postgres", events).rested, 0);
    session_->run("DO $$ BEGIN CREATE ROLE reader LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
                  "GRANT USAGE ON SCHEMA shop, public TO reader; GRANT SELECT ON public.a, shop.a TO reader");
    {
        test::Busy const busy{server_, database_};
        bool resting = false;
        auto watched = events;
        watched.progress = [&](verify::CompareProgress const& progress) { resting = resting || progress.resting; };
        auto const result = compare({a}, options, "postgres", watched);
        EXPECT_EQ(result.verdict, Verdict::clean);
        EXPECT_GT(result.rested, 0);
        EXPECT_TRUE(resting);
        EXPECT_EQ(compare({a}, {.workers = 2, .rows_per_item = 10}).rested, 0);
        EXPECT_TRUE(notes.empty());
        // Asked to stop while it rests, it does not wait for the end of that.
        auto long_rest = options;
        long_rest.nice_ratio = 1e6;
        bool stop = false;
        auto const stopped = compare({a}, long_rest, "postgres", {.progress = [&](auto const& progress) { stop = stop || progress.resting; }, .interrupted = [&] { return stop; }});
        EXPECT_EQ(stopped.verdict, Verdict::incomplete);
    }
    // What a session does that may not be seen is unknown: it counts as active, and this is said once.
    auto other = server_.connect(database_);
    other.run("SET application_name = 'shop'");
    EXPECT_GT(compare({a}, options, "reader", events).rested, 0);
    ASSERT_EQ(notes.size(), 1U);
    EXPECT_NE(notes[0].find("GRANT pg_read_all_stats"), std::string::npos) << notes[0];
}

TEST_F(Compare, RestrictsTablesAndRows) {
    auto const a = make("a", 100);
    auto const b = make("b", 100);
    session_->run("DELETE FROM shop.a WHERE id > 50; DELETE FROM shop.b");
    auto const result = compare({a, b}, {.tables = {"public.a"}, .where = "id <= 50 -- half"});
    ASSERT_EQ(result.tables.size(), 1U);
    EXPECT_EQ(result.verdict, Verdict::clean);
    EXPECT_EQ(result.rows(), 50);
    EXPECT_THROW(compare({a, b}, {.tables = {"c"}}), base::Error);
}

TEST_F(Compare, SaysWhatItDidNotSeeWhenStopped) {
    auto const a = make("a", 100);
    auto const stopped = compare({a}, {}, "postgres", {.interrupted = [] { return true; }});
    // It may have been done before it was asked to stop; it must not be anything between.
    if (stopped.verdict != Verdict::clean) {
        EXPECT_EQ(stopped.verdict, Verdict::incomplete);
        EXPECT_EQ(stopped.tables[0].why.rfind("interrupted", 0), 0U) << stopped.tables[0].why;
    }
    session_->run("CREATE FUNCTION public.slow(int) RETURNS bool LANGUAGE sql AS 'SELECT true FROM pg_catalog.pg_sleep(60)'");
    std::atomic<bool> stop{false};
    auto observer = server_.connect(database_);
    auto const slept = [&] {
        return !observer.query(sql::Sql{"SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep'"}).empty();
    };
    // What was done by then is proven.
    auto const b = make("b", 100);
    std::string const gate = "tableoid::regclass::text LIKE '%b' OR public.slow(id)";
    auto const half = compare({b, a}, {.where = gate, .workers = 1}, "postgres", {.interrupted = [&] { return slept(); }});
    EXPECT_EQ(half.verdict, Verdict::incomplete);
    EXPECT_EQ(half.tables[0].verdict, Verdict::clean) << half.tables[0].why;
    EXPECT_EQ(half.tables[1].verdict, Verdict::incomplete);
    // A query that would wait for a minute is cancelled.
    auto const slow = compare({a}, {.where = "public.slow(id)"}, "postgres", {.interrupted = [&] { return slept(); }});
    EXPECT_EQ(slow.verdict, Verdict::incomplete);
    EXPECT_EQ(slow.tables[0].why.rfind("interrupted", 0), 0U) << slow.tables[0].why;
    auto const limited = compare({a}, {.where = "public.slow(id)", .max_duration = base::Millis{50}});
    EXPECT_EQ(limited.verdict, Verdict::incomplete);
    EXPECT_EQ(limited.tables[0].why.rfind("the time allowed (50ms) was used up", 0), 0U) << limited.tables[0].why;
}

TEST_F(Compare, NoticesWhatASnapshotCannotSee) {
    auto const a = make("a", 10);
    for (auto const* const change : {"TRUNCATE shop.a", "ALTER TABLE public.a ALTER id TYPE bigint"}) {
        auto reader = server_.connect(database_);
        pg::Transaction transaction{reader, pg::Isolation::repeatable_read, pg::Access::read_only};
        reader.run("SELECT 1");
        auto const shape = verify::read_shape(*session_, a);
        EXPECT_EQ(verify::changed_since_snapshot(reader, {shape.source_oid, shape.target_oid}), "");
        session_->run(change);
        EXPECT_NE(verify::changed_since_snapshot(reader, {shape.source_oid, shape.target_oid}), "") << change;
        session_->run("DROP TABLE public.a, shop.a");
        make("a", 10);
    }
}

TEST_F(Compare, SeesNoDifferenceUnderWritersWhoKeepBothSidesEqual) {
    auto const a = make("a", 2000);
    auto const b = make("b", 2000);
    std::atomic<bool> done{false};
    std::atomic<int> written{0};
    std::vector<std::jthread> writers;
    for (int w = 0; w < 2; ++w) {
        writers.emplace_back([&, w] {
            auto session = server_.connect(database_);
            for (int i = w; !done; i += 2) {
                auto const id = std::to_string(1 + i * 7919 % 2500);
                std::string both;
                for (auto const* const table : {"public.a", "shop.a", "shop.b", "public.b"}) {
                    auto const name = std::string{table};
                    both += i % 3 == 0   ? "DELETE FROM " + name + " WHERE id = " + id + ";"
                            : i % 3 == 1 ? "INSERT INTO " + name + " VALUES (" + id + ", '" + std::to_string(i) +
                                               "') ON CONFLICT (id) DO UPDATE SET v = EXCLUDED.v;"
                                         : "UPDATE " + name + " SET id = -id WHERE id = " + id + " AND id > 2000;";
                }
                try {
                    pg::Transaction transaction{session};
                    session.run(both);
                    transaction.commit();
                    ++written;
                } catch (pg::SqlError const&) { // a deadlock of the two writers, or a key taken twice
                }
            }
        });
    }
    for (int round = 0; round < 30; ++round) {
        auto const result = compare({a, b}, {.workers = 3, .rows_per_item = round % 2 == 0 ? 100.0 : 1e6});
        EXPECT_EQ(result.verdict, Verdict::clean) << result.tables[0].why << result.tables[1].why;
    }
    EXPECT_TRUE(test::wait_until([&] { return written > 100; }));
    done = true;
}

} // namespace
