// Goal: the JSON that cron jobs and CI read keeps its pinned fields and types. Method: render, parse, and
// hold the document against the contract, written down here once more and in full.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "samples.hpp"

namespace {

using namespace pgcarve;
using nlohmann::json;

json parsed(std::string const& text) {
    EXPECT_TRUE(text.ends_with("}\n")) << "one document and a newline";
    auto document = json::parse(text);
    EXPECT_EQ(document.at("schema_version"), 1);
    return document;
}

// {"field": "type"}: s text, i whole number, n number, b bool, o object, a array; a ? allows null.
void expect_fields(json const& object, std::vector<std::pair<std::string, std::string>> const& fields) {
    for (auto const& [name, type] : fields) {
        ASSERT_TRUE(object.contains(name)) << name << " in " << object.dump();
        auto const& value = object.at(name);
        if (value.is_null()) {
            EXPECT_TRUE(type.ends_with('?')) << name << " is null";
            continue;
        }
        switch (type[0]) {
        case 's':
            EXPECT_TRUE(value.is_string()) << name;
            break;
        case 'i':
            EXPECT_TRUE(value.is_number_integer()) << name;
            break;
        case 'n':
            EXPECT_TRUE(value.is_number()) << name;
            break;
        case 'b':
            EXPECT_TRUE(value.is_boolean()) << name;
            break;
        case 'o':
            EXPECT_TRUE(value.is_object()) << name;
            break;
        case 'a':
            EXPECT_TRUE(value.is_array()) << name;
            break;
        default:
            FAIL() << "unknown type " << type;
        }
    }
}

void expect_gate(json const& gate) {
    expect_fields(gate, {{"open", "b"}, {"conditions", "a"}});
    for (auto const& condition : gate.at("conditions")) {
        expect_fields(condition,
                      {{"id", "s"}, {"state", "s"}, {"observed", "s"}, {"limit", "s"}, {"hint", "s"}});
        auto const& state = condition.at("state");
        EXPECT_TRUE(state == "pass" || state == "fail" || state == "unknown") << state;
    }
}

TEST(Json, Verify) {
    auto const document = parsed(report::json(std::vector{test::verification()}));
    auto const& service = document.at("services").at(0);
    expect_fields(service, {{"service", "s"},
                            {"verdict", "s"},
                            {"mode", "s"},
                            {"compared_from", "s?"},
                            {"proven_at", "o"},
                            {"rows", "i"},
                            {"seconds", "n"},
                            {"rested", "n"},
                            {"tables", "a"}});
    EXPECT_EQ(service.at("verdict"), "different");
    EXPECT_EQ(service.at("mode"), "full");
    EXPECT_EQ(service.at("seconds"), 12.346);
    EXPECT_EQ(service.at("rows"), 1234567 + 42 + 1000);
    EXPECT_EQ(service.at("proven_at").at("lsn"), "16/B374D848");
    EXPECT_EQ(service.at("proven_at").at("time"), "2026-11-22T13:00:00Z");
    ASSERT_EQ(service.at("tables").size(), 3U);
    auto const& table = service.at("tables").at(1);
    expect_fields(table, {{"source", "s"},
                          {"target", "s"},
                          {"verdict", "s"},
                          {"rows", "i"},
                          {"missing", "i"},
                          {"extra", "i"},
                          {"different", "i"},
                          {"samples", "a"}});
    EXPECT_EQ(table.at("source"), "public.\"größe_漢字\"");
    EXPECT_EQ(table.at("different"), 12);
    ASSERT_EQ(table.at("samples").size(), 3U);
    for (auto const& sample : table.at("samples"))
        expect_fields(sample, {{"key", "o"}, {"kind", "s"}, {"columns", "a"}});
    EXPECT_EQ(table.at("samples").at(1).at("key"), (json{{"id", "8"}, {"part", nullptr}}));
    EXPECT_EQ(table.at("samples").at(1).at("kind"), "extra");
    EXPECT_EQ(table.at("samples").at(2).at("columns"), (json{"total", "note"}));
    EXPECT_FALSE(table.at("samples").at(0).contains("values")) << "values only when they were asked for";
}

TEST(Json, AnIncompleteVerificationProvesNoPosition) {
    auto run = test::verification();
    run.verdict = model::Verdict::incomplete;
    auto const document = parsed(report::json(std::vector{run}));
    EXPECT_TRUE(document.at("services").at(0).at("proven_at").at("lsn").is_null());
    EXPECT_TRUE(parsed(report::json(std::vector<model::Verification>{})).at("services").empty());
}

TEST(Json, Status) {
    auto const document = parsed(report::json(std::vector{test::status(), test::busy_status()}));
    ASSERT_EQ(document.at("services").size(), 2U);
    for (auto const& service : document.at("services")) {
        expect_fields(
            service,
            {{"service", "s"}, {"phase", "s"}, {"window", "o"}, {"lag", "o"}, {"gate", "o"}, {"next", "s"}});
        expect_fields(service.at("window"),
                      {{"required_seconds", "i"}, {"elapsed_seconds", "i"}, {"started_at", "s?"}});
        expect_fields(service.at("lag"), {{"bytes", "i?"}, {"seconds", "n?"}});
        expect_gate(service.at("gate"));
    }
    EXPECT_EQ(document.at("services").at(0).at("window").at("elapsed_seconds"), 3 * 86400 + 4 * 3600);
    EXPECT_EQ(document.at("services").at(0).at("last_verification").at("clean_in_a_row"), 3);
    EXPECT_TRUE(document.at("services").at(1).at("last_verification").is_null());
    EXPECT_EQ(document.at("services").at(1).at("copy").at("tables_total"), 12);
    EXPECT_FALSE(document.at("services").at(1).at("gate").at("open")) << "an empty gate is closed";
}

TEST(Json, Plan) {
    auto const document = parsed(report::json(test::plan()));
    expect_fields(document, {{"service", "s"}, {"tables", "a"}, {"crossings", "a"}, {"steps", "a"}});
    EXPECT_EQ(document.at("tables").size(), 4U);
    for (auto const& crossing : document.at("crossings"))
        expect_fields(crossing, {{"kind", "s"}, {"from", "s"}, {"to", "s"}, {"decision", "s"}});
    for (auto const& step : document.at("steps"))
        expect_fields(step, {{"id", "s"}, {"sql", "s"}, {"lock", "s"}, {"why", "s"}});
    EXPECT_EQ(document.at("steps").at(0).at("sql"), "CREATE SCHEMA \"checkout\";");
    EXPECT_EQ(document.at("steps").at(2).at("sql"), "") << "a step that is code";
}

TEST(Json, Cutover) {
    auto const done = parsed(report::json(test::cutover()));
    expect_fields(done, {{"service", "s"},
                         {"from", "s"},
                         {"to", "s"},
                         {"predicted_write_block_ms", "n?"},
                         {"write_block_ms", "n?"},
                         {"gate", "o"}});
    EXPECT_EQ(done.at("write_block_ms"), 12.346);
    EXPECT_EQ(done.at("moved"), true);
    expect_gate(done.at("gate"));
    auto refused = test::cutover();
    refused.to = refused.from;
    refused.write_block_ms = {};
    EXPECT_TRUE(parsed(report::json(refused)).at("write_block_ms").is_null());
    EXPECT_EQ(parsed(report::json(refused)).at("moved"), false);
}

TEST(Json, GateDoctorAndError) {
    auto const gate = parsed(report::json(test::closed_gate()));
    expect_gate(gate);
    EXPECT_EQ(gate.at("open"), false);
    EXPECT_EQ(parsed(report::json(test::open_gate())).at("open"), true);

    auto const doctor = parsed(report::json(test::doctor()));
    EXPECT_EQ(doctor.at("worst"), "decision");
    EXPECT_EQ(doctor.at("findings").size(), 4U);

    auto const error = parsed(report::json(test::error())).at("error");
    expect_fields(error, {{"code", "s"}, {"message", "s"}, {"details", "a"}, {"hint", "s"}, {"exit", "i"}});
    EXPECT_EQ(error.at("exit"), 5);
}

TEST(Json, BytesThatAreNoUtf8DoNotBreakIt) {
    auto run = test::verification();
    run.tables[0].source.name = "bad\xff";
    parsed(report::json(std::vector{run}));
}

} // namespace
