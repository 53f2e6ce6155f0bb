// Goal: `pgcarve lint` as CI calls it: exit codes, files and folders, standard input, baseline, formats.
// Method: run the binary in an empty folder, without any server.
#include <gtest/gtest.h>

#include <fstream>

#include "scenario/folder.hpp"

namespace {

using namespace pgcarve;

class LintCli : public test::InFolder {
protected:
    [[nodiscard]] test::Output lint(std::string const& arguments) const {
        return shell("PGHOST=/nonexistent " PGCARVE_BINARY " lint " + arguments);
    }
};

TEST_F(LintCli, ExitCodesSayWhatWasFound) {
    write("good.sql", "CREATE TABLE t (id int);");
    write("warn.sql", "UPDATE t SET a = 1;");
    write("bad.sql", "DROP TABLE t;");
    write("odd.sql", "{{ template }}");
    EXPECT_EQ(lint("good.sql").exit, 0);
    EXPECT_EQ(lint("warn.sql").exit, 0);
    EXPECT_EQ(lint("--strict warn.sql").exit, 1);
    EXPECT_EQ(lint("bad.sql").exit, 1);
    EXPECT_EQ(lint("odd.sql").exit, 3);
    EXPECT_EQ(lint("odd.sql --allow-not-analysed").exit, 0);
    EXPECT_EQ(lint("odd.sql bad.sql").exit, 1);
    EXPECT_EQ(lint("missing.sql").exit, 2);
    EXPECT_EQ(lint("").exit, 2);
    EXPECT_EQ(lint("--runner nobody good.sql").exit, 2);
    EXPECT_EQ(lint("--explain L99").exit, 2);
    EXPECT_NE(lint("good.sql").err.find("boundary rules are off"), std::string::npos);
}

TEST_F(LintCli, FoldersStandardInputAndSchema) {
    write("m/1/up.sql", "CREATE TABLE t (a varchar(5));");
    write("m/1/down.sql", "DROP TABLE t;");
    write("m/2/up.sql", "CREATE INDEX CONCURRENTLY i ON t (a);");
    EXPECT_EQ(lint("m").exit, 0);
    EXPECT_EQ(lint("--runner diesel m").exit, 1) << "CONCURRENTLY in diesel's transaction";
    write("m/2/metadata.toml", "run_in_transaction = false\n");
    EXPECT_EQ(lint("--runner diesel m").exit, 0);
    write("in", "DROP TABLE u;");
    auto const piped = lint("--stdin-filepath m/3.sql --output gcc < in");
    EXPECT_TRUE(piped.out.starts_with("m/3.sql:1:1: error:")) << piped.out << piped.err;
    write("3.sql", "SET lock_timeout = '1s'; ALTER TABLE t ALTER a TYPE varchar(9);");
    EXPECT_EQ(lint("--strict 3.sql").exit, 1);
    EXPECT_EQ(lint("--strict --schema m 3.sql").exit, 0);
}

TEST_F(LintCli, BaselineAndConfiguration) {
    write("1.sql", "DROP TABLE orders;");
    EXPECT_EQ(lint("--write-baseline base.json 1.sql").exit, 0);
    EXPECT_EQ(lint("--baseline base.json --strict 1.sql").exit, 0)
        << lint("--baseline base.json --strict 1.sql").out;
    write("pgcarve.toml", "[service.checkout]\ntables = [\"orders\"]\n[service.crm]\ntables = "
                          "[\"customers\"]\n[lint.severity]\nC01 = \"off\"\n");
    EXPECT_EQ(lint("1.sql").exit, 0);
    auto const severity = [&](std::string const& lines) { write("pgcarve.toml", "[lint.severity]\n" + lines); };
    write("old/1.sql", "DROP TABLE orders;");
    severity("\"old/** C01\" = \"off\"\n");
    EXPECT_EQ(lint("old/1.sql").exit, 0);
    EXPECT_EQ(lint("1.sql").exit, 1);
    severity("\"** C01\" = \"off\"\n\"old/** C01\" = \"error\"\n");
    EXPECT_EQ(lint("old/1.sql").exit, 1) << "the longer pattern counts";
    EXPECT_EQ(lint("1.sql").exit, 0);
    severity("\"old/** X01\" = \"off\"\n");
    EXPECT_EQ(lint("1.sql").exit, 2);
    write("hygiene.sql", "BEGIN; CREATE TABLE t (id bigint PRIMARY KEY, a json, b timestamp); COMMIT;");
    severity("B08 = \"off\"\n");
    EXPECT_EQ(lint("--strict hygiene.sql").exit, 0);
    EXPECT_EQ(lint("--severity H06=error hygiene.sql").exit, 1);
    EXPECT_EQ(lint("--severity H=error --severity H06=off --severity prefer-timestamptz=off hygiene.sql").exit, 0);
    EXPECT_EQ(lint("--severity H=loud hygiene.sql").exit, 2);
    EXPECT_EQ(lint("--severity Z=error hygiene.sql").exit, 2);
    severity("H = \"error\"\nH04 = \"off\"\n");
    auto const found = lint("--output gcc hygiene.sql");
    EXPECT_EQ(found.exit, 1);
    EXPECT_NE(found.out.find("H06"), std::string::npos) << found.out;
    EXPECT_EQ(found.out.find("H04"), std::string::npos) << "of a family and a rule of it the rule counts: " << found.out;
    severity("\"old/** H\" = \"error\"\n");
    EXPECT_EQ(lint("hygiene.sql").exit, 0);
    write("pgcarve.toml", "[service.checkout]\ntables = [\"orders\"]\n[service.crm]\ntables = [\"customers\"]\n");
    write("2.sql", "CREATE VIEW v AS SELECT * FROM orders, customers;");
    EXPECT_EQ(lint("2.sql").exit, 1);
    write("pgcarve.toml", "[lint.severity]\nX01 = \"off\"\n");
    EXPECT_EQ(lint("1.sql").exit, 2);
}

} // namespace
