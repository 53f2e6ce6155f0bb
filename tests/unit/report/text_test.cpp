// Goal: what a person sees is aligned, safe and says what to type next. Method: golden files for whole
// screens, tables of cases and properties for the parts they are made of.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <sstream>

#include "../../support/golden.hpp"
#include "report/table.hpp"
#include "samples.hpp"

namespace {

using namespace pgcarve;
using report::Style;
using test::expect_golden;

TEST(Screens, AreAsRecorded) {
    Style const style{.colour = false, .width = 100};
    auto const screen = [](std::string const& name, std::string const& text) {
        expect_golden("unit/report/golden/" + name + ".txt", text);
    };
    screen("plan_sql", report::text(test::plan(), style));
    screen("plan_steps", report::text(test::plan(), style, report::PlanDetail::steps));
    screen("verification", report::text(std::vector{test::verification()}, style));
    screen("status_one", report::text(std::vector{test::status()}, style));
    screen("status_busy", report::text(std::vector{test::busy_status()}, style));
    screen("status_several", report::text(std::vector{test::status(), test::busy_status()}, style));
    screen("cutover", report::text(test::cutover(), style));
    screen("gate", report::text(test::closed_gate(), style));
    screen("doctor", report::text(test::doctor(), style));
    screen("error", report::text(test::error(), style));
    screen("gate_colour", report::text(test::closed_gate(), Style{.colour = true, .width = 100}));
}

TEST(Screens, TellHowACutoverEnded) {
    auto result = test::cutover();
    result.to = result.from;
    result.write_block_ms = {};
    result.gate = test::closed_gate();
    auto const refused = report::text(result, {});
    EXPECT_NE(refused.find("checkout: cutover refused, still dual_writing"), std::string::npos);
    EXPECT_NE(refused.find("gate: closed by 2 of 4 conditions"), std::string::npos);
    result.undone = "writes were held up for 2.1s (limit 2s)";
    EXPECT_NE(report::text(result, {}).find("cutover undone, still dual_writing: writes were held up"),
              std::string::npos);
    auto again = test::cutover();
    again.already = true;
    EXPECT_NE(report::text(again, {}).find("already schema_live, nothing to do"), std::string::npos);
}

TEST(Screens, FoldManyCleanTables) {
    auto run = test::verification();
    run.tables = std::vector(200, run.tables[0]);
    run.verdict = model::Verdict::clean;
    auto const all_clean = report::text(std::vector{run}, {});
    EXPECT_LE(std::ranges::count(all_clean, '\n'), 3);
    run.tables.push_back(test::verification().tables[1]);
    run.verdict = model::Verdict::different;
    auto const one_bad = report::text(std::vector{run}, {});
    EXPECT_LE(std::ranges::count(one_bad, '\n'), 24);
    EXPECT_NE(one_bad.find("and 200 clean tables"), std::string::npos);
}

TEST(Screens, FitTheWidth) {
    auto plan = test::plan();
    plan.tables[0].source.name = std::string(63, 'x');
    plan.tables[0].target.name = std::string(63, 'y');
    std::istringstream lines{report::text(plan, {.colour = false, .width = 80}, report::PlanDetail::steps)};
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with("  ")) {
            EXPECT_LE(report::display_width(line), 80) << line;
        }
    }
    EXPECT_NE(report::text(plan, {.colour = false, .width = 0}).find(std::string(63, 'x')),
              std::string::npos);
}

TEST(Width, KnowsWideAndCombiningCharacters) {
    EXPECT_EQ(report::display_width("größe"), 5);
    EXPECT_EQ(report::display_width("漢字"), 4);
    EXPECT_EQ(report::display_width("e\u0301"), 1);
    EXPECT_EQ(report::cut_middle("order_item_archive", 9), "orde…hive");
    EXPECT_EQ(report::cut_middle("漢字漢字", 5), "漢…字");
    EXPECT_EQ(report::cut_middle("short", 5), "short");
}

TEST(Printable, NothingReachesTheTerminalAsACommand) {
    EXPECT_EQ(report::printable("a\x1b[31m\n\tb\x7f"), "a\\x1b[31m\\x0a\\x09b\\x7f");
    EXPECT_EQ(report::printable("ok größe 漢"), "ok größe 漢");
    EXPECT_EQ(report::printable("\xff\xc3"), "\\xff\\xc3");
    EXPECT_EQ(report::printable("\xc0\xaf"), "\\xc0\\xaf") << "overlong";
    EXPECT_EQ(report::printable("a\u202eb"), "a\\u202eb");
    EXPECT_EQ(report::printable("\u0085"), "\\u0085");
}

RC_GTEST_PROP(Printable, AnyBytesBecomeOneSafeLine, ()) {
    auto const bytes = *rc::gen::container<std::string>(rc::gen::arbitrary<char>());
    auto const safe = report::printable(bytes);
    RC_ASSERT(
        std::ranges::none_of(safe, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }));
    RC_ASSERT(report::printable(safe) == safe);
}

RC_GTEST_PROP(Width, CuttingFits, ()) {
    auto const parts = *rc::gen::container<std::vector<std::string>>(
        rc::gen::element<std::string>("a", "é", "漢", "e\u0301", "🙂", "_"));
    auto const width = *rc::gen::inRange(1, 30);
    std::string text;
    for (auto const& part : parts)
        text += part;
    auto const cut = report::cut_middle(text, width);
    RC_ASSERT(report::display_width(cut) <= width);
    RC_ASSERT(report::printable(cut) == cut);
}

TEST(Numbers, AreForPeople) {
    EXPECT_EQ(report::number(0), "0");
    EXPECT_EQ(report::number(999), "999");
    EXPECT_EQ(report::number(-1234567), "-1,234,567");
    EXPECT_EQ(report::number(-123), "-123");
    EXPECT_EQ(report::plural(1, "row"), "1 row");
    EXPECT_EQ(report::plural(2000, "row"), "2,000 rows");
    EXPECT_EQ(report::bytes(0), "0 B");
    EXPECT_EQ(report::bytes(1536), "1.5 kB");
    EXPECT_EQ(report::bytes(52'428'800), "50 MB");
    EXPECT_EQ(report::seconds(0.4504), "450ms");
}

} // namespace
