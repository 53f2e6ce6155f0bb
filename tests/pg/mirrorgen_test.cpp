// Goal: the traps of trigger mirrors, one by one, and what fences, drift and drop promise.
// Method: small tables on a private server, driven through the generator.
#include <fmt/format.h>

#include "pg/mirrorgen/pair.hpp"

namespace {

using namespace pgcarve;
using namespace pgcarve::test;
using mirrorgen::Direction;

class Mirror : public ::testing::Test {
protected:
    Mirror() : database_{Server::shared().create_database()}, session_{Server::shared().connect(database_)} {
        session_.run("CREATE SCHEMA pgcarve; CREATE SCHEMA a; CREATE SCHEMA f");
    }

    // Creates the table on both sides and mirrors a to f.
    void mirror(std::string const& table, std::string const& definition) {
        for (auto const& schema : {"a", "f"})
            session_.run(fmt::format("CREATE TABLE {}.\"{}\" {}", schema, table, definition));
        pair_.tables = {table};
        pair_.activate(session_, Direction::forward);
    }

    void expect_equal(std::string const& columns, std::string const& table = "t") {
        EXPECT_EQ(differences(session_, "a.\"" + table + "\"", "f.\"" + table + "\"", columns), std::vector<std::string>{});
    }

    // A transaction that took its snapshot before a row came to the follower.
    std::string with_old_snapshot(std::string const& statement) {
        session_.run("SET session_replication_role = replica; INSERT INTO a.t VALUES (1, 'x'), (2, 'y'); RESET session_replication_role");
        auto old = Server::shared().connect(database_);
        old.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM a.t");
        session_.run("SET pgcarve.mirror = 'on'; INSERT INTO f.t SELECT * FROM a.t WHERE k = 1; RESET pgcarve.mirror");
        auto const state = failure(old, statement);
        old.run("ROLLBACK");
        return state;
    }

    std::string database_;
    pg::Session session_;
    Pair pair_{"a", "f", {}};
};

TEST_F(Mirror, ARowThatAnOldSnapshotCannotSeeIsNeverMissedSilently) {
    mirror("t", "(k integer PRIMARY KEY, v text)");
    EXPECT_EQ(with_old_snapshot("UPDATE a.t SET v = 'z' WHERE k = 1"), "40001");
    session_.run("SET session_replication_role = replica; TRUNCATE a.t, f.t; RESET session_replication_role");
    EXPECT_EQ(with_old_snapshot("DELETE FROM a.t WHERE k = 1"), "40001");
    session_.run("SET session_replication_role = replica; TRUNCATE a.t, f.t; RESET session_replication_role");
    EXPECT_EQ(with_old_snapshot("UPDATE a.t SET k = 7 WHERE k = 1"), "40001");
    session_.run("SET session_replication_role = replica; TRUNCATE a.t, f.t; RESET session_replication_role");
    // Not copied yet is no reason to fail.
    EXPECT_EQ(with_old_snapshot("DELETE FROM a.t WHERE k = 2"), "");
}

TEST_F(Mirror, ADeletedDeferrableKeyIsNotMissedEither) {
    mirror("t", "(k integer PRIMARY KEY DEFERRABLE, v text)");
    EXPECT_EQ(with_old_snapshot("DELETE FROM a.t WHERE k = 1"), "40001");
}

// An old snapshot sees the row that another transaction deleted, beside its own with the same key.
TEST_F(Mirror, AKeyThatAnOldSnapshotSeesTwice) {
    mirror("t", "(k integer PRIMARY KEY, v text)");
    session_.run("INSERT INTO a.t VALUES (1, 'old')");
    auto old = Server::shared().connect(database_);
    old.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM a.t");
    session_.run("DELETE FROM a.t WHERE k = 1");
    EXPECT_EQ(failure(old, "INSERT INTO a.t VALUES (1, 'new')"), "40001");
    old.run("ROLLBACK");
    expect_equal("k, v");
}

TEST_F(Mirror, TruncateUnderAnOldSnapshotLeavesNothingBehind) {
    mirror("t", "(k integer PRIMARY KEY, v text, u integer UNIQUE DEFERRABLE)");
    auto old = Server::shared().connect(database_);
    old.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM a.t");
    session_.run("INSERT INTO a.t VALUES (1, 'x', 1)");
    EXPECT_EQ(failure(old, "INSERT INTO a.t VALUES (2, 'y', 2); TRUNCATE a.t; COMMIT"), "");
    expect_equal("k, v, u");
    // A referenced follower cannot be truncated, and what is deleted instead might be hidden.
    session_.run("CREATE TABLE f.child (k integer REFERENCES f.t)");
    pair_.activate(session_, Direction::forward);
    EXPECT_EQ(failure(session_, "BEGIN ISOLATION LEVEL REPEATABLE READ; TRUNCATE a.t"), "0A000");
    session_.run("ROLLBACK; INSERT INTO a.t VALUES (3); TRUNCATE a.t");
    expect_equal("k, v, u");
}

// The plans cached while the table was tiny, or for a huge statement, go by index ever after.
TEST_F(Mirror, PlansNeverScanATable) {
    mirror("t", "(k integer PRIMARY KEY, u integer UNIQUE, v text)");
    session_.run("INSERT INTO a.t VALUES (1, 1); UPDATE a.t SET v = 'x'; DELETE FROM a.t WHERE k = 1");
    session_.run("VACUUM ANALYZE a.t");
    session_.run("VACUUM ANALYZE f.t");
    session_.run("INSERT INTO a.t SELECT i, i FROM generate_series(1, 3) AS i; UPDATE a.t SET v = 'x' WHERE k = 1; DELETE FROM a.t WHERE k = 1");
    session_.run("INSERT INTO a.t SELECT i, i FROM generate_series(10, 20000) AS i");
    for (auto const* const bulk : {"", "UPDATE a.t SET v = 'y' WHERE k > 1000; DELETE FROM a.t WHERE k > 15000"}) {
        session_.run("BEGIN");
        auto const scans = [&] {
            return value(session_, "SELECT pg_stat_get_xact_numscans('a.t'::regclass) || ' ' || pg_stat_get_xact_numscans('f.t'::regclass)");
        };
        auto const before = scans();
        session_.run("SET enable_seqscan = off");
        session_.run("INSERT INTO a.t VALUES (5, 5); UPDATE a.t SET v = 'z' WHERE k = 5; DELETE FROM a.t WHERE k = 5");
        session_.run("RESET enable_seqscan");
        EXPECT_EQ(scans(), before);
        session_.run("COMMIT");
        if (*bulk != '\0')
            session_.run(bulk);
    }
    expect_equal("k, u, v");
}

TEST_F(Mirror, TypesWithTheirOwnEqualityAndEqualKeysWithOtherBytes) {
    if (value(session_, "SELECT count(*) FROM pg_available_extensions WHERE name = 'citext'") == "0")
        GTEST_SKIP() << "the server has no citext";
    session_.run("CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext");
    mirror("t", "(k ext.citext PRIMARY KEY, n numeric)");
    session_.run("INSERT INTO a.t VALUES ('Ab', 1.0); UPDATE a.t SET k = 'aB'; UPDATE a.t SET n = 1.00");
    expect_equal("k, n");
    session_.run("UPDATE a.t SET k = 'c'; DELETE FROM a.t WHERE k OPERATOR(ext.=) 'C'");
    EXPECT_EQ(value(session_, "SELECT count(*) FROM f.t"), "0");
}

TEST_F(Mirror, NamesOfAnyKindAndLength) {
    std::string const table = "Ünï \"\"quoted\"\" $x$ 'name' that is as long as a name can be ..";
    for (auto const& schema : {"a", "f"})
        session_.run(fmt::format("CREATE TABLE {}.\"{}\" (\"found\" integer, \"NEW\" text, \"x'\\\" integer, PRIMARY KEY (\"found\", \"NEW\"))", schema, table));
    pair_.tables = {value(session_, "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'a'::regnamespace")};
    pair_.activate(session_, Direction::forward);
    session_.run(fmt::format("INSERT INTO a.\"{0}\" VALUES (1, 'n', 2); UPDATE a.\"{0}\" SET \"x'\\\" = 3; UPDATE a.\"{0}\" SET \"found\" = 2", table));
    EXPECT_EQ(differences(session_, "a.\"" + table + "\"", "f.\"" + table + "\"", "\"found\", \"NEW\", \"x'\\\""), std::vector<std::string>{});
    EXPECT_EQ(value(session_, "SELECT count(*) FROM f.\"" + table + "\" WHERE \"found\" = 2"), "1");
}

TEST_F(Mirror, ApplicationRolesNeedNoRightsOnTheFollower) {
    mirror("t", "(k integer PRIMARY KEY, v text)");
    session_.run("DROP ROLE IF EXISTS mirror_app; CREATE ROLE mirror_app; GRANT USAGE ON SCHEMA a TO mirror_app; GRANT ALL ON a.t TO mirror_app");
    session_.run("SET ROLE mirror_app; INSERT INTO a.t VALUES (1, 'x'); UPDATE a.t SET v = 'y'; RESET ROLE");
    expect_equal("k, v");
    EXPECT_EQ(value(session_, "SELECT count(*) FROM f.t"), "1");
    session_.run("REVOKE ALL ON a.t FROM mirror_app; REVOKE ALL ON SCHEMA a FROM mirror_app; DROP ROLE mirror_app");
}

TEST_F(Mirror, TheFenceRefusesWhatIsNotTheMirrors) {
    mirror("t", "(k integer PRIMARY KEY, v text)");
    session_.run("INSERT INTO a.t VALUES (1, 'x')");
    for (auto const* const statement : {"INSERT INTO f.t VALUES (2)", "UPDATE f.t SET v = 'y'", "DELETE FROM f.t", "DELETE FROM f.t WHERE k = 9", "TRUNCATE f.t"})
        EXPECT_EQ(failure(session_, statement), pg::sqlstate::moved) << statement;
    pair_.activate(session_, Direction::reverse);
    try {
        session_.run("UPDATE a.t SET v = 'y'");
        FAIL();
    } catch (pg::SqlError const& e) {
        EXPECT_EQ(e.sqlstate(), pg::sqlstate::moved);
        EXPECT_NE(e.message().find("table \"a\".\"t\" moved to service checkout"), std::string::npos) << e.message();
        EXPECT_NE(e.message().find("write to \"f\".\"t\""), std::string::npos) << e.message();
    }
    session_.run("UPDATE f.t SET v = 'z'");
    expect_equal("k, v");
}

TEST_F(Mirror, APartitionedFollowerIsFencedInPartitionsToComeAsWell) {
    for (auto const& schema : {"a", "f"})
        session_.run(fmt::format("CREATE TABLE {0}.t (k integer PRIMARY KEY) PARTITION BY RANGE (k); CREATE TABLE {0}.t1 PARTITION OF {0}.t FOR VALUES FROM (0) TO (10)", schema));
    pair_.tables = {"t"};
    pair_.activate(session_, Direction::forward);
    session_.run("CREATE TABLE f.t2 PARTITION OF f.t FOR VALUES FROM (10) TO (20)");
    for (auto const* const statement : {"INSERT INTO f.t VALUES (1)", "INSERT INTO f.t1 VALUES (1)", "INSERT INTO f.t2 VALUES (11)", "TRUNCATE f.t", "TRUNCATE f.t1"})
        EXPECT_EQ(failure(session_, statement), pg::sqlstate::moved) << statement;
}

// What a foreign key's action writes is judged at commit: by whether the authority has done the same.
TEST_F(Mirror, ADeeperWriteIsJudgedAtCommit) {
    mirror("t", "(k integer PRIMARY KEY, v json)");
    session_.run("INSERT INTO a.t VALUES (1, '{}'), (2, '{}')");
    session_.run("CREATE TABLE a.other (k integer REFERENCES f.t ON DELETE CASCADE); CREATE TABLE a.parent (k integer PRIMARY KEY); INSERT INTO a.parent VALUES (1), (2)");
    session_.run("ALTER TABLE f.t ADD FOREIGN KEY (k) REFERENCES a.parent ON DELETE CASCADE");
    pair_.activate(session_, Direction::forward);
    EXPECT_EQ(failure(session_, "DELETE FROM a.parent WHERE k = 1"), pg::sqlstate::moved);
    EXPECT_EQ(failure(session_, "BEGIN; DELETE FROM a.parent WHERE k = 1; DELETE FROM a.t WHERE k = 1; COMMIT"), "");
    expect_equal("k, v");
}

// Where no foreign key acts on the follower, whatever writes it is foreign, and nothing has to wait for the commit.
TEST_F(Mirror, ATriggerThatWritesTheFollowerIsRefusedAtOnce) {
    mirror("t", "(k integer PRIMARY KEY, v text)");
    EXPECT_EQ(value(session_, "SELECT count(*) FROM pg_trigger WHERE tgname = 'pgcarve_fence_check'"), "0");
    session_.run("CREATE TABLE a.other (k integer); CREATE FUNCTION a.meddle() RETURNS trigger LANGUAGE plpgsql AS "
                 "'BEGIN INSERT INTO f.t VALUES (NEW.k); RETURN NULL; END'; CREATE TRIGGER meddle AFTER INSERT ON a.other FOR EACH ROW EXECUTE FUNCTION a.meddle()");
    EXPECT_EQ(failure(session_, "INSERT INTO a.other VALUES (1)"), pg::sqlstate::moved);
}

// A key that a BEFORE trigger changes, in an UPDATE that does not name it.
TEST_F(Mirror, AKeyChangedByABeforeTriggerIsFollowed) {
    for (auto const& schema : {"a", "f"})
        session_.run(fmt::format("CREATE TABLE {}.t (k integer PRIMARY KEY, v text)", schema));
    session_.run("CREATE FUNCTION a.bump() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.k := NEW.k + 100; RETURN NEW; END'; "
                 "CREATE TRIGGER bump BEFORE UPDATE ON a.t FOR EACH ROW EXECUTE FUNCTION a.bump()");
    pair_.tables = {"t"};
    pair_.activate(session_, Direction::forward);
    session_.run("INSERT INTO a.t VALUES (1, 'x'), (2, 'y'); UPDATE a.t SET v = 'z'");
    expect_equal("k, v");
    EXPECT_EQ(value(session_, "SELECT string_agg(k::text, ',' ORDER BY k) FROM f.t"), "101,102");
}

TEST_F(Mirror, TruncatingPartitionsAndWhatAnAfterTruncateTriggerWrites) {
    mirror("t", "(k integer PRIMARY KEY, v text)");
    session_.run("CREATE FUNCTION a.refill() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO a.t VALUES (99); RETURN NULL; END'");
    session_.run("CREATE TRIGGER a_refill AFTER TRUNCATE ON a.t EXECUTE FUNCTION a.refill()");
    session_.run("INSERT INTO a.t VALUES (1); TRUNCATE a.t");
    expect_equal("k, v");
    EXPECT_EQ(value(session_, "SELECT count(*) FROM f.t"), "1");
}

TEST_F(Mirror, DriftIsSeen) {
    for (auto const& schema : {"a", "f"})
        session_.run(fmt::format("CREATE TABLE {0}.t (k integer PRIMARY KEY) PARTITION BY RANGE (k); CREATE TABLE {0}.t1 PARTITION OF {0}.t FOR VALUES FROM (0) TO (10)", schema));
    pair_.tables = {"t"};
    pair_.activate(session_, Direction::forward);
    auto const made = pair_.machinery(session_, Direction::forward);
    auto const& [mirror, fence] = made.front();
    auto const found = [&, &m = mirror] { return mirrorgen::drift(m, true, read_installed(session_, m)); };
    EXPECT_EQ(found(), std::vector<std::string>{});
    EXPECT_EQ(mirrorgen::drift(fence, true, read_installed(session_, fence)), std::vector<std::string>{});
    for (auto const& [reverse_mirror, reverse_fence] : pair_.machinery(session_, Direction::reverse)) {
        EXPECT_EQ(mirrorgen::drift(reverse_mirror, false, read_installed(session_, reverse_mirror)), std::vector<std::string>{});
        EXPECT_EQ(mirrorgen::drift(reverse_fence, false, read_installed(session_, reverse_fence)), std::vector<std::string>{});
    }
    auto const one = [&](std::string const& change, std::string const& sentence) {
        session_.run("BEGIN; " + change);
        EXPECT_EQ(found(), std::vector<std::string>{sentence}) << change;
        session_.run("ROLLBACK");
    };
    one("ALTER TABLE a.t1 DISABLE TRIGGER pgcarve_mirror_insert", "trigger pgcarve_mirror_insert on a.t1 is disabled");
    one("DROP TRIGGER pgcarve_mirror_truncate ON a.t", "trigger pgcarve_mirror_truncate on a.t is missing");
    one("ALTER TABLE a.t1 ENABLE TRIGGER pgcarve_mirror_late", "trigger pgcarve_mirror_late on a.t1 is enabled");
    one("ALTER FUNCTION pgcarve.\"pgcarve_a.t_mirror_insert\"() RESET ALL", "function pgcarve.\"pgcarve_a.t_mirror_insert\" was altered");
    session_.run("CREATE TABLE a.t2 PARTITION OF a.t FOR VALUES FROM (10) TO (20)");
    EXPECT_EQ(found().size(), 2U); // the key trigger and the late one
}

TEST_F(Mirror, DropLeavesNothing) {
    mirror("t", "(k integer PRIMARY KEY, v text)");
    for (auto const direction : {Direction::forward, Direction::reverse}) {
        for (auto const& [mirror, fence] : pair_.machinery(session_, direction)) {
            for (auto const* m : {&mirror, &fence}) {
                for (auto const& statement : mirrorgen::drop(*m))
                    session_.run(statement);
            }
        }
    }
    EXPECT_EQ(value(session_, "SELECT (SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal) + (SELECT count(*) FROM pg_proc WHERE pronamespace = 'pgcarve'::regnamespace)"), "0");
}

} // namespace
