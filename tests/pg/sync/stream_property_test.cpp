// Goal: whatever several sessions write at once, and however often and wherever the stream is broken off, the target is in
// the end what the source is. Method: seeded random writers with savepoints, rollbacks, moves of keys, truncations and
// large values; meanwhile streams with random limits that run for a random time and are stopped, killed at either end, or
// thrown away; then one that catches up, and a comparison row by row. PGCARVE_SEED repeats a run's choices (not its timing).
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <random>
#include <thread>

#include "pair.hpp"

namespace {

using namespace pgcarve;
using test::Pair;

class Dice {
public:
    explicit Dice(std::uint64_t seed) : engine_{seed} {}
    int below(int limit) { return std::uniform_int_distribution<int>{0, limit - 1}(engine_); }
    bool one_in(int n) { return below(n) == 0; }

private:
    std::mt19937_64 engine_;
};

std::uint64_t seed() {
    if (auto const* const given = std::getenv("PGCARVE_SEED"))
        return std::strtoull(given, nullptr, 10);
    return std::random_device{}();
}

std::string const schema = R"(
    CREATE TABLE plain (id int PRIMARY KEY, v text, big text);
    CREATE TABLE whole (id int PRIMARY KEY, v text, big text); ALTER TABLE whole REPLICA IDENTITY FULL;
    CREATE TABLE coded (id int PRIMARY KEY, a int, code int UNIQUE, b text);
    CREATE TABLE named (a text, b uuid, n numeric, v text, PRIMARY KEY (a, n));
    CREATE TABLE keyed (id int PRIMARY KEY, k text NOT NULL, v text); CREATE UNIQUE INDEX keyed_k ON keyed (k); ALTER TABLE keyed REPLICA IDENTITY USING INDEX keyed_k;
    CREATE TABLE parted (id int, r int, v text, PRIMARY KEY (id, r)) PARTITION BY LIST (r);
    CREATE TABLE parted_0 PARTITION OF parted FOR VALUES IN (0); CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
    ALTER TABLE plain ALTER big SET STORAGE external; ALTER TABLE whole ALTER big SET STORAGE external)";

std::string value(Dice& dice) {
    switch (dice.below(6)) {
    case 0:
        return "NULL";
    case 1:
        return "''";
    case 2:
        return "E'it''s \\\\ \"q\"\\n'";
    default:
        return fmt::format("'v{}'", dice.below(1000));
    }
}

std::string big(Dice& dice) {
    if (dice.one_in(3))
        return value(dice);
    return fmt::format("repeat('{}', {})", dice.below(10), 1500 + dice.below(5000));
}

std::string statement(Dice& dice) {
    auto const id = [&] { return dice.below(40); };
    switch (dice.below(20)) {
    case 0:
    case 1:
    case 2: {
        auto const* const table = dice.one_in(2) ? "plain" : "whole";
        return fmt::format("INSERT INTO {} VALUES ({}, {}, {}) ON CONFLICT (id) DO UPDATE SET v = excluded.v", table, id(), value(dice), big(dice));
    }
    case 3:
    case 4: {
        auto const* const table = dice.one_in(2) ? "plain" : "whole";
        return fmt::format("UPDATE {} SET v = {} WHERE id BETWEEN {} AND {}", table, value(dice), id(), id());
    }
    case 5:
        return fmt::format("UPDATE {} SET big = {} WHERE id = {}", dice.one_in(2) ? "plain" : "whole", big(dice), id());
    case 6: {
        auto const* const table = dice.one_in(2) ? "plain" : "whole";
        auto const to = id();
        return fmt::format("UPDATE {0} SET id = {2} WHERE id = {1} AND NOT EXISTS (SELECT FROM {0} WHERE id = {2})", table, id(), to);
    }
    case 7:
        return fmt::format("DELETE FROM {} WHERE id BETWEEN {} AND {}", dice.one_in(2) ? "plain" : "whole", id(), id());
    case 8:
        return fmt::format("WITH gone AS (DELETE FROM plain WHERE id = {} RETURNING *) INSERT INTO whole SELECT * FROM gone ON CONFLICT DO NOTHING", id());
    case 9:
    case 10:
        return fmt::format("INSERT INTO coded VALUES ({}, {}, {}, {}) ON CONFLICT DO NOTHING", id(), id(), id(), value(dice));
    case 11: { // codes of two rows change places, through a third value
        auto const one = id();
        auto const other = id();
        return fmt::format("DO $$ DECLARE x int; y int; BEGIN SELECT code INTO x FROM coded WHERE id = {0} FOR UPDATE; SELECT code INTO y FROM coded WHERE id = {1} FOR UPDATE; "
                           "IF x <> y THEN UPDATE coded SET code = NULL WHERE id = {0}; UPDATE coded SET code = x WHERE id = {1}; "
                           "UPDATE coded SET code = y WHERE id = {0}; END IF; END $$",
                           one, other);
    }
    case 12:
        return fmt::format("UPDATE coded SET a = a + 1, b = {} WHERE id % 7 = {}", value(dice), dice.below(7));
    case 13:
        return fmt::format("INSERT INTO named VALUES ('n{}', gen_random_uuid(), {}.{}0, {}) ON CONFLICT (a, n) DO UPDATE SET b = gen_random_uuid(), n = excluded.n", dice.below(4),
                           dice.below(4), dice.below(2), value(dice));
    case 14:
        return fmt::format("UPDATE named SET n = n + 10, v = {} WHERE a = 'n{}' AND n < 10", value(dice), dice.below(4));
    case 15:
        return fmt::format("DELETE FROM named WHERE n > 10 OR a = 'n{}'", dice.below(4));
    case 16:
        return fmt::format("INSERT INTO keyed VALUES ({}, 'k{}', {}) ON CONFLICT (k) DO UPDATE SET v = excluded.v || 'x', k = keyed.k || 'y' WHERE length(keyed.k) < 9", id(), id(), value(dice));
    case 17:
        return fmt::format("DELETE FROM keyed WHERE id = {} OR k = 'k{}'", id(), id());
    case 18:
        return fmt::format("INSERT INTO parted VALUES ({}, {}, {}) ON CONFLICT (id, r) DO UPDATE SET v = {}", id(), dice.below(2), value(dice), value(dice));
    default:
        return fmt::format("UPDATE parted SET r = 1 - r WHERE id = {0} AND (SELECT count(*) FROM parted WHERE id = {0}) = 1", id());
    }
}

void write(Pair const& pair, Dice dice, std::atomic<bool> const& stop, std::atomic<int>& written) {
    auto session = pair.writer();
    session.run("SET lock_timeout = '200ms'; SET deadlock_timeout = '20ms'");
    while (!stop) {
        try {
            session.run("BEGIN");
            for (auto i = 1 + dice.below(dice.one_in(10) ? 60 : 6); i > 0; --i) {
                if (dice.one_in(4)) {
                    session.run("SAVEPOINT s");
                    session.run(statement(dice));
                    session.run(dice.one_in(2) ? "ROLLBACK TO s" : "RELEASE s");
                } else {
                    session.run(statement(dice));
                }
            }
            if (dice.one_in(60))
                session.run(dice.one_in(2) ? "TRUNCATE plain, coded" : "TRUNCATE parted, named RESTART IDENTITY");
            if (dice.one_in(20))
                session.run(fmt::format("SELECT pg_logical_emit_message(true, 'pgcarve', '{}')", dice.below(100)));
            session.run(dice.one_in(6) ? "ROLLBACK" : "COMMIT");
            ++written;
        } catch (pg::SqlError const& e) { // a lock, a deadlock, a key: as in life
            session.run("ROLLBACK");
            if (e.sqlstate().starts_with("42"))
                ADD_FAILURE() << e.what() << "\n" << e.statement();
        }
    }
}

void terminate(test::Server& server, std::string const& purpose) {
    server.connect().query(sql::Sql{"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = "}.bind("pgcarve " + purpose));
}

sync::ReceiverLimits random_limits(Dice& dice) {
    sync::ReceiverLimits limits;
    if (dice.one_in(2))
        limits.batch_changes = static_cast<std::size_t>(dice.one_in(2) ? 1 : 1 + dice.below(50));
    if (dice.one_in(4))
        limits.batch_bytes = 1;
    limits.queued_batches = static_cast<std::size_t>(1 + dice.below(3));
    limits.status_interval = base::Millis{1 + dice.below(100)};
    return limits;
}

// One stream from its beginning to whatever end it meets.
void one_stream(Pair& pair, sync::Mapping const& tables, Dice& dice, std::map<std::string, int>& ends, long long& replayed) {
    pair.limits = random_limits(dice);
    auto stream = pair.stream(tables);
    auto const settings = pair.settings();
    auto const end = dice.below(5);
    std::thread killer;
    if (end < 2)
        killer = std::thread{[&, pause = base::Millis{dice.below(300)}] {
            std::this_thread::sleep_for(pause);
            if (end == 0)
                terminate(pair.source_server, settings.source.purpose);
            else
                terminate(pair.target_server, settings.target.purpose);
        }};
    base::Interrupt interrupt;
    std::string how = "thrown away";
    try {
        auto const until = end == 2 ? pair.now() : base::Lsn{~0ULL};
        auto const limit = base::Millis{end == 2 ? 20'000 : end < 2 ? 2'000 : dice.below(300)};
        bool const done = stream->run_until(until, limit, interrupt);
        if (end == 2 && !done)
            ADD_FAILURE() << "the stream does not catch up";
        if (end == 2 || end == 3) {
            stream->stop();
            how = "stopped";
        }
    } catch (base::Error const& e) {
        how = e.code();
        if (how != "server-lost" && how != "in-doubt")
            ADD_FAILURE() << e.what();
    }
    ++ends[how];
    replayed += stream->counts().replayed_batches;
    if (killer.joinable())
        killer.join();
    stream.reset();
    EXPECT_LE(pair.confirmed(), pair.position());
}

TEST(StreamProperty, BothSidesAreEqualInTheEnd) {
    auto const number = seed();
    SCOPED_TRACE(fmt::format("PGCARVE_SEED={}", number));
    fmt::print("PGCARVE_SEED={}\n", number);
    Dice dice{number};
    Pair pair{schema};
    auto const tables = pair.mapping();
    std::map<std::string, int> ends;
    long long replayed = 0;
    std::atomic<int> written{0};
    for (int round = 0; round < 3; ++round) {
        std::atomic<bool> stop{false};
        std::vector<std::thread> writers;
        for (int i = 0; i < 4; ++i)
            writers.emplace_back([&pair, &stop, &written, own = Dice{number * 100 + static_cast<std::uint64_t>(round * 10 + i)}] { write(pair, own, stop, written); });
        for (int i = 0; i < 14 && !::testing::Test::HasFailure(); ++i)
            one_stream(pair, tables, dice, ends, replayed);
        stop = true;
        for (auto& writer : writers)
            writer.join();
        pair.limits = random_limits(dice);
        auto const counts = pair.catch_up();
        replayed += counts.replayed_batches;
        fmt::print("round {}: {} transactions written, {} batches replayed in order\n", round, written.load(), replayed);
        pair.expect_equal();
    }
    for (auto const& [how, times] : ends)
        fmt::print("{}: {}\n", how, times);
    EXPECT_GT(written, 100);
    EXPECT_GT(replayed, 0);
}

} // namespace
