// Goal: doctor names what would make a verb fail, and the SQL that it prints mends it.
// Method: break one thing at a time in a database that is otherwise in order, examine it as an
// ordinary role, run the printed SQL as an administrator, examine again.
#include <gtest/gtest.h>

#include <algorithm>

#include <fmt/format.h>

#include "config/parse.hpp"
#include "control/migrations.hpp"
#include "control/store.hpp"
#include "run/doctor/doctor.hpp"
#include "support/server.hpp"

namespace {

using namespace pgcarve;
using model::DoctorFinding;
using model::DoctorLevel;
using sql::Sql;

// A shop whose tables belong to one role, carved by another that has exactly the documented rights.
class Doctor : public testing::Test {
protected:
    explicit Doctor(test::Server& where = test::Server::shared()) : server_{where} {
        auto root = server().connect();
        for (std::string const role : {"doc_owner", "doc_carver", "doc_service", "doc_parent"})
            root.run(fmt::format("DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{0}')"
                                 " THEN CREATE ROLE {0} LOGIN; END IF; END $$",
                                 role));
        root.run("ALTER ROLE doc_carver NOBYPASSRLS NOCREATEROLE; ALTER ROLE doc_service LOGIN;"
                 " GRANT doc_owner, pg_read_all_stats TO doc_carver");
        database_ = server().create_database("doc_owner");
        admin("REVOKE CREATE ON SCHEMA public FROM PUBLIC; GRANT CREATE ON SCHEMA public TO doc_owner");
        admin("GRANT CREATE ON DATABASE " + database_ + " TO doc_carver");
        admin("ALTER DATABASE " + database_ + " SET idle_in_transaction_session_timeout = '5min'");
        owner("CREATE TABLE public.orders (id bigint PRIMARY KEY, note text)");
    }

    test::Server& server() { return server_; }

    void admin(std::string const& sql) { server().connect(database_).run("SET search_path = public; " + sql); }
    void owner(std::string const& sql) { server().connect(database_, "doc_owner").run("SET search_path = public; " + sql); }

    [[nodiscard]] model::DoctorReport examine() {
        std::vector<config::Problem> warnings;
        auto const map = config::parse_or_throw(
            fmt::format("[shared]\ndsn = \"{}\"\n[service.shop]\nschema = \"shop\"\ntables = [{}]\n{}",
                        server().dsn(database_, "doc_carver"), tables_, section_),
            "pgcarve.toml", warnings);
        base::Interrupt interrupt;
        run::Context context{map, interrupt, "tester@here", {}, run::Failpoints{}};
        return run::examine(context, std::nullopt);
    }

    [[nodiscard]] static std::vector<DoctorFinding> found(model::DoctorReport const& report, std::string const& id,
                                                          DoctorLevel at_least = DoctorLevel::advice) {
        std::vector<DoctorFinding> some;
        for (auto const& finding : report.findings) {
            if (finding.id == id && finding.level >= at_least)
                some.push_back(finding);
        }
        return some;
    }

    [[nodiscard]] static std::string told(model::DoctorReport const& report) {
        std::string text;
        for (auto const& f : report.findings)
            text += fmt::format("{} {} {}: {}\n", model::text(f.level), f.id, f.object, f.message);
        return text;
    }

    // Exactly one finding of this kind; its SQL makes it go away.
    DoctorFinding mended(std::string const& id, DoctorLevel level, std::string const& object) {
        auto const before = examine();
        auto const some = found(before, id);
        EXPECT_EQ(some.size(), 1U) << id << "\n" << told(before);
        if (some.size() != 1)
            return {};
        EXPECT_EQ(some[0].level, level) << some[0].message;
        EXPECT_EQ(some[0].object, object);
        EXPECT_FALSE(some[0].sql.empty()) << some[0].message;
        auto session = server().connect(database_);
        for (auto const& statement : some[0].sql)
            EXPECT_NO_THROW(session.run(statement)) << statement;
        auto const after = examine();
        EXPECT_TRUE(found(after, id).empty()) << told(after);
        return some[0];
    }

    void initialise() {
        auto session = server().connect(database_, "doc_carver");
        control::migrate(session, control::embedded_migrations());
    }

    test::Server& server_;
    std::string database_;
    std::string tables_ = "\"orders\"";
    std::string section_;
};

TEST_F(Doctor, FindsNothingWrongWhereEverythingIsInOrder) {
    initialise();
    section_ = "role = \"doc_service\"\n";
    auto const report = examine();
    EXPECT_LE(report.worst(), DoctorLevel::advice) << told(report);
    EXPECT_EQ(run::exit_of(report), base::Exit::done);
    // How much room the copy needs is said in any case.
    ASSERT_EQ(found(report, "disk").size(), 1U);
    EXPECT_EQ(found(report, "disk")[0].level, DoctorLevel::advice);
}

TEST_F(Doctor, WorksBeforeInitAndMakesNothing) {
    auto const report = examine();
    ASSERT_EQ(found(report, "control-schema").size(), 1U) << told(report);
    EXPECT_EQ(found(report, "control-schema")[0].hint, "pgcarve init");
    EXPECT_EQ(run::exit_of(report), base::Exit::findings);
    EXPECT_TRUE(server().connect(database_).query(Sql{"SELECT FROM pg_namespace WHERE nspname = 'pgcarve'"}).empty());
}

TEST_F(Doctor, SaysThatAControlSchemaIsNewerOrNotOurs) {
    initialise();
    admin("INSERT INTO pgcarve.migration (version, name, checksum) VALUES (9999, 'later', 'x')");
    auto report = examine();
    EXPECT_EQ(found(report, "control-newer").size(), 1U) << told(report);
    admin("DROP SCHEMA pgcarve CASCADE; CREATE SCHEMA pgcarve");
    report = examine();
    ASSERT_EQ(found(report, "control-schema").size(), 1U) << told(report);
    EXPECT_NE(found(report, "control-schema")[0].message.find("not pgcarve's"), std::string::npos);
}

TEST_F(Doctor, NamesAControlSchemaOfAnotherRole) {
    auto session = server().connect(database_);
    control::migrate(session, control::embedded_migrations());
    admin("ALTER SCHEMA pgcarve OWNER TO doc_service");
    for (auto const row : session.query(Sql{"SELECT tablename FROM pg_tables WHERE schemaname = 'pgcarve'"}))
        admin("ALTER TABLE pgcarve." + row.text("tablename") + " OWNER TO doc_service");
    mended("control-schema", DoctorLevel::problem, "doc_carver");
    admin("REVOKE doc_service FROM doc_carver");
}

// ---- keys

TEST_F(Doctor, MakesAKeyOfAUniqueIndexWithNullableColumns) {
    owner("CREATE TABLE pairs (a int, \"B b\" int NOT NULL, UNIQUE (a, \"B b\"))");
    tables_ = "\"pairs\"";
    auto const finding = mended("table-key", DoctorLevel::problem, "public.pairs");
    EXPECT_NE(finding.hint.find("pairs_a_B b_key"), std::string::npos) << finding.hint;
}

TEST_F(Doctor, MakesAKeyOfAnIdColumn) {
    owner("CREATE TABLE logs (id int NOT NULL, line text); INSERT INTO logs VALUES (1, 'a'), (2, 'b')");
    tables_ = "\"logs\"";
    mended("table-key", DoctorLevel::problem, "public.logs");
}

TEST_F(Doctor, AddsAColumnWhereNothingIdentifiesARow) {
    owner("CREATE TABLE \"Log Lines\" (line text, row_id int); INSERT INTO \"Log Lines\" VALUES ('a'), ('a')");
    tables_ = "\"Log Lines\"";
    mended("table-key", DoctorLevel::problem, "public.\"Log Lines\"");
}

TEST_F(Doctor, MakesAKeyOfAPartitionedTable) {
    owner("CREATE TABLE days (id int NOT NULL, day date) PARTITION BY RANGE (day);"
          " CREATE TABLE days_1 PARTITION OF days FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')");
    tables_ = "\"days\"";
    mended("table-key", DoctorLevel::problem, "public.days");
}

TEST_F(Doctor, AdvisesAnImmediateKeyBesideADeferrableOne) {
    owner("CREATE TABLE seats (id int PRIMARY KEY DEFERRABLE)");
    tables_ = "\"seats\"";
    mended("deferrable-key", DoctorLevel::advice, "public.seats");
}

TEST_F(Doctor, MendsAnIndexThatWasLeftInvalid) {
    owner("CREATE TABLE dup (id int PRIMARY KEY, v int); INSERT INTO dup VALUES (1, 1), (2, 1)");
    auto session = server().connect(database_, "doc_owner");
    EXPECT_THROW(session.run("CREATE UNIQUE INDEX CONCURRENTLY dup_v ON public.dup (v)"), pg::SqlError);
    owner("UPDATE dup SET v = id");
    tables_ = "\"dup\"";
    mended("invalid-index", DoctorLevel::problem, "public.dup_v");
}

// ---- shapes and the target's place

TEST_F(Doctor, ListsEveryProblemOfTheBoundaryMapAtOnce) {
    tables_ = "\"orders\", \"ordres\", \"zz_*\"";
    auto const report = examine();
    auto const some = found(report, "boundary-map", DoctorLevel::problem);
    ASSERT_EQ(some.size(), 2U) << told(report);
    EXPECT_NE(some[0].message.find("did you mean"), std::string::npos) << some[0].message;
    EXPECT_NE(some[0].object.find("pgcarve.toml:"), std::string::npos) << some[0].object;
}

TEST_F(Doctor, NamesWhatCannotBeCarried) {
    owner("CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child () INHERITS (parent);"
          " CREATE TABLE ruled (id int PRIMARY KEY); CREATE RULE no AS ON DELETE TO ruled DO INSTEAD NOTHING");
    tables_ = "\"parent\", \"ruled\"";
    auto const report = examine();
    auto const some = found(report, "table-shape", DoctorLevel::problem);
    ASSERT_EQ(some.size(), 2U) << told(report);
    EXPECT_EQ(some[0].object, "public.parent");
    EXPECT_EQ(some[1].object, "public.ruled");
}

TEST_F(Doctor, MovesATableOutOfTheTargetsPlace) {
    admin("CREATE SCHEMA shop AUTHORIZATION doc_owner");
    auto session = server().connect(database_, "doc_owner");
    session.run("CREATE TABLE shop.orders (id int)");
    EXPECT_EQ(mended("target-taken", DoctorLevel::problem, "shop.orders").sql, std::vector<std::string>{"DROP TABLE \"shop\".\"orders\";"});
    session.run("CREATE TABLE shop.orders AS SELECT 7 AS id");
    mended("target-taken", DoctorLevel::problem, "shop.orders");
    EXPECT_EQ(session.one(Sql{"SELECT id FROM shop.orders_before_pgcarve"}).integer("id"), 7); // no row was lost
    EXPECT_EQ(found(examine(), "target-schema").size(), 1U);
}

TEST_F(Doctor, RemovesWhatAnotherLifeLeftBehind) {
    initialise();
    admin("CREATE FUNCTION pgcarve.old_mirror() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;"
          " CREATE TRIGGER left_a AFTER INSERT ON public.orders FOR EACH STATEMENT EXECUTE FUNCTION pgcarve.old_mirror();"
          " CREATE TRIGGER left_b AFTER DELETE ON public.orders FOR EACH STATEMENT EXECUTE FUNCTION pgcarve.old_mirror()");
    auto const finding = mended("leftover", DoctorLevel::problem, "public.orders");
    EXPECT_EQ(finding.sql.size(), 3U);
}

// ---- rights

TEST_F(Doctor, GrantsCreateOnTheDatabase) {
    admin("REVOKE CREATE ON DATABASE " + database_ + " FROM doc_carver");
    admin("ALTER DATABASE " + database_ + " OWNER TO postgres"); // an owner's member may do what the owner may
    auto const finding = mended("create-on-database", DoctorLevel::problem, "doc_carver");
    EXPECT_NE(finding.message.find("pgcarve (`init`), shop (`split shop`)"), std::string::npos) << finding.message;
}

TEST_F(Doctor, GrantsTheOwnersRole) {
    admin("REVOKE doc_owner FROM doc_carver; GRANT USAGE ON SCHEMA public TO doc_carver");
    auto const finding = mended("owner", DoctorLevel::problem, "doc_owner");
    EXPECT_NE(finding.message.find("public.orders"), std::string::npos) << finding.message;
}

TEST_F(Doctor, GrantsReferencesOnTheParentOfACrossingKey) {
    admin("CREATE TABLE people (id int PRIMARY KEY); ALTER TABLE people OWNER TO doc_parent;"
          " GRANT REFERENCES ON people TO doc_owner");
    owner("ALTER TABLE orders ADD COLUMN person int REFERENCES people");
    EXPECT_TRUE(found(examine(), "references").empty()); // a member of doc_owner has its rights
    admin("REVOKE REFERENCES ON people FROM doc_owner");
    mended("references", DoctorLevel::problem, "public.people");
}

TEST_F(Doctor, NamesTheOwnersOfWhatCompleteMovesOver) {
    admin("CREATE TABLE lines (id int PRIMARY KEY, order_id bigint REFERENCES orders); ALTER TABLE lines OWNER TO doc_parent");
    mended("owner-of-dependant", DoctorLevel::problem, "doc_parent");
    admin("REVOKE doc_parent FROM doc_carver");
}

TEST_F(Doctor, GrantsUseOfSchemasTypesAndFunctions) {
    admin("ALTER DATABASE " + database_ + " OWNER TO postgres"); // an owner's members own schema public too
    admin("REVOKE ALL ON SCHEMA public FROM PUBLIC; GRANT USAGE, CREATE ON SCHEMA public TO doc_owner;"
          " CREATE TYPE mood AS ENUM ('good'); GRANT USAGE ON TYPE mood TO doc_parent; REVOKE USAGE ON TYPE mood FROM PUBLIC;"
          " CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;"
          " ALTER TABLE orders ADD COLUMN mood mood;"
          " CREATE TRIGGER touch BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION touch();"
          " REVOKE EXECUTE ON FUNCTION touch() FROM PUBLIC");
    mended("usage-on-type", DoctorLevel::problem, "doc_carver");
    mended("execute-on-function", DoctorLevel::problem, "doc_carver");
    admin("REVOKE USAGE ON SCHEMA public FROM doc_owner");
    mended("usage-on-schema", DoctorLevel::problem, "doc_carver");
}

TEST_F(Doctor, AsksForBypassRlsOnlyWhereItIsForced) {
    owner("ALTER TABLE orders ENABLE ROW LEVEL SECURITY");
    EXPECT_TRUE(found(examine(), "bypass-rls").empty());
    owner("ALTER TABLE orders FORCE ROW LEVEL SECURITY");
    mended("bypass-rls", DoctorLevel::problem, "public.orders");
}

TEST_F(Doctor, AsksForTheRightToSeeOtherSessions) {
    admin("REVOKE pg_read_all_stats FROM doc_carver");
    mended("pg-read-all-stats", DoctorLevel::advice, "doc_carver");
}

TEST_F(Doctor, AsksForTheServicesRole) {
    section_ = "role = \"Doc Missing\"\n";
    mended("service-role", DoctorLevel::problem, "\"Doc Missing\"");
    admin("DROP ROLE \"Doc Missing\"");
    section_ += "create_role = true\n";
    mended("create-role", DoctorLevel::problem, "doc_carver");
    admin("ALTER ROLE \"Doc Missing\" NOLOGIN");
    mended("service-role", DoctorLevel::advice, "\"Doc Missing\"");
    admin("DROP ROLE \"Doc Missing\"");
}

TEST_F(Doctor, AsksForTheOwnersRightsInASchemaThatIsThere) {
    admin("CREATE SCHEMA shop; GRANT USAGE ON SCHEMA shop TO doc_owner; GRANT CREATE ON SCHEMA shop TO doc_carver");
    mended("create-on-schema", DoctorLevel::problem, "doc_owner");
    // The schema's owner is a superuser, which nobody should be made a member of.
    EXPECT_EQ(mended("owner", DoctorLevel::problem, "postgres").sql,
              std::vector<std::string>{"ALTER SCHEMA \"shop\" OWNER TO \"doc_carver\";"});
}

// ---- sessions

TEST_F(Doctor, FindsRolesWhoseTriggersDoNotFire) {
    admin("ALTER ROLE doc_service SET session_replication_role = replica");
    mended("session-replication-role", DoctorLevel::problem, "doc_service");
    admin("ALTER ROLE doc_service IN DATABASE " + database_ + " SET session_replication_role = local");
    mended("session-replication-role", DoctorLevel::problem, "doc_service");
    admin("ALTER DATABASE " + database_ + " SET session_replication_role = replica");
    mended("session-replication-role", DoctorLevel::problem, "every role");
}

TEST_F(Doctor, ShowsPreparedTransactionsByWhatTheyHold) {
    auto const prepare = [&](std::string const& statement, std::string const& gid) {
        auto session = server().connect(database_, "doc_owner");
        session.run("BEGIN; SET search_path = public; " + statement + "; PREPARE TRANSACTION " + sql::literal(gid));
    };
    owner("CREATE TABLE other (id int)");
    prepare("INSERT INTO other VALUES (1)", "far 'away'");
    mended("prepared-transaction", DoctorLevel::advice, "'far ''away'''");
    prepare("INSERT INTO orders VALUES (1)", "near");
    mended("prepared-transaction", DoctorLevel::problem, "'near'");
}

TEST_F(Doctor, ShowsOldTransactionsByWhatTheyHold) {
    section_ = "max_transaction_age = \"1ms\"\n";
    auto session = server().connect(database_, "doc_owner");
    pg::Transaction transaction{session};
    session.query(Sql{"SELECT count(*) FROM public.orders"});
    ASSERT_TRUE(test::wait_until([&] { return found(examine(), "transaction").size() == 1; }));
    EXPECT_EQ(found(examine(), "transaction")[0].level, DoctorLevel::advice);
    session.query(Sql{"INSERT INTO public.orders VALUES (1)"});
    auto const some = found(examine(), "transaction");
    ASSERT_EQ(some.size(), 1U);
    EXPECT_EQ(some[0].level, DoctorLevel::problem);
    server().connect(database_).run(some[0].sql.at(0));
    EXPECT_TRUE(test::wait_until([&] { return found(examine(), "transaction").empty(); }));
}

// ---- half-done verbs

TEST_F(Doctor, SaysWhatStandsAfterAVerbThatWasKilled) {
    initialise();
    auto session = server().connect(database_, "doc_carver");
    control::Store store{session};
    {
        control::Lease const lease{{.dsn = server().dsn(database_, "doc_carver"), .purpose = "lease"}, "shop", "split", "ada@desk"};
        model::Plan plan{.service = "shop", .verb = "split"};
        plan.steps = {{.id = "schema", .why = "the schema"}, {.id = "table:orders", .why = "the copy of orders"}, {.id = "end"}};
        pg::Transaction transaction{session};
        auto attempt = store.begin_attempt(lease, plan);
        store.step_done(lease, attempt, "schema");
        transaction.commit();
        auto const report = examine(); // while it runs
        EXPECT_TRUE(found(report, "unfinished-step").empty()) << told(report);
        ASSERT_EQ(found(report, "running").size(), 1U) << told(report);
        EXPECT_NE(found(report, "running")[0].message.find("ada@desk"), std::string::npos);
    }
    auto const report = examine();
    auto const some = found(report, "unfinished-step");
    ASSERT_EQ(some.size(), 1U) << told(report);
    EXPECT_EQ(some[0].level, DoctorLevel::decision);
    EXPECT_NE(some[0].message.find("1 of its 3 steps stand: schema; next: table:orders (the copy of orders)"), std::string::npos)
        << some[0].message;
    EXPECT_NE(some[0].hint.find("pgcarve split shop"), std::string::npos);
    EXPECT_NE(some[0].hint.find("pgcarve cancel shop"), std::string::npos);
    EXPECT_EQ(run::exit_of(report), base::Exit::needs_decision);
}

TEST_F(Doctor, KnowsServicesThatTheMapHasForgotten) {
    initialise();
    admin("INSERT INTO pgcarve.service (name, phase) VALUES ('gone', 'dual_writing'), ('over', 'completed')");
    auto const some = found(examine(), "unknown-service");
    ASSERT_EQ(some.size(), 1U);
    EXPECT_EQ(some[0].object, "gone");
}

// ---- settings of the server

class DoctorOfASmallServer : public Doctor {
protected:
    DoctorOfASmallServer() : Doctor{small_server()} {}

private:
    static test::Server& small_server() {
        static test::Server small{{.settings = {"max_locks_per_transaction = 10", "max_connections = 20", "max_prepared_transactions = 0",
                                                "wal_level = replica", "deadlock_timeout = '200ms'", "lock_timeout = '50ms'"}}};
        return small;
    }
};

TEST_F(DoctorOfASmallServer, FindsSettingsThatMatter) {
    admin("SET lock_timeout = 0; CREATE TABLE days (id int, day int, PRIMARY KEY (id, day)) PARTITION BY LIST (day);"
          " ALTER TABLE days OWNER TO doc_owner");
    for (int day = 0; day < 40; ++day)
        admin(fmt::format("CREATE TABLE days_{0} PARTITION OF days FOR VALUES IN ({0}); ALTER TABLE days_{0} OWNER TO doc_owner", day));
    tables_ = "\"days\"";
    section_ = fmt::format("[service.shop.database]\ndsn = \"dbname=elsewhere\"\nschema = \"shop\"\n");
    auto const report = examine();
    auto const locks = found(report, "max-locks");
    ASSERT_EQ(locks.size(), 1U) << told(report);
    EXPECT_EQ(locks[0].sql, std::vector<std::string>{"ALTER SYSTEM SET max_locks_per_transaction = 64;"}); // 123 locks, 20 sessions
    EXPECT_EQ(found(report, "deadlock-timeout").size(), 1U) << told(report);
    EXPECT_EQ(found(report, "lock-timeout").size(), 1U) << told(report);
    EXPECT_EQ(found(report, "wal-level").size(), 1U) << told(report);
    EXPECT_EQ(found(report, "wal-level", DoctorLevel::problem).size(), 0U) << told(report);
}

} // namespace
