// Goal: every format says the same findings, in the shape its readers expect, whatever names hold.
// Method: one report with awkward texts against golden files; JSON and SARIF are parsed again.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "../../support/golden.hpp"
#include "report/lint.hpp"

namespace {

using namespace pgcarve;

model::LintReport sample() {
    model::LintReport report;
    report.files = {"migrations/1 ü.sql", "migrations/2.sql", "clean.sql"};
    report.coverage = {.statements = 12, .proved = 0, .heuristic = 11, .not_analysed = 1};
    report.ignored = 2;
    report.boundary = true;
    model::LintFinding error;
    error.rule = "L05";
    error.severity = model::Severity::error;
    error.file = "migrations/1 ü.sql";
    error.from = {3, 20};
    error.to = {3, 40};
    error.message = "every row of \"a|b\" is read, 100% of <them>";
    error.fix = "ADD CONSTRAINT c\nVALIDATE CONSTRAINT c";
    error.lock = "ACCESS EXCLUSIVE";
    error.proof = "heuristic";
    error.object = "orders.state";
    error.excerpt = "\tALTER TABLE 世界,é ALTER state SET NOT NULL;";
    error.fingerprint = "00aa";
    auto warning = error;
    warning.rule = "C08";
    warning.severity = model::Severity::warning;
    warning.file = "migrations/2.sql";
    warning.from = {1, 1};
    warning.to = {4, 2};
    warning.lock.clear();
    warning.excerpt = "-- " + std::string(200, 'x');
    warning.fingerprint = "00bb";
    report.findings = {error, warning};
    report.gaps = {{"migrations/2.sql", {9, 2}, {9, 4}, "syntax error at or near \"{\"", "{{ x }}"}};
    return report;
}

std::vector<model::LintRule> rules() {
    return {{.id = "L05",
             .name = "set-not-null",
             .title = "t",
             .why = "w",
             .lock = "ACCESS EXCLUSIVE",
             .fix = "f"}};
}

TEST(LintFormats, LookAsTheirReadersExpect) {
    auto const report = sample();
    test::expect_golden("unit/report/golden/lint_tty.txt", report::text(report, {}));
    test::expect_golden("unit/report/golden/lint_gcc.txt", report::lint_gcc(report));
    test::expect_golden("unit/report/golden/lint_github.txt", report::lint_github(report));
    test::expect_golden("unit/report/golden/lint_markdown.txt", report::lint_markdown(report));
    test::expect_golden("unit/report/golden/lint_junit.xml", report::lint_junit(report));
    test::expect_golden("unit/report/golden/lint_sarif.json", report::lint_sarif(report, rules(), "1.0"));
    test::expect_golden("unit/report/golden/lint_gitlab.json", report::lint_gitlab(report));
    test::expect_golden("unit/report/golden/lint.json", report::json(report));
}

TEST(LintFormats, JsonHasThePinnedFields) {
    auto const json = nlohmann::json::parse(report::json(sample()));
    EXPECT_EQ(json["schema_version"], 1);
    for (auto const* const key :
         {"rule", "severity", "file", "line", "column", "message", "fix", "lock", "proof"})
        EXPECT_TRUE(json["findings"][0].contains(key)) << key;
    for (auto const* const key : {"statements", "proved", "heuristic", "not_analysed"})
        EXPECT_TRUE(json["coverage"].contains(key)) << key;
}

TEST(LintFormats, NothingFoundIsSaidToo) {
    model::LintReport clean;
    clean.files = {"a.sql"};
    clean.coverage = {.statements = 1, .heuristic = 1};
    EXPECT_EQ(report::text(clean, {}), "1 statement in 1 file: 0 errors, 0 warnings\n");
    EXPECT_EQ(report::lint_gcc(clean), "");
    EXPECT_EQ(nlohmann::json::parse(report::lint_gitlab(clean)).size(), 0U);
    EXPECT_EQ(nlohmann::json::parse(report::lint_sarif(clean, {}, "1"))["runs"][0]["results"].size(), 0U);
}

} // namespace
