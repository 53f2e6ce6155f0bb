// Goal: the record of what a stream has touched is kept within its size, and whatever goes from it, nobody takes what is left for
// complete: no difference is missed, none is made up.
//
// Method: two servers, and a bound of a few kilobytes that is reached again and again. A transaction that has committed and is not
// seen is made by having it wait for a standby that does not exist.
#include <atomic>
#include <random>
#include <thread>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "control/migrations.hpp"
#include "control/store.hpp"
#include "pg/sync/pair.hpp"
#include "run/proof/across_verification.hpp"
#include "run/stream/touched_bound.hpp"

namespace {

using namespace pgcarve;
using sql::Sql;
using test::Pair;

constexpr long long limit = 32LL << 10U;
constexpr int rows = 2'000;
constexpr int cold = 500; // rows below it are left alone by the writers

test::Server& source_server() {
    static test::Server server{{.settings = {"wal_level = logical", "max_wal_senders = 20", "max_replication_slots = 20"}}};
    return server;
}
test::Server& target_server() {
    static test::Server server;
    return server;
}

class Bound : public testing::Test {
protected:
    Bound() : pair{"CREATE TABLE item (id bigint PRIMARY KEY, n bigint, note text)", {.publication = "FOR TABLES IN SCHEMA shop", .source = &source_server(), .target = &target_server()}} {
        pair.run(fmt::format("INSERT INTO item SELECT g, 0, md5(g::text) FROM generate_series(1, {}) AS g", rows));
        // Whoever reads the stream for a verification finds the publication by the stream's name.
        pair.source.run(fmt::format("CREATE PUBLICATION \"{}\" FOR TABLES IN SCHEMA shop", pair.name));
        auto admin = source_server().connect(pair.source_database);
        control::migrate(admin, control::embedded_migrations());
        pair.catch_up();
        map.dsn = source_server().dsn(pair.source_database);
        map.services["shop"].name = "shop";
        route = {"shop", pair.name, false, map.dsn, target_server().dsn(pair.target_database), {{{"shop", "item"}, {"service", "item"}, {"id"}}}};
        mapping.emplace(pair.mapping());
        context.events.info = [this](std::string const& text) { keep(text); };
        context.events.warn = context.events.info;
    }

    void keep(std::string const& text) {
        std::lock_guard const lock{mutex};
        said += text + "\n";
    }
    [[nodiscard]] bool says(std::string const& text) {
        return test::wait_until([&] {
            std::lock_guard const lock{mutex};
            return said.find(text) != std::string::npos;
        }, test::long_enough);
    }

    // What `sync` does: applies, and looks at the record.
    class Applier {
    public:
        Applier(Bound& test, run::Route const& route, long long most = limit) : stream_{test.pair.stream(*test.mapping)}, bound_{test.context, route}, thread_{[this, most] {
            try {
                while (!stop_.requested()) {
                    stream_->run_until(base::Lsn{~std::uint64_t{0}}, base::Millis{20}, stop_);
                    bound_.look(stream_->counts().touched_bytes, most);
                }
            } catch (base::Error const& e) {
                ADD_FAILURE() << "the stream: " << e.what();
            }
        }} {}
        Applier(Applier const&) = delete;
        Applier& operator=(Applier const&) = delete;
        ~Applier() {
            stop_.request("test");
            thread_.join();
            stream_->stop();
        }

    private:
        base::Interrupt stop_;
        std::unique_ptr<sync::Stream> stream_;
        run::TouchedBound bound_;
        std::thread thread_;
    };

    // So many transactions, each of which touches a row or a few.
    void write(int transactions) {
        pair.run("SET synchronous_commit = off");
        for (int n = 0; n < transactions; ++n)
            pair.run(fmt::format("UPDATE item SET n = n + 1 WHERE id BETWEEN {0} AND {0} + {1}", cold + n % (rows - cold - 10), n % 5));
        pair.run("SET synchronous_commit = local; SELECT pg_catalog.pg_logical_emit_message(true, 'test', '')"); // and flushes theirs
    }
    // Writes until it has happened.
    [[nodiscard]] bool write_until(std::function<bool()> const& happened) {
        for (int n = 0; n < 1'000 && !happened(); ++n)
            write(50);
        return happened();
    }
    [[nodiscard]] base::Lsn from() { return sync::touched_from(pair.target, pair.name).value(); }
    [[nodiscard]] long long size() { return sync::touched_size(pair.target, pair.name); }
    void caught_up() {
        auto const until = pair.now();
        EXPECT_TRUE(test::wait_until([&] { return pair.position() >= until; }, test::long_enough));
    }
    [[nodiscard]] std::string lines(std::string const& what) {
        return pair.target.one(Sql{"SELECT "}.server_text(what).add(" AS x FROM pgcarve.touched WHERE stream = ").bind(pair.name)).text("x");
    }

    std::mutex mutex;
    std::string said;
    Pair pair;
    model::BoundaryMap map;
    base::Interrupt interrupt;
    run::Context context{map, interrupt, "test@host", {}, run::Failpoints{}};
    run::Route route;
    std::optional<sync::Mapping> mapping;
};

TEST_F(Bound, HoldsWhateverIsWritten) {
    auto const before = from();
    long long largest = 0;
    int moved = 0;
    {
        Applier const applier{*this, route};
        EXPECT_TRUE(write_until([&, was = before]() mutable {
            caught_up();
            largest = std::max(largest, size());
            moved += from() > std::exchange(was, from()) ? 1 : 0;
            return moved >= 3;
        }));
        EXPECT_TRUE(says("is forgotten")) << said;
        EXPECT_TRUE(test::wait_until([&] { return size() <= limit; }, test::long_enough));
    }
    EXPECT_GT(from(), before);
    EXPECT_LT(largest, 3 * limit); // what comes while it is being cut is on top of it
    EXPECT_EQ(lines("(count(*) FILTER (WHERE at <= (SELECT touched_from FROM pgcarve.stream)))::text"), "0");
    EXPECT_GE(std::stoi(lines("count(*)::text")), 20);
    EXPECT_LE(std::stoll(lines("sum(pg_column_size(touched.*))::text")), size()); // what it counts is no less than what it has
}

TEST_F(Bound, PagesGoByPositionAndLeaveOutWhatIsOld) {
    auto& target = pair.target;
    target.query(Sql{"INSERT INTO pgcarve.touched (stream, at, source_table, xids, keys) SELECT "}
                     .bind(pair.name)
                     .add(", at::pg_lsn, 't', xids::bigint[], '' FROM (VALUES ('1/0', '{5}'), ('0/10', '{4294967290,6}'), ('0/9', '{4294967290}'), ('0/FF', '{7}'),"
                          " ('0/FF', '{8}'), ('A/0', '{3}')) AS x (at, xids)"));
    auto const read = [&](base::Lsn since, int most, std::optional<wire::TransactionId> oldest) {
        std::string all;
        for (sync::TouchedPlace after{since};;) {
            auto const page = sync::read_touched(target, pair.name, after, most, oldest);
            for (auto const& line : page) {
                if (line.source_table != "t")
                    continue; // of what was written to begin with
                for (auto const xid : line.xids)
                    all += std::to_string(xid.value) + " ";
            }
            if (std::cmp_less(page.size(), most))
                return all;
            after = {page.back().at, page.back().id};
        }
    };
    for (int const most : {1, 2, 100}) {
        EXPECT_EQ(read({}, most, {}), "4294967290 4294967290 6 7 8 5 3 ");
        EXPECT_EQ(read(base::Lsn{0x10}, most, {}), "7 8 5 3 ");
        EXPECT_EQ(read(base::Lsn{0xff}, most, {}), "5 3 ");
        // Numbers go round: 4294967290 is older than 5.
        EXPECT_EQ(read({}, most, wire::TransactionId{5}), "4294967290 6 7 8 5 ");
    }
    sync::forget_touched(target, pair.name, base::Lsn{0xff});
    std::optional<base::Lsn> at = base::Lsn{0};
    for (int n = 0; n < 10 && at; ++n)
        at = sync::remove_forgotten(target, pair.name, *at, 1);
    EXPECT_EQ(at, std::nullopt);
    EXPECT_EQ(read({}, 100, {}), "5 3 ");
    target.run("DELETE FROM pgcarve.touched WHERE source_table <> 't'");
    // Of what a snapshot with the end 5 does not see, the oldest line; what was begun long after it cannot be: it is very old.
    EXPECT_EQ(sync::find_cut(target, pair.name, 0, sync::Snapshot::parse("3:5:")).unseen, base::Lsn{0x1'0000'0000});
    EXPECT_EQ(sync::find_cut(target, pair.name, 0, sync::Snapshot::parse("3:6:3")).unseen, base::Lsn{0xa'0000'0000});
    EXPECT_EQ(sync::find_cut(target, pair.name, 0, sync::Snapshot::parse("4294967303:4294967303:")).unseen, std::nullopt);
    EXPECT_EQ(sync::find_cut(target, pair.name, 0, sync::Snapshot::parse("2000000000:2000000000:")).unseen, std::nullopt);
    EXPECT_EQ(sync::find_cut(target, pair.name, 0, sync::Snapshot::parse("2500000000:2500000000:")).unseen, std::nullopt);
}

// A line that is younger than everything written since the reader's position is still there, whatever is forgotten meanwhile.
TEST_F(Bound, KeepsTheLinesOfWhatOthersDoNotSee) {
    auto admin = source_server().connect();
    pair.run("SET synchronous_commit = local");
    admin.run("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    admin.run("SELECT pg_reload_conf()");
    auto waiting = source_server().connect(pair.source_database);
    auto const pid = waiting.backend_pid();
    std::string xid;
    std::thread commits{[&] { waiting.run("SET synchronous_commit = on; UPDATE shop.item SET note = 'not seen' WHERE id = 7"); }};
    {
        Applier const applier{*this, route};
        EXPECT_TRUE(test::wait_until([&] {
            return pair.target.one(Sql{"SELECT note FROM service.item WHERE id = 7"}).text("note") == "not seen";
        }, test::long_enough)) << "it is not in the stream";
        EXPECT_NE(pair.source.one(Sql{"SELECT note FROM shop.item WHERE id = 7"}).text("note"), "not seen");
        auto const line = base::Lsn::parse(lines("max(at)::text")).value(); // its own, or one behind it
        EXPECT_TRUE(write_until([&] { return size() > 3 * limit; }));
        EXPECT_TRUE(says("is not seen by others yet")) << said;
        caught_up();
        EXPECT_LT(from(), line);
        EXPECT_GT(size(), limit);
        EXPECT_NE(lines("(count(*) FILTER (WHERE keys = '1:7'))::text"), "0");
        // When it is seen, its line goes like any other.
        admin.query(Sql{"SELECT pg_cancel_backend("}.number(pid).add(")"));
        commits.join();
        EXPECT_TRUE(write_until([&] { return from() > line; })) << said;
        EXPECT_TRUE(test::wait_until([&] { return size() <= limit + limit / 8; }, test::long_enough)) << size();
    }
    admin.run("ALTER SYSTEM RESET synchronous_standby_names");
    admin.run("SELECT pg_reload_conf()");
}

TEST_F(Bound, KeepsEverythingWhenTheSourceIsAway) {
    auto const before = from();
    auto elsewhere = route;
    elsewhere.source_dsn = "host=127.0.0.1 port=1 dbname=nowhere";
    {
        Applier const applier{*this, elsewhere};
        EXPECT_TRUE(write_until([&] { return size() > 2 * limit; }));
        EXPECT_TRUE(says("cannot be kept within")) << said;
    }
    EXPECT_EQ(from(), before);
    auto const oldest = lines("min(at)::text");
    // And while a verification takes a moment.
    said.clear();
    auto holder = target_server().connect(pair.target_database);
    holder.query(Sql{"SELECT pg_advisory_lock("}.number(sync::hold_lock(pair.name)).add(")"));
    {
        Applier const applier{*this, route};
        EXPECT_TRUE(says("verifications take one snapshot after the other")) << said;
        EXPECT_EQ(lines("min(at)::text"), oldest);
        EXPECT_EQ(from(), before);
        holder.query(Sql{"SELECT pg_advisory_unlock_all()"});
        EXPECT_TRUE(write_until([&] { return from() > before; }));
    }
}

TEST_F(Bound, RemovesWhatAKillHasLeft) {
    {
        Applier const applier{*this, route, 0}; // no limit
        write(300);
        caught_up();
    }
    auto const middle = base::Lsn::parse(lines("percentile_disc(0.5) WITHIN GROUP (ORDER BY at)::text")).value();
    auto const younger = lines(fmt::format("(count(*) FILTER (WHERE at > '{}'))::text", middle.text()));
    sync::forget_touched(pair.target, pair.name, middle);
    // In between, what is there is not taken for complete, and what is complete is not doubted.
    EXPECT_FALSE(sync::touched_since(pair.target, pair.name, base::Lsn{middle.value - 1}));
    EXPECT_TRUE(sync::touched_since(pair.target, pair.name, middle));
    sync::forget_touched(pair.target, pair.name, base::Lsn{1}); // never back
    EXPECT_EQ(from(), middle);
    {
        Applier const applier{*this, route, 1LL << 30U};
        EXPECT_TRUE(test::wait_until([&] { return lines("count(*)::text") == younger; }, test::long_enough)) << lines("count(*)::text") << " of " << younger;
    }
    EXPECT_EQ(lines(fmt::format("(count(*) FILTER (WHERE at <= '{}'))::text", middle.text())), "0");
    EXPECT_EQ(said, "");
}

// The record is cut while a verification is between two snapshots.
TEST_F(Bound, WhatWasProvenBeforeACutIsNotRelied) {
    control::Lease const lease{context.shared("lease"), "shop", "sync", "test@host"};
    Applier const applier{*this, route, 0};
    run::AcrossOptions options;
    options.bucket_rows = 20;
    options.unit_rows = 200;
    options.compare.workers = 1;
    options.snapshot_limit = base::Millis{0}; // one piece at a time
    bool cut = false;
    verify::CompareEvents events;
    events.interrupted = [&] {
        if (std::exchange(cut, true))
            return false;
        pair.run("UPDATE item SET note = 'new' WHERE id IN (1, 1900)");
        caught_up();
        pair.target.run("UPDATE item SET note = 'wrong' WHERE id IN (1, 1900)");
        sync::forget_touched(pair.target, pair.name, pair.position());
        (void)sync::remove_forgotten(pair.target, pair.name, {}, 1'000);
        return false;
    };
    auto const compare = [&] { return run::verify_across(context, route, *mapping, route.tables, options, events).verification.tables.front(); };
    auto const all = compare();
    EXPECT_TRUE(cut);
    EXPECT_EQ(all.different, 2);
    EXPECT_EQ(all.why, "");
    // Only what was touched, and a share: the first look at it is all that there was.
    pair.target.run("UPDATE item SET note = 'new' WHERE id IN (1, 1900)");
    options.since = from();
    options.share = 0.3;
    cut = false;
    try {
        (void)compare();
        ADD_FAILURE() << "it has a verdict";
    } catch (base::Error const& e) {
        EXPECT_EQ(e.code(), "not-proven");
        EXPECT_NE(std::string{e.what()}.find("went from the record"), std::string::npos) << e.what();
    }
    cut = true;
    EXPECT_EQ(compare().different, 2); // everything is compared
    EXPECT_TRUE(says("everything is compared"));
}

// Writers, a verification of many short snapshots, and a record that is cut all the time.
TEST_F(Bound, NoVerificationIsMistaken) {
    std::atomic<bool> done{false};
    std::atomic<long long> written{0};
    auto const end = [&](std::thread* thread) {
        done = true;
        thread->join();
        delete thread;
    };
    control::Lease const lease{context.shared("lease"), "shop", "sync", "test@host"};
    Applier const applier{*this, route};
    std::unique_ptr<std::thread, decltype(end)> const writer{new std::thread{[&] {
        auto session = pair.writer();
        session.run("SET synchronous_commit = off");
        std::mt19937 random{1};
        auto const any = [&](int from, int to) { return std::uniform_int_distribution{from, to}(random); };
        while (!done) {
            auto const id = any(cold, rows);
            switch (any(0, 3)) {
            case 0: session.run(fmt::format("DELETE FROM item WHERE id = {}", id)); break;
            case 1: session.run(fmt::format("BEGIN; UPDATE item SET n = n + 1 WHERE id BETWEEN {0} AND {0} + 5; SELECT pg_sleep(0.003); COMMIT", id)); break;
            default: session.run(fmt::format("INSERT INTO item VALUES ({}, 1, 'new') ON CONFLICT (id) DO UPDATE SET n = item.n + 1", id));
            }
            ++written;
            std::this_thread::sleep_for(std::chrono::milliseconds{1});
        }
    }}, end};
    std::mt19937 random{2};
    std::optional<base::Lsn> proven;
    int verdicts = 0;
    int cut_short = 0;
    auto begun = from();
    int cuts = 0;
    for (int round = 0; round < 60 && (verdicts < 6 || cuts < 3); ++round) {
        bool const corrupt = round % 2 == 1;
        auto const victim = 1 + static_cast<int>(random() % (cold - 1));
        if (corrupt)
            pair.target.run(fmt::format("UPDATE item SET note = 'wrong' WHERE id = {}", victim));
        run::AcrossOptions options;
        options.bucket_rows = 20;
        options.unit_rows = 200;
        if (round % 3 == 0) {
            options.snapshot_limit = base::Millis{100};
        } else if (proven) {
            options.since = *proven;
            options.share = 100;
        }
        try {
            auto const outcome = run::verify_across(context, route, *mapping, route.tables, options, {});
            ++verdicts;
            auto const& table = outcome.verification.tables.front();
            EXPECT_EQ(table.why, "");
            EXPECT_EQ(table.missing + table.extra, 0);
            EXPECT_EQ(table.different, corrupt ? 1 : 0) << "round " << round << ", row " << victim;
            if (outcome.verification.verdict == model::Verdict::clean)
                proven = outcome.verification.proven_lsn;
        } catch (base::Error const& e) {
            EXPECT_EQ(e.code(), "not-proven") << e.what();
            ++cut_short;
        }
        if (corrupt)
            pair.target.run(fmt::format("UPDATE item SET note = md5(id::text) WHERE id = {}", victim));
        auto const now = from();
        cuts += now > std::exchange(begun, now) ? 1 : 0;
    }
    std::cout << fmt::format("{} verdicts and {} without, beside {} transactions and {} cuts\n", verdicts, cut_short, written.load(), cuts);
    EXPECT_GE(verdicts, 6);
    EXPECT_GE(cuts, 3);
}

} // namespace
