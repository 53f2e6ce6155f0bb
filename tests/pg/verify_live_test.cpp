// Goal: two databases are compared at one position while rows are written and streamed: what differs is found, and
// nothing else is ever reported, whoever reads the stream and whatever happens to it meanwhile.
//
// Method: two servers, writers that never stop, faults planted by the target's back door in rows that nobody writes.
#include <atomic>
#include <random>
#include <thread>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "control/migrations.hpp"
#include "pg/sync/pair.hpp"
#include "run/proof/across_repair.hpp"
#include "run/proof/across_verification.hpp"
#include "run/proof/fence_check.hpp"
#include "support/busy.hpp"

namespace {

using namespace pgcarve;
using sql::Sql;
using test::long_enough;
using test::Pair;

std::string const schema = R"(
    CREATE TABLE item (id bigint PRIMARY KEY, name text, price numeric(10,2), at timestamptz);
    CREATE TABLE word (word text PRIMARY KEY, n int);
    CREATE TABLE part (a int, b int, v text, PRIMARY KEY (a, b));
)";
// Rows below these numbers are left alone by the writers.
constexpr int cold = 1'000;
constexpr int rows = 3'000;

test::Server& source_server() {
    static test::Server server{{.settings = {"wal_level = logical", "max_wal_senders = 20", "max_replication_slots = 20"}}};
    return server;
}
test::Server& target_server() {
    static test::Server server;
    return server;
}

class Live : public testing::Test {
protected:
    Live() {
        pair.emplace(schema, test::PairOptions{.publication = "FOR TABLES IN SCHEMA shop", .source = &source_server(), .target = &target_server()});
        pair->source.run(fmt::format("CREATE PUBLICATION \"{}\" FOR TABLES IN SCHEMA shop", pair->name));
        auto admin = source_server().connect(pair->source_database);
        control::migrate(admin, control::embedded_migrations());
        // The slot is older than the publication of its name.
        admin.query(Sql{"SELECT pg_drop_replication_slot("}.bind(pair->name).add(")"));
        pg::Replication replication{{.dsn = source_server().dsn(pair->source_database), .purpose = "test"}};
        auto const slot = replication.create_slot(pair->name);
        sync::set_position(pair->target, pair->name, slot.consistent_point, replication.identify().system_id);
        pair->run(fmt::format("INSERT INTO item SELECT n, 'item ' || n, n / 7.0, now() FROM generate_series(1, {0}) AS n;"
                              "INSERT INTO word SELECT 'word ' || n, n FROM generate_series(1, {0}) AS n;"
                              "INSERT INTO part SELECT n % 10, n, 'part' FROM generate_series(1, {0}) AS n",
                              rows));
        pair->run("ANALYZE"); // a share of a table is one of what it is estimated to have
        map.dsn = source_server().dsn(pair->source_database);
        map.services["shop"].name = "shop";
        route = {"shop", pair->name, false, map.dsn, target_server().dsn(pair->target_database), {}};
        for (auto const* const table : {"item", "word", "part"})
            route.tables.push_back({{"shop", table}, {"service", table}, std::string{table} == "item" ? std::vector<std::string>{"id"} : std::string{table} == "word" ? std::vector<std::string>{"word"} : std::vector<std::string>{"b", "a"}});
        mapping.emplace(pair->mapping());
        options.bucket_rows = 100;
        options.unit_rows = 500;
    }
    ~Live() override { stop_writers(); }

    void write(int writers, int pause_us = 500) {
        for (int w = 0; w < writers; ++w) {
            threads.emplace_back([this, w, pause_us] {
                auto session = pair->writer();
                session.run("SET synchronous_commit = off");
                std::mt19937 random(static_cast<unsigned>(w));
                auto const any = [&](int from, int to) { return std::uniform_int_distribution{from, to}(random); };
                for (int n = 0; !done; ++n) {
                    auto const id = any(cold, rows);
                    try {
                        switch (any(0, 7)) {
                        case 0: session.run(fmt::format("DELETE FROM item WHERE id = {0}; UPDATE word SET n = n + 1 WHERE n = {0}", id)); break;
                        case 1: session.run(fmt::format("INSERT INTO item VALUES ({}, 'new', 1, now()) ON CONFLICT (id) DO UPDATE SET price = item.price + 1", id)); break;
                        case 2: session.run(fmt::format("UPDATE part SET b = b + {0} WHERE b = {1} AND NOT EXISTS (SELECT FROM part p WHERE p.a = part.a AND p.b = part.b + {0})", rows * 2, id)); break;
                        case 3: session.run(fmt::format("BEGIN; UPDATE item SET name = 'w{0}' WHERE id BETWEEN {1} AND {1} + 20; SELECT pg_sleep(0.005); COMMIT", n, id)); break;
                        case 4: session.run("UPDATE item SET price = price + 1 WHERE id = 2999"); break; // hot
                        default: session.run(fmt::format("UPDATE item SET price = price + 1 WHERE id = {}", id));
                        }
                        ++written;
                    } catch (pg::SqlError const& e) {
                        if (e.sqlstate() != "40P01" && e.sqlstate() != "23505")
                            throw;
                        session.run("ROLLBACK");
                    }
                    std::this_thread::sleep_for(std::chrono::microseconds{pause_us});
                }
            });
        }
    }
    void stop_writers() {
        done = true;
        for (auto& thread : threads)
            thread.join();
        threads.clear();
        done = false;
        // They did not wait for the disk, and the stream sends what is flushed: a commit that waits flushes theirs.
        pair->run("SELECT pg_catalog.pg_logical_emit_message(true, 'test', '')");
    }

    // What a `sync` does: it applies until stopped, and has the lease, so that nobody else tries to.
    struct Applier {
        control::Lease lease;
        base::Interrupt stop;
        std::unique_ptr<sync::Stream> stream;
        std::thread thread;
        Applier(run::Context& context, Pair& pair, sync::Mapping const& mapping) : lease{context.shared("lease"), "shop", "sync", "test@host"}, stream{pair.stream(mapping)}, thread{[this] {
            while (!stop.requested())
                stream->run_until(base::Lsn{~std::uint64_t{0}}, base::Millis{200}, stop);
        }} {}
        ~Applier() {
            stop.request("test");
            thread.join();
            stream->stop();
        }
    };

    run::AcrossOutcome verify() { return run::verify_across(context, route, *mapping, route.tables, options, {}); }
    void expect_clean(run::AcrossOutcome const& outcome) {
        EXPECT_EQ(model::text(outcome.verification.verdict), std::string{"clean"});
        for (auto const& table : outcome.verification.tables) {
            EXPECT_EQ(table.why, "");
            for (auto const& sample : table.samples)
                ADD_FAILURE() << table.source.display() << ' ' << model::text(sample.kind) << ' ' << sample.key.front().second.value_or("?");
        }
    }
    void plant() {
        pair->target.run("UPDATE item SET name = '' WHERE id = 5; DELETE FROM item WHERE id = 6; INSERT INTO item VALUES (-1, 'extra', 0, NULL);"
                         "UPDATE item SET price = price + 0.01 WHERE id = 999; UPDATE word SET word = 'Word 7' WHERE word = 'word 7';"
                         "UPDATE part SET v = NULL WHERE a = 3 AND b = 3");
    }
    void expect_planted(run::AcrossOutcome const& outcome) {
        auto const& tables = outcome.verification.tables;
        ASSERT_EQ(tables.size(), 3U);
        auto const counts = [](model::TableVerification const& t) { return fmt::format("{} missing, {} extra, {} different {}", t.missing, t.extra, t.different, t.why); };
        EXPECT_EQ(counts(tables[0]), "1 missing, 1 extra, 2 different ");
        EXPECT_EQ(counts(tables[1]), "1 missing, 1 extra, 0 different ");
        EXPECT_EQ(counts(tables[2]), "0 missing, 0 extra, 1 different ");
        EXPECT_EQ(outcome.verification.verdict, model::Verdict::different);
    }

    std::optional<Pair> pair;
    model::BoundaryMap map;
    base::Interrupt interrupt;
    run::Context context{map, interrupt, "test@host", {}, run::Failpoints{}};
    run::Route route;
    std::optional<sync::Mapping> mapping;
    run::AcrossOptions options;
    std::atomic<bool> done{false};
    std::atomic<long long> written{0};
    std::vector<std::thread> threads;
};

TEST_F(Live, UnderWritesNothingButRealDifferencesIsReported) {
    {
        Applier const applier{context, *pair, *mapping};
        write(3);
        for (int round = 0; round < 3; ++round)
            expect_clean(verify());
        // A snapshot may live for no time at all: every unit is compared at another moment.
        options.snapshot_limit = base::Millis{40};
        options.unit_rows = 100'000;
        options.bucket_rows = 500;
        expect_clean(verify());
        options.snapshot_limit = base::Millis{300'000};
        plant();
        for (int round = 0; round < 3; ++round)
            expect_planted(verify());
        stop_writers();
    }
    EXPECT_GT(written, 100);
}

// However often it rests, and however short its snapshots are, it comes to an end, and proves what it would otherwise.
TEST_F(Live, RestsWhileOthersAreActiveOnEitherServerAndOnlyThen) {
    Applier const applier{context, *pair, *mapping};
    options.compare.nice_ratio = 1;
    options.bucket_rows = 50;
    EXPECT_EQ(verify().verification.rested, 0);
    write(2);
    {
        test::Busy const busy{source_server(), pair->source_database};
        auto const outcome = verify();
        expect_clean(outcome);
        EXPECT_GT(outcome.verification.rested, 0);
        options.snapshot_limit = base::Millis{1};
        options.unit_rows = 100'000;
        expect_clean(verify());
        options.unit_rows = 500;
        options.snapshot_limit = base::Millis{300'000};
    }
    plant();
    {
        test::Busy const busy{target_server(), pair->target_database};
        auto const outcome = verify();
        expect_planted(outcome);
        EXPECT_GT(outcome.verification.rested, 0);
        options.compare.nice_ratio = 0;
        EXPECT_EQ(verify().verification.rested, 0);
        // Asked to stop while it rests, it does not wait for the end of that.
        options.compare.nice_ratio = 1e6;
        bool stop = false;
        auto const stopped = run::verify_across(context, route, *mapping, route.tables, options,
                                                {.progress = [&](auto const& progress) { stop = stop || progress.resting; }, .interrupted = [&] { return stop; }});
        EXPECT_TRUE(stopped.interrupted);
    }
    stop_writers();
}

TEST_F(Live, WithoutASyncVerifyReadsTheStreamItself) {
    write(2);
    expect_clean(verify());
    plant();
    expect_planted(verify());
    stop_writers();
}

TEST_F(Live, AMomentHoldsTheApplierForLessThanASecondEvenWhenItsSessionStays) {
    Applier const applier{context, *pair, *mapping};
    run::Moments moments{context, route, *mapping, {}, {}};
    auto const first = moments.take();
    auto holder = target_server().connect(pair->target_database);
    holder.query(Sql{"SELECT pg_advisory_lock("}.number(sync::hold_lock(pair->name)).add(")"));
    (void)sync::mark(pair->source, std::string{sync::hold_message} + "and never comes back");
    pair->run("UPDATE item SET name = 'after'");
    EXPECT_TRUE(test::wait_until([&] { return pair->target.one(Sql{"SELECT count(*) AS n FROM service.item WHERE name = 'after'"}).integer("n") == rows; }));
    // The snapshots of the first moment are still what they were.
    EXPECT_EQ(first.target->one(Sql{"SELECT count(*) AS n FROM service.item WHERE name = 'after'"}).integer("n"), 0);
    holder.query(Sql{"SELECT pg_advisory_unlock_all()"});
    EXPECT_GT(moments.take().at, first.at);
}

TEST_F(Live, WhatWasTouchedSinceAPositionIsComparedAtTheFence) {
    pair->catch_up();
    auto const since = pair->position();
    pair->run("UPDATE item SET price = 0 WHERE id IN (1, 2); DELETE FROM word WHERE n = 3; INSERT INTO part VALUES (1, -1, 'x'); UPDATE part SET b = -5 WHERE b = 5");
    pair->catch_up();
    auto source = source_server().connect(pair->source_database);
    auto target = target_server().connect(pair->target_database);
    auto const left = [] { return base::Millis{60'000}; };
    auto const look = [&](base::Lsn from) {
        run::LastLook last{source, target, route, *mapping, from};
        pg::Transaction const here{source};
        pg::Transaction const there{target};
        return last.compare(left);
    };
    auto check = look(since);
    EXPECT_TRUE(check.equal()) << check.why;
    EXPECT_EQ(check.keys, 6);
    pair->target.run("UPDATE item SET price = 1 WHERE id = 2; INSERT INTO word VALUES ('word 3', 3); UPDATE item SET price = 1 WHERE id = 9");
    check = look(since);
    EXPECT_TRUE(check.complete);
    EXPECT_EQ(check.different, 1);
    EXPECT_EQ(check.extra, 1);
    EXPECT_EQ(check.samples, (std::vector<std::string>{"shop.item id=2: different", "shop.word word=word 3: extra"}));

    // Most of it ahead: under the fence come what differed then, and what was touched since.
    run::LastLook last{source, target, route, *mapping, since};
    pair->run("UPDATE part SET b = -6 WHERE b = 6"); // not there yet: only under way
    last.ahead(pair->position(), interrupt);
    pair->run("UPDATE item SET price = 3 WHERE id = 1");
    pair->catch_up();
    auto const compare = [&] {
        pg::Transaction const here{source};
        pg::Transaction const there{target};
        return last.compare(left);
    };
    check = compare();
    EXPECT_EQ(check.keys, 5); // two of item and one of word; both keys of part
    EXPECT_EQ(check.different, 1);
    EXPECT_EQ(check.extra, 1);
    pair->target.run("UPDATE item SET price = 0 WHERE id = 2; DELETE FROM word WHERE n = 3");
    EXPECT_TRUE(compare().equal());
    {
        pg::Transaction const here{source};
        pg::Transaction const there{target};
        EXPECT_THROW((void)last.compare([]() -> base::Millis { throw base::Error{base::Exit::unavailable, "over", "over"}; }), base::Error);
    }
    sync::prune_touched(pair->target, pair->name, pair->position());
    EXPECT_FALSE(look(since).complete);
    EXPECT_TRUE(look(pair->position()).equal());
    pair->run("TRUNCATE item");
    pair->catch_up();
    check = look(pair->position());
    EXPECT_TRUE(check.equal());
}

TEST_F(Live, IncrementalFindsWhatWasTouchedAtOnceAndTheRestInTurns) {
    Applier const applier{context, *pair, *mapping};
    write(2);
    auto const full = verify();
    expect_clean(full);
    options.since = full.verification.proven_lsn;
    options.share = 0.25;
    auto const first = verify();
    expect_clean(first);
    EXPECT_EQ(first.verification.mode, "incremental");
    EXPECT_LT(first.verification.rows(), 3 * rows * 2 / 3);
    plant();
    options.since = first.verification.proven_lsn;
    options.turns = first.turns;
    std::set<std::string> found;
    for (int run = 0; run < 5; ++run) {
        auto const next = verify();
        options.since = next.verification.proven_lsn;
        options.turns = next.turns;
        for (auto const& table : next.verification.tables) {
            EXPECT_EQ(table.why, "");
            for (auto const& sample : table.samples)
                found.insert(fmt::format("{} {}", model::text(sample.kind), sample.key.front().second.value()));
        }
    }
    EXPECT_EQ(found, (std::set<std::string>{"different 5", "missing 6", "extra -1", "different 999", "missing word 7", "extra Word 7", "different 3"}));
    // A change of a row that was corrupted before is no excuse: it is looked at because it was touched.
    stop_writers();
    pair->target.run("UPDATE item SET at = NULL WHERE id = 77");
    pair->run("UPDATE item SET name = 'again' WHERE id = 77");
    options.share = 0;
    auto const touched = verify();
    EXPECT_EQ(touched.verification.verdict, model::Verdict::clean); // the stream sends whole rows, so that mended it
    pair->target.run("UPDATE item SET at = NULL WHERE id = 78");
    EXPECT_EQ(verify().verification.verdict, model::Verdict::clean); // not its turn
    options.since.reset();
    EXPECT_EQ(verify().verification.verdict, model::Verdict::different);
}

TEST_F(Live, RepairMendsWhatDiffersAndLeavesTheRestToTheStream) {
    pair->catch_up();
    auto const mend = [&](bool with_sync) {
        std::optional<Applier> applier;
        if (with_sync)
            applier.emplace(context, *pair, *mapping);
        plant();
        // Rows that the writers change all the time, too: most are mended by the stream meanwhile, some by the repair.
        pair->target.run("UPDATE item SET name = 'wrong' WHERE id BETWEEN 1500 AND 1600");
        std::vector<std::string> statements;
        verify::RepairEvents events;
        events.statement = [&](verify::RepairStatement const& statement) { statements.push_back(statement.sql); };
        (void)run::plan_across_repair(context, route, *mapping, route.tables, events);
        EXPECT_GE(statements.size(), 7U);
        EXPECT_TRUE(std::ranges::count(statements, "DELETE FROM \"service\".\"item\" AS x WHERE x.\"id\" OPERATOR(\"pg_catalog\".=) '-1'::bigint;") == 1)
            << fmt::format("{}", fmt::join(statements, "\n"));
        auto const report = run::repair_across(context, route, *mapping, route.tables, {});
        EXPECT_EQ(report.remaining(), 0);
        for (auto const& table : report.tables) {
            for (auto const& reason : table.reasons)
                ADD_FAILURE() << table.target.display() << ": " << reason;
        }
        ASSERT_EQ(report.tables.size(), 3U);
        EXPECT_EQ(report.tables[0].inserted, 1);
        EXPECT_EQ(report.tables[0].deleted, 1);
        EXPECT_GE(report.tables[0].updated, 2);
        expect_clean(verify());
    };
    write(2, 3'000);
    mend(true);
    mend(false);
    stop_writers();
    pair->catch_up();
    pair->expect_equal();
}

} // namespace
