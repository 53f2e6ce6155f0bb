// Random writers for tests of a stream: savepoints, rollbacks, moves of keys, truncations and large values, on the tables
// of `traffic_schema`, seeded.
#pragma once

#include <atomic>
#include <cstdlib>
#include <random>
#include <string>

#include "pair.hpp"

namespace pgcarve::test {

class Dice {
public:
    explicit Dice(std::uint64_t seed) : engine_{seed} {}
    int below(int limit) { return std::uniform_int_distribution<int>{0, limit - 1}(engine_); }
    bool one_in(int n) { return below(n) == 0; }

private:
    std::mt19937_64 engine_;
};

inline std::string const traffic_schema = R"(
    CREATE TABLE plain (id int PRIMARY KEY, v text, big text);
    CREATE TABLE whole (id int PRIMARY KEY, v text, big text); ALTER TABLE whole REPLICA IDENTITY FULL;
    CREATE TABLE coded (id int PRIMARY KEY, a int, code int UNIQUE, b text);
    CREATE TABLE named (a text, b uuid, n numeric, v text, PRIMARY KEY (a, n));
    CREATE TABLE keyed (id int PRIMARY KEY, k text NOT NULL, v text); CREATE UNIQUE INDEX keyed_k ON keyed (k); ALTER TABLE keyed REPLICA IDENTITY USING INDEX keyed_k;
    CREATE TABLE parted (id int, r int, v text, PRIMARY KEY (id, r)) PARTITION BY LIST (r);
    CREATE TABLE parted_0 PARTITION OF parted FOR VALUES IN (0); CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
    ALTER TABLE plain ALTER big SET STORAGE external; ALTER TABLE whole ALTER big SET STORAGE external)";

inline std::string value(Dice& dice) {
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

inline std::string big(Dice& dice) {
    if (dice.one_in(3))
        return value(dice);
    return fmt::format("repeat('{}', {})", dice.below(10), 1500 + dice.below(5000));
}

inline std::string statement(Dice& dice) {
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

// Until `stop`; counts the transactions, also those rolled back.
inline void write(Pair const& pair, Dice dice, std::atomic<bool> const& stop, std::atomic<int>& written, bool truncates = true) {
    auto session = pair.writer();
    session.run("SET lock_timeout = '200ms'; SET deadlock_timeout = '20ms'");
    while (!stop) {
        std::this_thread::sleep_for(base::Millis{2}); // so that a busy machine keeps up
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
            if (truncates && dice.one_in(60))
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

} // namespace pgcarve::test
