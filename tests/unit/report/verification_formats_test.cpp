// Goal: what CI systems, monitoring and chats read is well-formed whatever the names are, and a run without a proof never looks
// like one that passed. Method: golden files for whole documents, cases for hostile text.
#include <gtest/gtest.h>

#include "../../support/golden.hpp"
#include "report/escape.hpp"
#include "report/metrics.hpp"
#include "report/verification.hpp"
#include "samples.hpp"

namespace {

using namespace pgcarve;

std::vector<model::Verification> runs() {
    auto different = test::verification();
    different.service = "check\"out<&>\n|`x`\x1b[31m";
    auto clean = test::verification();
    clean.verdict = model::Verdict::clean;
    clean.tables.resize(1);
    model::Verification none;
    none.service = "reporting";
    return {clean, different, none};
}

report::Reasons const why{{"reporting", "service reporting is still being copied"}};

TEST(VerificationFormats, AreAsRecorded) {
    test::expect_golden("unit/report/golden/verification_junit.xml", report::verification_junit(runs(), why));
    test::expect_golden("unit/report/golden/verification_markdown.txt", report::verification_markdown(runs(), why));
    test::expect_golden("unit/report/golden/verification_prometheus.txt", report::verification_prometheus(runs(), 1'790'000'000));
}

TEST(VerificationFormats, OfNothing) {
    EXPECT_NE(report::verification_junit({}).find("<testsuites>"), std::string::npos);
    EXPECT_NE(report::verification_markdown({}).find("No service"), std::string::npos);
    EXPECT_EQ(report::verification_prometheus({}, 1), "");
}

TEST(VerificationFormats, AServiceWithoutTablesIsAnError) {
    model::Verification none;
    none.service = "shop";
    auto const xml = report::verification_junit({none});
    EXPECT_NE(xml.find("errors=\"1\""), std::string::npos) << xml;
    EXPECT_NE(xml.find("<error type=\"incomplete\""), std::string::npos) << xml;
}

TEST(Escapes, KeepEachFormatWhole) {
    EXPECT_EQ(report::escape_xml("a<b>&\"c\"\nd"), "a&lt;b&gt;&amp;&quot;c&quot;&#10;d");
    EXPECT_EQ(report::escape_xml("\xEF\xBF\xBF|\xEF\xBF\xBE"), "\xEF\xBF\xBD|\xEF\xBF\xBD");
    EXPECT_EQ(report::escape_markdown("a|b_c<d>&amp;~x"), "a\\|b\\_c\\<d\\>\\&amp;\\~x");
    EXPECT_EQ(report::escape_label("a\\b\"c\nd"), "a\\\\b\\\"c\\nd");
    for (auto const* const hostile : {"\x01", "\x1b[2J", "\xff\xfe", "\r"}) {
        for (auto const& escaped : {report::escape_xml(hostile), report::escape_markdown(hostile), report::escape_label(hostile)}) {
            for (char const c : escaped)
                EXPECT_GE(static_cast<unsigned char>(c), 0x20) << escaped;
        }
    }
}

model::Metrics metrics() {
    model::Metrics all;
    all.up = true;
    model::ServiceMetrics one;
    one.status = test::status();
    one.verification_seconds = 12.5;
    one.unresolved_findings = 3;
    one.slots = {{"pgcarve_check\"out", true, false, 4096, 0}, {"pgcarve_audit", false, true, std::nullopt, std::nullopt}};
    one.audit = model::AuditMetrics{"running", 1000, 2, 0, 1.5};
    model::ServiceMetrics two;
    two.status = test::busy_status();
    all.services = {one, two};
    return all;
}

TEST(Metrics, AreAsRecorded) {
    test::expect_golden("unit/report/golden/metrics.txt", report::prometheus(metrics()));
}

TEST(Metrics, OfAServerThatIsAway) { EXPECT_EQ(report::prometheus({}), "# HELP pgcarve_up 1 when the shared database answered.\n# TYPE pgcarve_up gauge\npgcarve_up 0\n"); }

} // namespace
