// Goal: unknown closes the gate, and each condition is judged by its own limit.
// Method: start from facts that open it, spoil one at a time.
#include <gtest/gtest.h>

#include <functional>

#include "cutover/gate.hpp"
#include "cutover/phase.hpp"

namespace {

using namespace pgcarve;
using cutover::GateFacts;
using cutover::GateQuestion;
using model::ConditionState;

GateFacts good() {
    GateFacts f;
    f.service = "checkout";
    f.window_elapsed = std::chrono::hours{24 * 28};
    f.clean_runs = 7;
    f.verification_known = true;
    f.last_verification = cutover::LastVerification{"clean", std::chrono::hours{1}, true, true};
    f.unresolved_findings = 0;
    f.drift.emplace();
    f.undecided_crossings.emplace();
    f.orphans.emplace();
    f.unreadable_sequences.emplace();
    f.role_lacks.emplace();
    f.reverse_lacks.emplace();
    f.oldest_transaction = "";
    f.oldest_transaction_age = base::Millis{0};
    f.predicted_write_block = base::Millis{20};
    f.lag = base::Millis{100};
    f.lag_growing = false;
    f.slot_problem = "";
    return f;
}

std::vector<std::string> not_passing(model::Gate const& gate) {
    std::vector<std::string> ids;
    for (auto const& c : gate.conditions) {
        if (c.state != ConditionState::pass)
            ids.push_back(c.id);
    }
    return ids;
}

TEST(Gate, OpensWhenEverythingHolds) {
    for (auto const hop : {cutover::Hop::schema, cutover::Hop::database})
        EXPECT_TRUE(evaluate({.hop = hop}, good()).open());
}

TEST(Gate, IsClosedByEveryUnknown) {
    auto const gate = evaluate({.hop = cutover::Hop::database}, GateFacts{.service = "checkout"});
    EXPECT_FALSE(gate.open());
    for (auto const& c : gate.conditions)
        EXPECT_EQ(c.state, ConditionState::unknown) << c.id;
    EXPECT_EQ(gate.conditions.size(), cutover::condition_ids().size());
    EXPECT_FALSE(model::Gate{}.open());
}

TEST(Gate, EachConditionClosesItAlone) {
    struct Case {
        char const* id;
        std::function<void(GateFacts&)> spoil;
    };
    std::vector<Case> const cases{
        {"window", [](GateFacts& f) { f.window_elapsed = std::chrono::hours{24 * 27}; }},
        {"clean_runs", [](GateFacts& f) { f.clean_runs = 6; }},
        {"verification", [](GateFacts& f) { f.last_verification->verdict = "incomplete"; }},
        {"verification", [](GateFacts& f) { f.last_verification->age = std::chrono::hours{25}; }},
        {"verification", [](GateFacts& f) { f.last_verification->same_schema = false; }},
        {"verification", [](GateFacts& f) { f.last_verification.reset(); }},
        {"findings", [](GateFacts& f) { f.unresolved_findings = 1; }},
        {"schema", [](GateFacts& f) { f.drift = std::vector<std::string>{"column x was added"}; }},
        {"crossings", [](GateFacts& f) { f.undecided_crossings = std::vector<std::string>{"a -> b"}; }},
        {"orphans", [](GateFacts& f) { f.orphans = std::vector<std::string>{"3 row(s) of a -> b"}; }},
        {"sequences", [](GateFacts& f) { f.unreadable_sequences = std::vector<std::string>{"s"}; }},
        {"role", [](GateFacts& f) { f.role_lacks = std::vector<std::string>{"INSERT"}; }},
        {"reverse", [](GateFacts& f) { f.reverse_lacks = std::vector<std::string>{"no function"}; }},
        {"transactions", [](GateFacts& f) { f.oldest_transaction_age = std::chrono::minutes{2}; }},
        {"write_block", [](GateFacts& f) { f.predicted_write_block = base::Millis{2001}; }},
        {"lag", [](GateFacts& f) { f.lag = std::chrono::seconds{11}; }},
        {"lag", [](GateFacts& f) { f.lag_growing = true; }},
        {"slot", [](GateFacts& f) { f.slot_problem = "lost"; }},
    };
    for (auto const& c : cases) {
        auto facts = good();
        c.spoil(facts);
        auto const gate = evaluate({.hop = cutover::Hop::database}, facts);
        EXPECT_FALSE(gate.open()) << c.id;
        EXPECT_EQ(not_passing(gate), std::vector<std::string>{c.id});
        GateQuestion question{.hop = cutover::Hop::database};
        question.overrides[c.id] = "accepted by the owner";
        auto const overridden = evaluate(question, facts);
        EXPECT_TRUE(overridden.open()) << c.id;
    }
}

TEST(Gate, ARollbackNeedsNoWindowButNoFindings) {
    auto facts = good();
    facts.window_elapsed = base::Millis{0};
    facts.clean_runs = 0;
    facts.last_verification.reset();
    GateQuestion const question{.rollback = true};
    EXPECT_TRUE(evaluate(question, facts).open());
    facts.unresolved_findings = 3;
    EXPECT_FALSE(evaluate(question, facts).open());
}

TEST(Phase, NamesRoundTripAndOnlyListedTransitionsExist) {
    using enum cutover::Phase;
    for (auto const phase : {planned, backfilling, dual_writing, schema_live, copying, syncing, database_live, completed}) {
        EXPECT_EQ(cutover::parse_phase(cutover::text(phase)), phase);
        EXPECT_FALSE(cutover::next(phase, cutover::Event::cutover) && phase != dual_writing && phase != syncing);
    }
    EXPECT_FALSE(cutover::parse_phase("Planned"));
}

} // namespace
