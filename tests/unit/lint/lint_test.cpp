// Goal: what is known from the rest of the change set decides, every statement is accounted for, and what
// somebody answered for is neither told nor forgotten. Method: whole files in, rules and positions out.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include "judge.hpp"

namespace {

using namespace pgcarve;
using test::judge;
using test::judge_locks;
using test::Setting;
using Rules = std::vector<std::string>;

std::string first_position(test::Judged const& judged) {
    if (judged.report.findings.empty())
        return "none";
    auto const& f = judged.report.findings[0];
    return fmt::format("{}:{}-{}:{}", f.from.line, f.from.column, f.to.line, f.to.column);
}

TEST(Positions, PointAtTheCommand) {
    EXPECT_EQ(first_position(
                  judge_locks("-- é\nALTER TABLE t\n  ADD COLUMN é text,\n  ALTER COLUMN b SET NOT NULL;")),
              "4:3-4:30");
    EXPECT_EQ(first_position(judge_locks("ALTER TABLE ONLY s.t ADD COLUMN a int, DROP COLUMN b CASCADE;")),
              "1:40-1:61");
    EXPECT_EQ(first_position(judge_locks(
                  "DO $$\nBEGIN\n  IF true THEN\n    CREATE INDEX i ON t (a);\n  END IF;\nEND $$;")),
              "4:5-4:28");
    EXPECT_EQ(first_position(judge_locks("\xEF\xBB\xBF"
                                         "CREATE INDEX i\r\n ON t (a);")),
              "1:1-2:10");
}

TEST(Gaps, AreToldWithTheirPosition) {
    auto const judged = judge("SELECT 1;\nALTER TABLE {{ table }} ADD a int;\nSELECT 2;");
    ASSERT_EQ(judged.report.gaps.size(), 1U);
    EXPECT_EQ(judged.report.gaps[0].from.line, 2);
    EXPECT_EQ(judged.report.gaps[0].from.column, 13);
    EXPECT_EQ(judged.report.coverage.statements, 3);
    EXPECT_EQ(judged.report.coverage.not_analysed, 1);
    EXPECT_EQ(judge("-- pgcarve:ignore not_analysed looked at by hand\nMAKE TABLE t;").report.gaps.size(),
              0U);
    EXPECT_EQ(judge("CREATE FUNCTION f() RETURNS int LANGUAGE plpython3u AS 'return 1'")
                  .report.coverage.not_analysed,
              1);
    EXPECT_EQ(judge("SELECT 1;\n/* off for now\nDROP TABLE t;").report.coverage.not_analysed, 1) << "a server refuses it";
    EXPECT_EQ(judge("/* /* */ DROP TABLE t;").report.coverage.not_analysed, 1);
    EXPECT_EQ(judge("DO LANGUAGE plpgsql 'BEGIN nonsense'").report.coverage.not_analysed, 1);
    EXPECT_EQ(judge("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELEC 1'").report.coverage.not_analysed,
              1);
}

TEST(NewTables, NeedNoCare) {
    EXPECT_EQ(judge("CREATE TABLE t (a int); CREATE INDEX ON public.t (a); ALTER TABLE t ADD CHECK (a > 0); "
                    "DROP TABLE t;")
                  .rules(),
              Rules{});
    EXPECT_EQ(
        judge_locks("CREATE TABLE t (a int); ALTER TABLE t RENAME TO u; CREATE INDEX ON u (a);").rules(),
        Rules{});
    EXPECT_EQ(judge_locks("CREATE TABLE s.t (a int); CREATE INDEX ON t (a);").rules(), Rules{"L12"})
        << "another schema's";
    EXPECT_EQ(judge_locks("SET search_path = s; CREATE TABLE t (a int); CREATE INDEX ON s.t (a);").rules(),
              Rules{});
    EXPECT_EQ(judge_locks("DO $$ BEGIN CREATE TABLE t (a int); END $$; CREATE INDEX ON t (a);").rules(),
              Rules{});
    EXPECT_EQ(judge_locks("CREATE TABLE IF NOT EXISTS t (a int); CREATE INDEX ON t (a);",
                          {.schema = "CREATE TABLE t (a int);"})
                  .rules(),
              Rules{"L12"})
        << "it was there before";
}

TEST(NewTables, EarlierFilesCount) {
    lint::Input input;
    input.files = {{"1.sql", "CREATE TABLE t (a int);"}, {"2.sql", "CREATE INDEX ON t (a);"}};
    EXPECT_TRUE(lint::lint(input).findings.empty());
}

TEST(Schema, SettlesWhatDependsOnTypes) {
    Setting const known{.schema = "CREATE TABLE t (a varchar(10), n int NOT NULL, at timestamp);"};
    EXPECT_EQ(judge_locks("ALTER TABLE t ALTER a TYPE varchar(20)", known).rules(), Rules{});
    EXPECT_EQ(judge_locks("ALTER TABLE t ALTER a TYPE varchar(5)", known).rules(), Rules{"L06"});
    auto const unknown = judge_locks("ALTER TABLE t ALTER a TYPE varchar(20)");
    ASSERT_EQ(unknown.rules(), Rules{"L06"});
    EXPECT_EQ(unknown.report.findings[0].severity, model::Severity::warning) << "it may be harmless";
    EXPECT_EQ(judge_locks("ALTER TABLE t ALTER at TYPE timestamptz", known).rules(), Rules{"L06"});
    EXPECT_EQ(
        judge_locks("SET LOCAL timezone = 'UTC'; ALTER TABLE t ALTER at TYPE timestamptz", known).rules(),
        Rules{"L06"})
        << "SET LOCAL outside a transaction does nothing";
    EXPECT_EQ(judge_locks("ALTER TABLE t ALTER n SET NOT NULL", known).rules(), Rules{});
}

TEST(Schema, KnowsATypeThatWasReplacedUnderItsName) {
    EXPECT_EQ(judge_locks("ALTER TYPE mood RENAME TO mood_old; CREATE TYPE mood AS ENUM ('a'); "
                          "ALTER TABLE t ALTER m TYPE mood USING m::text::mood;",
                          {.schema = "CREATE TYPE mood AS ENUM ('a', 'b'); CREATE TABLE t (m mood);"})
                  .rules(),
              Rules{"L06"});
}

TEST(Transactions, FollowTheRunner) {
    std::string const concurrently = "CREATE INDEX CONCURRENTLY i ON t (a);";
    auto const with = [&](lint::Runner runner, std::string const& sql) {
        Setting setting;
        setting.options.runner = runner;
        return judge_locks(sql, setting).rules();
    };
    using enum lint::Runner;
    for (auto const runner : {plain, sqitch, flyway})
        EXPECT_EQ(with(runner, concurrently), Rules{});
    for (auto const runner : {alembic, django, rails, diesel, goose, atlas})
        EXPECT_EQ(with(runner, concurrently), Rules{"L15"});
    EXPECT_EQ(with(flyway, "CREATE TABLE n (a int); " + concurrently), Rules{"L15"})
        << "Flyway refuses a mixture";
    EXPECT_EQ(with(goose, "-- +goose NO TRANSACTION\n-- +goose Up\n" + concurrently), Rules{});
    EXPECT_EQ(with(goose, "-- +goose Up\nSELECT 1;\n-- +goose Down\nDROP TABLE t;"), Rules{})
        << "the way back is not run";
    EXPECT_EQ(with(atlas, "-- atlas:txmode none\n" + concurrently), Rules{});
    EXPECT_EQ(with(alembic, "BEGIN;\nSELECT 1;\nCOMMIT;\n" + concurrently), Rules{}) << "autocommit_block";
    EXPECT_EQ(with(django, "--\n-- Concurrently create index\n--\n" + concurrently), Rules{});
    lint::Input input;
    input.files = {{"m.sql", concurrently, true}};
    input.options.runner = diesel;
    EXPECT_TRUE(lint::lint(input).findings.empty()) << "metadata.toml says so";
}

TEST(LockTimeout, IsToldOnceAndOnlyWhereALockBlocks) {
    EXPECT_EQ(judge("ALTER TABLE a ADD x int; ALTER TABLE b ADD x int;").rules(), Rules{"L20"});
    EXPECT_EQ(
        judge("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE TABLE t (a int); SELECT 1;")
            .rules(),
        Rules{});
    EXPECT_EQ(
        judge(
            "BEGIN; SET LOCAL lock_timeout = '1s'; ALTER TABLE a ADD x int; COMMIT; ALTER TABLE b ADD x int;")
            .rules(),
        Rules{"L20"});
    EXPECT_EQ(
        judge("BEGIN; SET lock_timeout = '1s'; ALTER TABLE a ADD x int; COMMIT; ALTER TABLE b ADD x int;")
            .rules(),
        Rules{});
}

TEST(Ignores, CoverTheNextStatement) {
    std::string const drop = "DROP TABLE t;\n";
    EXPECT_EQ(judge_locks("-- pgcarve:ignore C01 unused since May\n" + drop).rules(), Rules{});
    EXPECT_EQ(judge_locks("-- pgcarve:ignore C01 unused since May\n" + drop + "DROP TABLE u;").rules(),
              Rules{"C01"});
    EXPECT_EQ(judge_locks("DROP /* pgcarve:ignore drop-table,L12 unused */ TABLE t;").rules(), (Rules{"A01"}));
    EXPECT_EQ(judge_locks("DROP /* pgcarve:ignore drop-table,L20 unused */ TABLE t;").rules(), Rules{}) << "L20 is off here";
    EXPECT_EQ(judge_locks("-- pgcarve:ignore-file C01 all unused\n" + drop + "DROP TABLE u;").rules(),
              Rules{});
    EXPECT_EQ(judge_locks("-- pgcarve:ignore C01 until May until 2026-11-22\n" + drop).rules(), Rules{})
        << "the last day counts";
}

TEST(Ignores, AreToldWhenTheyMeanNothing) {
    EXPECT_EQ(judge_locks("-- pgcarve:ignore C01 unused\nSELECT 1;").rules(), Rules{"A01"});
    EXPECT_EQ(judge_locks("-- pgcarve:ignore C01 unused until 2026-11-21\nDROP TABLE t;").rules(),
              (Rules{"A02", "C01"}));
    for (auto const* const bad : {"-- pgcarve:ignore", "-- pgcarve:ignore C99 x", "-- pgcarve:ignore C01",
                                  "-- pgcarve:ignre C01 x", "-- pgcarve:ignore C01 x until 2026-13-01"})
        EXPECT_TRUE(judge_locks(std::string{bad} + "\nDROP TABLE t;").has("A03")) << bad;
}

TEST(Accepted, CoversOneFindingUpToADay) {
    auto const with = [](std::string const& until, std::string const& object) {
        return std::string{lint::example_config()} +
               "[[lint.accept]]\nrule = \"B01\"\nfile = \"*.sql\"\nobject = \"" + object +
               "\"\nowner = \"team\"\nreason = \"soon\"\nuntil = \"" + until + "\"\n";
    };
    std::string const crossing =
        "ALTER TABLE orders ADD FOREIGN KEY (customer_id) REFERENCES customers NOT VALID;";
    EXPECT_EQ(judge_locks(crossing, {.config = with("2026-11-22", "*orders.customer_id*")}).rules(), Rules{});
    EXPECT_EQ(judge_locks(crossing, {.config = with("2026-11-21", "*orders.customer_id*")}).rules(),
              (Rules{"B01", "A05"}));
    EXPECT_EQ(judge_locks(crossing, {.config = with("2027-11-21", "*orders.other*")}).rules(),
              (Rules{"B01", "A04"}));
    EXPECT_EQ(judge_locks(crossing, {.config = with("2027-11-21", "*"), .file = "deep/m.sql"}).rules(),
              Rules{"B01"})
        << "another folder's file, which was not looked at";
    auto const kept = std::string{lint::example_config()} +
                      "[service.checkout.foreign_keys]\n\"orders.customer_id -> customers\" = \"keep\"\n";
    EXPECT_EQ(judge_locks("ALTER TABLE orders ADD FOREIGN KEY (customer_id) REFERENCES customers NOT VALID;",
                          {.config = kept})
                  .rules(),
              Rules{});
}

TEST(Baseline, KnowsAFindingWhereverItMoves) {
    auto const before = judge_locks("DROP TABLE t;");
    ASSERT_EQ(before.report.findings.size(), 1U);
    auto const& known = before.report.findings[0];
    Setting setting;
    setting.baseline = lint::Baseline{{{known.rule, known.file, known.fingerprint}}};
    EXPECT_EQ(judge_locks("SELECT 1;\n\n drop   TABLE /* x */ t;", setting).rules(), Rules{});
    EXPECT_EQ(judge_locks("DROP TABLE t; DROP TABLE t;", setting).rules(), Rules{"C01"})
        << "the second one is new";
    EXPECT_EQ(judge_locks("SELECT 1;", setting).rules(), Rules{"A06"});
}

TEST(Boundary, IsOffWithoutAMap) {
    EXPECT_EQ(judge_locks("GRANT SELECT ON customers TO checkout_app;").rules(), Rules{});
    EXPECT_FALSE(judge_locks("SELECT 1").report.boundary);
}

TEST(Boundary, KnowsWhatIsNoTable) {
    Setting const setting{.config = std::string{lint::example_config()}};
    EXPECT_EQ(
        judge_locks("CREATE VIEW order_w AS WITH customers AS (SELECT 1 AS id) SELECT id FROM customers;",
                    setting)
            .rules(),
        Rules{})
        << "a CTE";
    EXPECT_EQ(
        judge_locks("UPDATE orders SET state = 'x' FROM pg_class WHERE relname = note;", setting).rules(),
        Rules{});
    EXPECT_EQ(judge_locks("INSERT INTO crm.t SELECT * FROM crm.u;", setting).rules(), Rules{});
    EXPECT_EQ(judge_locks("ALTER TABLE order_lines ADD COLUMN c text DEFAULT crm.f();", setting).rules(),
              (Rules{"L01", "B05"}));
}

TEST(Severity, IsTheTeamsToSay) {
    Setting setting;
    setting.options.severity = {{"C01", model::Severity::off}, {"L20", model::Severity::error}};
    auto const judged = judge("DROP TABLE t;", setting);
    ASSERT_EQ(judged.rules(), Rules{"L20"});
    EXPECT_EQ(judged.report.findings[0].severity, model::Severity::error);
}

test::Setting hygiene() {
    test::Setting setting;
    for (auto const* const rule : lint::find_rules("H"))
        setting.options.severity[rule->about.id] = model::Severity::warning;
    return setting;
}

TEST(Hygiene, IsOffUnlessAskedFor) {
    auto const* const sql = "CREATE TABLE \"T\" (id serial, note varchar(5), at timestamp);";
    EXPECT_EQ(judge(sql).rules(), Rules{});
    EXPECT_EQ(judge(sql, hygiene()).rules(), (Rules{"H01", "H03", "H04", "H05", "H07", "H09", "H10"}));
    for (auto const* const rule : lint::all_rules())
        EXPECT_TRUE(rule->about.id[0] != 'H' || rule->about.severity == model::Severity::off) << rule->about.id;
    EXPECT_TRUE(lint::find_rules("Z").empty());
    EXPECT_TRUE(lint::find_rules("").empty());
    EXPECT_EQ(lint::find_rules("H01"), lint::find_rules("prefer-text"));
}

TEST(Hygiene, WhatWasAskedForCountsOverFolders) {
    auto setting = hygiene();
    setting.options.folders.push_back({"**", {{"H06", model::Severity::off}}});
    auto const* const sql = "BEGIN; CREATE TABLE t (id bigint PRIMARY KEY, a json); COMMIT;";
    EXPECT_EQ(judge(sql, setting).rules(), Rules{});
    setting.options.asked["H06"] = model::Severity::error;
    auto const judged = judge(sql, setting);
    ASSERT_EQ(judged.rules(), Rules{"H06"});
    EXPECT_EQ(judged.report.findings[0].severity, model::Severity::error);
}

TEST(Hygiene, WhatIsOffLeavesItsAnswersAlone) {
    auto const* const sql = "-- pgcarve:ignore H06,L26 kept as it was written\nCREATE TABLE IF NOT EXISTS t (id bigint PRIMARY KEY, a json);";
    EXPECT_EQ(judge(sql).rules(), Rules{}) << "both are off";
    EXPECT_EQ(judge(sql, hygiene()).rules(), Rules{}) << "used";
    auto const* const none = "-- pgcarve:ignore H06 no longer\nCREATE TABLE IF NOT EXISTS t (id bigint PRIMARY KEY);";
    EXPECT_EQ(judge(none).rules(), Rules{});
    EXPECT_EQ(judge(none, hygiene()).rules(), Rules{"A01"});
    test::Setting setting;
    setting.baseline.emplace();
    setting.baseline->entries.push_back({"H06", "m.sql", "gone"});
    EXPECT_EQ(judge("SELECT 1;", setting).rules(), Rules{});
    auto on = hygiene();
    on.baseline = setting.baseline;
    EXPECT_EQ(judge("SELECT 1;", on).rules(), Rules{"A06"});
}

TEST(Hygiene, LooksAtTheWholeFile) {
    EXPECT_EQ(judge("BEGIN; CREATE TABLE a (id bigint); CREATE TABLE b (id bigint, a_id bigint);"
                    "ALTER TABLE ONLY a ADD CONSTRAINT a_pkey PRIMARY KEY (id); ALTER TABLE ONLY b ADD CONSTRAINT b_pkey PRIMARY KEY (id);"
                    "ALTER TABLE ONLY b ADD CONSTRAINT b_a FOREIGN KEY (a_id) REFERENCES a (id); CREATE INDEX b_a_id ON b (a_id); COMMIT;",
                    hygiene())
                  .rules(),
              Rules{})
        << "as pg_dump writes it";
}

} // namespace
