// Goal: every rule finds what its examples say, and nothing in what it accepts; docs/lint.md tells the same.
// Method: run through all rules with the schema and the boundary map of the examples.
#include <gtest/gtest.h>

#include "judge.hpp"
#include "report/lint.hpp"
#include "../../support/golden.hpp"

namespace {

using namespace pgcarve;

test::Judged judge_example(lint::Rule const& rule, std::string const& sql) {
    test::Setting setting;
    setting.schema = lint::example_schema();
    setting.options.server_version = rule.version;
    if (rule.about.id[0] == 'B')
        setting.config = lint::example_config();
    if (rule.about.id[0] == 'S')
        setting.sync = lint::example_sync();
    if (rule.about.id == "B07")
        setting.file = "checkout/1.sql";
    setting.options.severity[rule.about.id] = model::Severity::error; // also those that are off
    return test::judge(sql, setting);
}

TEST(Examples, EveryRuleFindsWhatItSays) {
    for (auto const* const rule : lint::all_rules()) {
        if (rule->judge == nullptr)
            continue;
        EXPECT_FALSE(rule->about.violating.empty()) << rule->about.id;
        EXPECT_FALSE(rule->about.accepted.empty()) << rule->about.id;
        for (auto const& sql : rule->about.violating) {
            auto const judged = judge_example(*rule, sql);
            EXPECT_TRUE(judged.has(rule->about.id)) << rule->about.id << " finds nothing in: " << sql << "\n"
                                                    << judged.all();
            EXPECT_TRUE(judged.report.gaps.empty()) << sql << "\n" << judged.all();
        }
        for (auto const& sql : rule->about.accepted) {
            auto const judged = judge_example(*rule, sql);
            EXPECT_FALSE(judged.has(rule->about.id))
                << rule->about.id << " found something in: " << sql << "\n"
                << judged.all();
            EXPECT_TRUE(judged.report.gaps.empty()) << sql << "\n" << judged.all();
        }
    }
}

TEST(Examples, EveryRuleIsDescribed) {
    std::string last;
    for (auto const* const rule : lint::all_rules()) {
        auto const& about = rule->about;
        EXPECT_GT(about.id, last) << "in order, and each once";
        last = about.id;
        for (auto const& part : {about.name, about.title, about.why, about.fix})
            EXPECT_FALSE(part.empty()) << about.id;
        EXPECT_EQ(lint::find_rule(about.name), rule);
    }
    EXPECT_GT(lint::all_rules().size(), 40U) << "the build found the rules";
}

TEST(Examples, TheReferenceTellsTheSame) {
    std::vector<model::LintRule> rules;
    for (auto const* const rule : lint::all_rules())
        rules.push_back(rule->about);
    test::expect_golden("../docs/lint-rules.md",
                        "# The rules of `pgcarve lint`\n\nWritten from the rules themselves. How to use it: "
                        "[lint.md](lint.md).\n"
                        "The examples are judged with tables `orders`, `order_lines`, `customers`, "
                        "`countries`, `events` (partitioned) that have rows.\n\n" +
                            report::rule_reference(rules));
}

} // namespace
