// Goal: sync rules find the tables that a sync has whatever way a file names them, say the order in which to do it, and
// take nothing for granted; what a scratch server showed is held against the findings as it should be.
// Method: judge texts with made states and made observations.
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "judge.hpp"
#include "lint/catalog_text.hpp"
#include "lint/proof.hpp"

namespace {

using namespace pgcarve;

test::Setting with_sync() {
    test::Setting setting;
    setting.sync = lint::example_sync();
    return setting;
}

TEST(Sync, NamesAreResolvedAndTheOrderIsTold) {
    auto const judged = test::judge("ALTER TABLE ONLY public.orders ADD COLUMN \"Kind\" varchar(3) DEFAULT 'a, b';", with_sync());
    ASSERT_TRUE(judged.has("S01")) << judged.all();
    for (auto const& finding : judged.report.findings) {
        if (finding.rule != "S01")
            continue;
        EXPECT_NE(finding.fix.find("1. ALTER TABLE \"checkout\".\"orders\" ADD COLUMN \"Kind\" varchar(3) DEFAULT 'a, b'"), std::string::npos) << finding.fix;
        EXPECT_NE(finding.fix.find("3. at once pgcarve split checkout"), std::string::npos) << finding.fix;
        EXPECT_EQ(finding.object, "public.orders.Kind");
    }
    EXPECT_FALSE(test::judge("ALTER TABLE other.orders ADD COLUMN kind text;", with_sync()).has("S01"));
    EXPECT_TRUE(test::judge("SET search_path = checkout; ALTER TABLE orders DROP COLUMN note;", with_sync()).has("S04"));
    EXPECT_TRUE(test::judge("DO $$ BEGIN ALTER TABLE orders DROP COLUMN note; END $$;", with_sync()).has("S04"));
    EXPECT_FALSE(test::judge("ALTER TABLE orders DROP COLUMN note;").has("S04")) << "nothing is known of syncs";
    EXPECT_EQ(test::judge("-- pgcarve:ignore S01 not here\nALTER TABLE orders ADD COLUMN a int;").rules(), std::vector<std::string>{"L20"})
        << "an ignore of a rule that is off is no unused one";
}

TEST(Sync, TheOtherDatabaseHasItsOwnNames) {
    auto setting = with_sync();
    setting.database = "crm";
    EXPECT_TRUE(test::judge("ALTER TABLE crm.customers ALTER COLUMN email SET NOT NULL;", setting).has("S11"));
    EXPECT_FALSE(test::judge("ALTER TABLE public.orders DROP COLUMN note;", setting).has("S04")) << "the mirror is in the shared database";
    EXPECT_FALSE(test::judge("ALTER TABLE crm.customers ALTER COLUMN email SET NOT NULL;", with_sync()).has("S11"));
}

TEST(Sync, WhatIsNotKnownOfAnIndexIsAWarning) {
    auto const judged = test::judge("DROP INDEX CONCURRENTLY some_idx;", with_sync());
    ASSERT_TRUE(judged.has("S06"));
    for (auto const& finding : judged.report.findings) {
        if (finding.rule == "S06") {
            EXPECT_EQ(finding.severity, model::Severity::warning);
        }
    }
}

TEST(Sync, AStateFileIsReadOrRefused) {
    auto const table = [](std::string const& by) {
        return R"({"schema_version":1,"services":[{"service":"s","phase":"syncing","tables":[{"by":")" + by +
               R"(","source":{"database":"","schema":"public","name":"t"},"target":{"database":"s","schema":"s","name":"t"},"key":["id"]}]}]})";
    };
    auto const state = lint::parse_sync_state(table("stream"));
    ASSERT_EQ(state.tables.size(), 1U);
    EXPECT_EQ(state.tables[0].by, model::KeptBy::stream);
    EXPECT_EQ(state.tables[0].target.database, "s");
    for (auto const& bad : {std::string{}, std::string{"[]"}, std::string{"{\"schema_version\":2,\"services\":[]}"}, table("magic"),
                            std::string{R"({"schema_version":1,"services":[{"service":"s","phase":"syncing"}]})"}})
        EXPECT_THROW((void)lint::parse_sync_state(bad), base::Error) << bad;
}

TEST(Catalog, SettlesWhatATextCannot) {
    model::Catalog catalog;
    model::Table table;
    table.name = {"public", "Order Lines"};
    model::Column code;
    code.name = "code";
    code.type = "character varying(5)";
    code.not_null = true;
    table.columns = {code};
    catalog.tables = {table};
    lint::Input input;
    input.options.today = "2026-11-25";
    input.catalog = lint::File{"the catalog", lint::catalog_text(catalog)};
    input.files.push_back({"m.sql", "SET lock_timeout = '1s'; ALTER TABLE \"Order Lines\" ALTER COLUMN code TYPE varchar(9); "
                                    "ALTER TABLE \"Order Lines\" ALTER COLUMN code SET NOT NULL;"});
    auto const report = lint::lint(input);
    for (auto const& finding : report.findings)
        EXPECT_TRUE(finding.rule != "L05" && finding.rule != "L06") << finding.rule;
}

TEST(Proof, ShownTakenBackAndUnforeseen) {
    lint::Input input;
    input.options.today = "2026-11-25";
    input.files.push_back({"m.sql", "SET lock_timeout = '1s';\nALTER TABLE t ALTER a SET NOT NULL;\nALTER TABLE t ALTER b SET NOT NULL;\nSELECT 1;\nALTER TABLE nowhere ADD c int;\n"});
    auto report = lint::lint(input);
    auto const script = lint::read_script(input.files[0], lint::Runner::plain);
    std::vector<lint::Observed> seen;
    for (auto const& statement : script.statements)
        seen.push_back({.file = 0, .span = statement.span, .ran = true, .watched = true});
    sql::QName const t{"public", "t"};
    seen[1].scans = {"public.t"};
    seen[1].taken = seen[1].held = {{t, lint::Lock::access_exclusive}};
    seen[2].taken = seen[2].held = {{t, lint::Lock::access_exclusive}};
    seen[3].rewrites = {"public.t"};
    seen[3].taken = seen[3].held = {{t, lint::Lock::access_exclusive}};
    seen[4].ran = false;
    seen[4].refused = "relation \"nowhere\" does not exist";
    lint::prove(report, input, seen, {});
    std::string all;
    for (auto const& finding : report.findings)
        all += finding.rule + ":" + std::to_string(finding.from.line) + ":" + finding.proof + " ";
    EXPECT_NE(all.find("L05:2:proved"), std::string::npos) << all;
    EXPECT_EQ(all.find("L05:3"), std::string::npos) << all;
    EXPECT_NE(all.find("L28:4:proved"), std::string::npos) << all;
    ASSERT_EQ(report.gaps.size(), 1U);
    EXPECT_EQ(report.gaps[0].from.line, 5);
    EXPECT_EQ(report.coverage.proved, 4);
    EXPECT_EQ(report.coverage.not_analysed, 1);
    EXPECT_EQ(report.coverage.heuristic, 0);
}

TEST(Proof, TheEmptyIndexesOfTruncateAreNoNews) {
    lint::Input input;
    input.options.today = "2026-11-25";
    input.options.severity["L20"] = model::Severity::off;
    input.files.push_back({"m.sql", "TRUNCATE t;\nSELECT 1;\n"});
    auto report = lint::lint(input);
    std::vector<lint::Observed> seen;
    for (auto const& statement : lint::read_script(input.files[0], lint::Runner::plain).statements) {
        lint::TableLock const lock{{"public", "t"}, lint::Lock::access_exclusive};
        seen.push_back({.file = 0, .span = statement.span, .ran = true, .watched = true, .builds = {"public.t"}, .taken = {lock}, .held = {lock}});
    }
    lint::prove(report, input, seen, {});
    std::string all;
    for (auto const& finding : report.findings)
        all += finding.rule + ":" + std::to_string(finding.from.line) + " ";
    EXPECT_EQ(all.find("L28:1"), std::string::npos) << all;
    EXPECT_NE(all.find("L28:2"), std::string::npos) << all;
}

TEST(Proof, RewritesAreWrittenOut) {
    lint::Input input;
    input.options.today = "2026-11-25";
    input.files.push_back({"m.sql", "CREATE UNIQUE INDEX i ON t (a);\nDROP INDEX /* index */ j;\nALTER TABLE t ALTER \"B\" SET NOT NULL;\n"
                                    "ALTER TABLE s.t ADD CONSTRAINT c CHECK (a > 0);\nALTER TABLE t ADD UNIQUE (a, b);\n"});
    auto const report = lint::lint(input);
    std::vector<std::string> all;
    for (auto const& rewrite : lint::rewrites(report, input))
        all.insert(all.end(), rewrite.sql.begin(), rewrite.sql.end());
    for (std::string const wanted : {"CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)", "DROP INDEX CONCURRENTLY /* index */ j", "ALTER TABLE \"t\" VALIDATE CONSTRAINT \"t_B_not_null\"",
                                     "ALTER TABLE s.t ADD CONSTRAINT c CHECK (a > 0) NOT VALID", "ALTER TABLE \"s\".\"t\" VALIDATE CONSTRAINT \"c\"",
                                     "ALTER TABLE \"t\" ADD CONSTRAINT \"t_a_b_key\" UNIQUE USING INDEX \"t_a_b_key\""})
        EXPECT_NE(std::ranges::find(all, wanted), all.end()) << wanted;
}

} // namespace
