// Goal: the program keeps its command-line contract before any server is asked: exit codes, stdout against
// stderr, help that lists what works. Method: run the binary and look at all that it leaves.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "config/parse.hpp"
#include "support/server.hpp"

namespace {

using namespace pgcarve;

test::Output pgcarve_(std::string const& arguments) {
    return test::run_command(std::string{PGCARVE_BINARY} + " " + arguments);
}

TEST(Cli, HelpGoesToStdoutAndListsVerbsWithExamples) {
    auto const help = pgcarve_("--help");
    EXPECT_EQ(help.exit, 0);
    EXPECT_EQ(help.err, "");
    EXPECT_NE(help.out.find("init"), std::string::npos);
    EXPECT_NE(help.out.find("Exit codes:"), std::string::npos);
    auto const verb = pgcarve_("init --help");
    EXPECT_EQ(verb.exit, 0);
    EXPECT_NE(verb.out.find("Examples:\n  pgcarve init"), std::string::npos);
}

TEST(Cli, VersionIsOneLine) {
    auto const version = pgcarve_("--version");
    EXPECT_EQ(version.exit, 0);
    EXPECT_TRUE(version.out.starts_with("pgcarve "));
    EXPECT_EQ(std::count(version.out.begin(), version.out.end(), '\n'), 1);
}

TEST(Cli, TheTemplateIsAConfiguration) {
    auto const output = pgcarve_("init --template");
    EXPECT_EQ(output.exit, 0);
    EXPECT_EQ(output.err, "");
    EXPECT_EQ(output.out, config::template_text());
    EXPECT_TRUE(config::parse(output.out, "out").problems.empty());
}

TEST(Cli, WrongUsageExitsWith2AndLeavesStdoutEmpty) {
    for (auto const* arguments : {"", "nonsense", "init --template --nope", "init --template extra",
                                  "--format yaml init", "-v -q init --template", "--config"}) {
        auto const output = pgcarve_(arguments);
        EXPECT_EQ(output.exit, 2) << arguments;
        EXPECT_EQ(output.out, "") << arguments;
        EXPECT_TRUE(output.err.starts_with("error usage: ")) << output.err;
        EXPECT_NE(output.err.find("\n  hint: "), std::string::npos) << output.err;
    }
}

TEST(Cli, AMistypedVerbGetsASuggestion) {
    EXPECT_NE(pgcarve_("inti").err.find("did you mean `pgcarve init`?"), std::string::npos);
}

TEST(Cli, ErrorsAreJsonOnStderrWhenAskedFor) {
    for (auto const* arguments :
         {"--format json nonsense", "nonsense --format=json", "init --template --bad --format json"}) {
        auto const output = pgcarve_(arguments);
        EXPECT_EQ(output.exit, 2);
        EXPECT_EQ(output.out, "");
        auto const document = nlohmann::json::parse(output.err);
        EXPECT_EQ(document.at("schema_version"), 1);
        EXPECT_EQ(document.at("error").at("code"), "usage");
        EXPECT_EQ(document.at("error").at("exit"), 2);
    }
}

TEST(Cli, GlobalOptionsStandBeforeOrAfterTheVerb) {
    EXPECT_EQ(pgcarve_("--config x.toml init --template").exit, 0);
    EXPECT_EQ(pgcarve_("init --template -q --no-color").exit, 0);
}

TEST(Cli, AReaderThatLeavesEarlyIsNoFailure) {
    auto const output = test::run_command("{ " + std::string{PGCARVE_BINARY} +
                                          " init --template; echo $? >&2; } | head -n 1 >/dev/null");
    EXPECT_EQ(output.err, "0\n");
    auto const full = pgcarve_("init --template >/dev/full");
    EXPECT_EQ(full.exit, 4);
    EXPECT_TRUE(full.err.starts_with("error output-failed: "));
}

} // namespace
