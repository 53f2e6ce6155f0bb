// Goal: whatever is written to the authority, by whatever statement, the follower is equal after every
// transaction, and the mirror never makes a statement fail that succeeds without it.
// Method: random table shapes and transactions, the same ones in a third schema without a mirror as the oracle;
// both directions; then concurrent writers at several isolation levels with a backfill among them.
//
// PGCARVE_TEST_ROUNDS: how many shapes; PGCARVE_TEST_SEED: the first seed (printed on failure).
#include <atomic>
#include <cstdlib>
#include <thread>

#include "pg/mirrorgen/pair.hpp"
#include "pg/mirrorgen/traffic.hpp"

namespace {

using namespace pgcarve;
using namespace pgcarve::test;
using mirrorgen::Direction;

int from_environment(char const* name, int otherwise) {
    char const* const text = std::getenv(name);
    return text == nullptr ? otherwise : std::atoi(text);
}

Server& server() {
    static Server one{ServerOptions{"", {"autovacuum = off", "deadlock_timeout = 300ms", "max_connections = 40"}}};
    return one;
}

void create_schemas(pg::Session& session, Shape const& shape, std::vector<std::string> const& schemas) {
    session.run("CREATE SCHEMA pgcarve");
    for (auto const& schema : schemas) {
        session.run("CREATE SCHEMA " + schema);
        session.run(in_schema(tables_sql(shape, schema + "_"), schema));
        session.run(in_schema(triggers_sql(shape), schema));
    }
}

// Only the authority has foreign keys among the service's tables and live triggers of the application, except that the
// shared side keeps its foreign keys in the reverse direction.
void hand_over(pg::Session& session, Shape const& shape, Pair const& pair, Direction direction) {
    auto const run = [&](std::string const& sql, std::string const& schema) {
        if (!sql.empty())
            session.run(in_schema(sql, schema));
    };
    bool const forward = direction == Direction::forward;
    if (!forward)
        run(foreign_keys_sql(shape), pair.follower);
    if (!forward && shape.key == KeyType::identity)
        session.query(sql::Sql{"SELECT pg_catalog.setval('f.p_k_seq', last_value, is_called) FROM a.p_k_seq"});
    pair.activate(session, direction);
    for (auto const& trigger : {"a_touch", "a_again", "z_again", "a_sweep", "a_heir"}) {
        for (auto const& schema : {pair.authority, pair.follower}) {
            if (value(session, fmt::format("SELECT count(*) FROM pg_trigger WHERE tgname = '{}' AND tgrelid = '{}.p'::regclass", trigger, schema)) != "0")
                session.run(fmt::format("ALTER TABLE {}.p {} TRIGGER {}", schema, (schema == pair.authority) == forward ? "ENABLE" : "DISABLE", trigger));
        }
    }
}

// A partition that the statement triggers do not know.
void add_late_partition(pg::Session& session, Shape const& shape, std::vector<std::string> const& schemas) {
    for (auto const& schema : schemas) {
        if (shape.partitions > 0)
            session.run(fmt::format("CREATE TABLE {0}.p_3 PARTITION OF {0}.p FOR VALUES FROM (20) TO (1000)", schema));
    }
}

class Oracle {
public:
    explicit Oracle(unsigned seed) : dice_{seed}, shape_{random_shape(dice_, server().version() >= 15)} {
        database_ = server().create_database();
        mirrored_ = std::make_unique<pg::Session>(server().connect(database_));
        plain_ = std::make_unique<pg::Session>(server().connect(database_));
        create_schemas(*mirrored_, shape_, {"a", "f", "o"});
        for (auto const* schema : {"a", "o"}) {
            auto const keys = in_schema(foreign_keys_sql(shape_), schema);
            if (!keys.empty())
                mirrored_->run(keys);
        }
    }

    void run(int transactions) {
        hand_over(*mirrored_, shape_, pair_, Direction::forward);
        add_late_partition(*mirrored_, shape_, {"a", "f", "o"});
        schema_ = "a";
        for (int i = 0; i < transactions && !::testing::Test::HasFailure(); ++i)
            transaction();
        hand_over(*mirrored_, shape_, pair_, Direction::reverse);
        schema_ = "f";
        copy_to_oracle();
        for (int i = 0; i < transactions && !::testing::Test::HasFailure(); ++i)
            transaction();
    }

private:
    // Rows lie in the same order again, which decides whether `SET u = u + 1` is lucky.
    void copy_to_oracle() {
        mirrored_->run("SET session_replication_role = replica");
        for (auto const& table : shape_.tables()) {
            auto columns = shape_.columns(table);
            columns = columns.substr(0, columns.rfind(", twice"));
            mirrored_->run(fmt::format("VACUUM FULL f.{}", table));
            mirrored_->run(fmt::format("DELETE FROM o.{}", table));
            mirrored_->run(fmt::format("VACUUM FULL o.{}", table));
            mirrored_->run(fmt::format("INSERT INTO o.{0} ({1}) OVERRIDING SYSTEM VALUE SELECT {1} FROM f.{0} ORDER BY tableoid, ctid", table, columns));
            mirrored_->run(fmt::format("VACUUM FULL o.{}", table));
        }
        mirrored_->run("RESET session_replication_role");
    }

    void both(std::string const& statement, bool& failed) {
        script_ += statement + ";\n";
        std::string mirrored_error;
        std::string plain_error;
        attempt(*mirrored_, in_schema(statement, schema_), mirrored_error);
        attempt(*plain_, in_schema(statement, "o"), plain_error);
        failed = !mirrored_error.empty();
        EXPECT_EQ(mirrored_error.empty(), plain_error.empty())
            << "with the mirror: " << mirrored_error << "\nwithout: " << plain_error << "\n" << script_;
    }

    static void attempt(pg::Session& session, std::string const& statement, std::string& error) {
        try {
            session.run(statement);
        } catch (pg::SqlError const& e) {
            error = e.sqlstate() + " " + e.message();
        }
    }

    void transaction() {
        script_ = fmt::format("-- {} is the authority\n{}", schema_, tables_sql(shape_, "") + foreign_keys_sql(shape_) + triggers_sql(shape_));
        Traffic traffic{shape_, dice_};
        bool failed = false;
        // A referenced follower cannot take a TRUNCATE under an old snapshot, and says so.
        bool const referenced = shape_.child || shape_.self_reference;
        both(dice_.chance(70) || (referenced && schema_ == "f") ? "BEGIN" : "BEGIN ISOLATION LEVEL REPEATABLE READ", failed);
        for (int left = dice_.roll(1, 5); left > 0 && !::testing::Test::HasFailure(); --left) {
            both("SAVEPOINT s", failed);
            both(traffic.statement(), failed);
            if (failed || dice_.chance(10))
                both("ROLLBACK TO SAVEPOINT s", failed);
        }
        both(dice_.chance(90) ? "COMMIT" : "ROLLBACK", failed);
        if (failed)
            return; // a deferred constraint refused on both sides
        for (auto const& table : shape_.tables()) {
            auto const columns = shape_.columns(table);
            EXPECT_EQ(differences(*mirrored_, "a." + table, "f." + table, columns), std::vector<std::string>{}) << script_;
            EXPECT_EQ(differences(*mirrored_, schema_ + "." + table, "o." + table, columns), std::vector<std::string>{}) << script_;
        }
    }

    Dice dice_;
    Shape shape_;
    std::string database_;
    Pair pair_{"a", "f", shape_.tables()};
    std::unique_ptr<pg::Session> mirrored_;
    std::unique_ptr<pg::Session> plain_;
    std::string schema_;
    std::string script_;
};

TEST(MirrorProperty, TheFollowerIsEqualAndTheMirrorBreaksNothing) {
    auto const first = static_cast<unsigned>(from_environment("PGCARVE_TEST_SEED", 1));
    auto const rounds = static_cast<unsigned>(from_environment("PGCARVE_TEST_ROUNDS", 30));
    for (auto seed = first; seed < first + rounds && !HasFailure(); ++seed) {
        SCOPED_TRACE(fmt::format("PGCARVE_TEST_SEED={} PGCARVE_TEST_ROUNDS=1", seed));
        Oracle{seed}.run(25);
    }
}

// ---- concurrent writers and a backfill

struct Round {
    Shape shape;
    std::string database;
    std::atomic<int> backfilled{0};
    std::atomic<bool> stop{false};
    std::string broken; // guarded by the join of the one thread that writes it
};

// What concurrency may do to a transaction; anything else is the mirror's fault.
bool expected_error(pg::SqlError const& e, Shape const& shape, bool old_snapshot) {
    // A constraint of the follower, which the authority's should have kept from being touched; but a deferrable key has
    // no other way to refuse a row that a snapshot does not see.
    if (e.message().find("\"f_") != std::string::npos && !(shape.deferrable_key && old_snapshot))
        return false;
    auto const& state = e.sqlstate();
    return state.starts_with("23") || state.starts_with("40") || state == "27000" || state == "428C9" || state == "55P03" || state == "21000";
}

void write(Round& round, unsigned seed, std::string& broken) {
    auto session = server().connect(round.database);
    Dice dice{seed};
    Traffic traffic{round.shape, dice};
    int after_backfill = 20;
    while (after_backfill > 0 && broken.empty()) {
        if (round.backfilled > 0)
            --after_backfill;
        auto const isolation = dice.pick({"READ COMMITTED", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"});
        std::string statement = "BEGIN ISOLATION LEVEL " + isolation;
        try {
            session.run(statement);
            if (dice.chance(50))
                session.run(in_schema("SELECT count(*) FROM @.p", "a")); // takes the snapshot
            for (int left = dice.roll(1, 4); left > 0; --left) {
                statement = in_schema(traffic.statement(), "a");
                session.run(statement);
            }
            statement = dice.chance(85) ? "COMMIT" : "ROLLBACK";
            session.run(statement);
        } catch (pg::SqlError const& e) {
            if (!expected_error(e, round.shape, isolation != "READ COMMITTED"))
                broken = fmt::format("{}: {} ({})", statement, e.message(), e.sqlstate());
            session.run("ROLLBACK");
        }
    }
}

// The statement of mirror/backfill.cpp, a few rows at a time and slowed down by its locks alone.
void backfill(Round& round, std::string& broken) {
    auto session = server().connect(round.database);
    session.run("SET pgcarve.mirror = 'on'; SET lock_timeout = '100ms'");
    for (auto const& table : round.shape.tables()) {
        auto const all = round.shape.columns(table);
        auto const columns = all.substr(0, all.rfind(", twice"));
        auto const key = table == "p" ? round.shape.key_columns() : std::string{"id"};
        bool const conflicts = table == "c" || !round.shape.deferrable_key;
        auto const statement = [&](int part) {
            return fmt::format("INSERT INTO f.{0} ({1}) OVERRIDING SYSTEM VALUE SELECT {1} FROM a.{0} AS s WHERE abs(hashtext(ROW({2})::text)) % 8 = {3} {4} "
                               "FOR KEY SHARE OF s {5}",
                               table, columns, key, part,
                               conflicts ? "" : fmt::format("AND NOT EXISTS (SELECT FROM f.{} AS t WHERE ({}) = ({}))", table, "t." + key, "s." + key),
                               conflicts ? "ON CONFLICT (" + key + ") DO NOTHING" : "");
        };
        for (int part = 0; part < 8;) {
            try {
                session.run(statement(part));
                ++part;
            } catch (pg::SqlError const& e) {
                if (!e.sqlstate().starts_with("40") && e.sqlstate() != pg::sqlstate::lock_not_available &&
                    !(e.sqlstate() == pg::sqlstate::unique_violation && !conflicts)) {
                    broken = e.message();
                    return;
                }
            }
        }
    }
}

void concurrent_round(unsigned seed) {
    Dice dice{seed};
    Round round;
    round.shape = random_shape(dice, server().version() >= 15);
    if (round.shape.key == KeyType::composite)
        round.shape.deferrable_key = false; // the backfill above names key columns one by one only in a list
    round.shape.takes_over = false;
    round.database = server().create_database();
    auto session = server().connect(round.database);
    create_schemas(session, round.shape, {"a", "f"});
    auto const keys = in_schema(foreign_keys_sql(round.shape), "a");
    if (!keys.empty())
        session.run(keys);
    Traffic traffic{round.shape, dice};
    for (int i = 0; i < 60; ++i)
        failure(session, in_schema(traffic.statement(), "a"));
    Pair const pair{"a", "f", round.shape.tables()};
    hand_over(session, round.shape, pair, Direction::forward);
    add_late_partition(session, round.shape, {"a", "f"});

    std::string broken[4];
    std::vector<std::thread> writers;
    for (unsigned w = 0; w < 3; ++w)
        writers.emplace_back([&, w] { write(round, seed * 10 + w, broken[w]); });
    std::thread filler{[&] { backfill(round, broken[3]); round.backfilled = 1; }};
    filler.join();
    for (auto& writer : writers)
        writer.join();
    for (auto const& text : broken)
        EXPECT_EQ(text, "");
    for (auto const& table : round.shape.tables())
        EXPECT_EQ(differences(session, "a." + table, "f." + table, round.shape.columns(table)), std::vector<std::string>{})
            << tables_sql(round.shape, "") << foreign_keys_sql(round.shape) << triggers_sql(round.shape);
}

TEST(MirrorProperty, ConcurrentWritersAndABackfillLeaveBothSidesEqual) {
    auto const first = static_cast<unsigned>(from_environment("PGCARVE_TEST_SEED", 1));
    auto const rounds = static_cast<unsigned>(from_environment("PGCARVE_TEST_ROUNDS", 30));
    for (auto seed = first; seed < first + rounds && !HasFailure(); ++seed) {
        SCOPED_TRACE(fmt::format("PGCARVE_TEST_SEED={} PGCARVE_TEST_ROUNDS=1", seed));
        concurrent_round(seed);
    }
}

} // namespace
