// Goal: what a transaction did, net, is exact: however often it wrote a row, moved it, or emptied its table; in memory and over
// the disk; and what was known before fills exactly what the stream does not say. Method: cases, and a property: random
// transactions go through Net, Spill and a model that keeps whole rows.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>

#include "audit/judge.hpp"
#include "audit/ledger.hpp"
#include "audit/spill.hpp"

namespace {

using namespace pgcarve;
using namespace pgcarve::audit;

Key key(int n) {
    Key k;
    append_key(k, std::to_string(n));
    return k;
}
RowId row(int n) { return {0, key(n)}; }
std::vector<Digest> values(std::string const& a, std::string const& b) { return {digest(a), digest(b)}; }
std::vector<Digest> values(std::string const& a) { return {digest(a), unknown_value}; }

Judgement judged(Net& net, Ledger const& ledger, RowId const& id) {
    auto const written = written_columns(net.rows().at(id), 2);
    ledger.fill(net);
    return judge(net.rows().at(id), written);
}

TEST(Keys, AreToldApartWhateverTheirValues) {
    Key one;
    append_key(one, "a");
    append_key(one, "b:1:c");
    Key two;
    append_key(two, "a1:b");
    append_key(two, "c");
    EXPECT_NE(one, two);
    EXPECT_EQ(key_values(one), (std::vector<std::string>{"a", "b:1:c"}));
    EXPECT_NE(digest("" ), digest(std::nullopt)) << "NULL is not ''";
    EXPECT_NE(digest("1.0"), digest("1.00"));
}

TEST(Net, JudgesWhatBothSidesWrote) {
    Ledger const nothing;
    Net net;
    net.put(row(1), Side::shared, values("a", "b"), {}, false);
    net.put(row(1), Side::service, values("a", "b"), {}, false);
    net.put(row(2), Side::shared, values("a", "b"), {}, false);
    net.put(row(2), Side::service, values("a", "x"), {}, false);
    net.put(row(3), Side::shared, values("a", "b"), {}, false);
    net.remove(row(3), Side::service);
    net.remove(row(4), Side::shared);
    net.put(row(4), Side::service, values("a", "b"), {}, false);
    net.put(row(5), Side::shared, values("a", "b"), {}, false);
    net.remove(row(5), Side::shared);
    net.remove(row(5), Side::service);
    EXPECT_EQ(judged(net, nothing, row(1)).outcome, Outcome::equal);
    auto const different = judged(net, nothing, row(2));
    EXPECT_EQ(different.outcome, Outcome::different);
    EXPECT_EQ(different.columns, std::vector<std::size_t>{1});
    EXPECT_EQ(judged(net, nothing, row(3)).kind, model::FindingKind::missing);
    EXPECT_EQ(judged(net, nothing, row(4)).kind, model::FindingKind::extra);
    EXPECT_EQ(judged(net, nothing, row(5)).outcome, Outcome::equal);
}

TEST(Net, OneSideAloneIsOpenUntilSomebodyKnows) {
    Ledger ledger;
    Net first;
    first.put(row(1), Side::shared, values("a", "b"), {}, false);
    auto const open = judged(first, ledger, row(1));
    EXPECT_EQ(open.outcome, Outcome::open);
    EXPECT_EQ(open.wanted, (std::array{false, true}));
    first.put(row(1), Side::service, values("a", "b"), {}, false);
    ledger.fill(first);
    ledger.take(first, 1);
    // An update that changes nothing, written at the authority alone.
    Net second;
    second.put(row(1), Side::shared, values("a", "b"), {}, false);
    EXPECT_EQ(judged(second, ledger, row(1)).outcome, Outcome::equal);
    Net third;
    third.put(row(1), Side::shared, values("c", "b"), {}, false);
    auto const forgotten = judged(third, ledger, row(1));
    EXPECT_EQ(forgotten.outcome, Outcome::different);
    EXPECT_EQ(forgotten.columns, std::vector<std::size_t>{0});
}

TEST(Net, LargeValuesThatAreNotSentAreAsTheyWere) {
    Ledger ledger;
    Net first;
    first.put(row(1), Side::shared, values("a", "large"), {}, false);
    first.put(row(1), Side::service, values("a", "large"), {}, false);
    ledger.take(first, 1);
    Net second; // the mirror writes the value anew
    second.put(row(1), Side::shared, values("c"), {}, false);
    second.put(row(1), Side::service, values("c", "large"), {}, false);
    EXPECT_EQ(judged(second, ledger, row(1)).outcome, Outcome::equal);
    ledger.take(second, 2);
    Net third; // also under another key
    third.put(row(2), Side::shared, values("d"), key(1), false);
    third.put(row(2), Side::service, values("d", "larger"), key(1), false);
    EXPECT_EQ(judged(third, ledger, row(2)).columns, std::vector<std::size_t>{1});
    EXPECT_EQ(judge(third.rows().at(row(1)), {false, false}).outcome, Outcome::equal) << "gone on both sides";
    // Neither side gave it a value: then it is not this transaction's to answer for.
    Net fourth;
    fourth.put(row(9), Side::shared, values("e"), {}, false);
    fourth.put(row(9), Side::service, values("e"), {}, false);
    EXPECT_EQ(judged(fourth, Ledger{}, row(9)).outcome, Outcome::equal);
}

TEST(Net, Truncations) {
    Ledger ledger;
    Net before;
    for (auto const side : both)
        before.put(row(1), side, values("a", "b"), {}, false);
    ledger.take(before, 1);
    Net net;
    net.put(row(2), Side::shared, values("a", "b"), {}, false);
    net.truncate(0, Side::shared, true);
    net.truncate(0, Side::service, true);
    net.put(row(3), Side::shared, values("a", "b"), {}, false);
    EXPECT_EQ(judged(net, ledger, row(2)).outcome, Outcome::equal);
    EXPECT_EQ(judged(net, ledger, row(3)).kind, model::FindingKind::missing) << "nothing can be left at the service's side";
    ledger.take(net, 2);
    Net after;
    after.put(row(1), Side::shared, values("a", "b"), {}, false);
    EXPECT_EQ(judged(after, ledger, row(1)).outcome, Outcome::different) << "what was there went with the truncation";
    Net part;
    part.truncate(0, Side::shared, false);
    part.remove(row(7), Side::service);
    auto const open = judged(part, ledger, row(7));
    EXPECT_EQ(open.outcome, Outcome::open);
    EXPECT_TRUE(part.rows().at(row(7)).of(Side::shared).only_later);
}

TEST(Ledger, ForgetsWhatNoSnapshotNeeds) {
    Ledger ledger;
    for (Ledger::Number n = 1; n <= 10; ++n) {
        Net net;
        net.put(row(static_cast<int>(n)), Side::shared, values("a", "b"), {}, false);
        ledger.take(net, n);
    }
    auto const full = ledger.bytes();
    ledger.release(5);
    EXPECT_EQ(ledger.floor(), 5U);
    EXPECT_LT(ledger.bytes(), full * 6 / 10);
    ledger.forget(10);
    EXPECT_EQ(ledger.bytes(), 0U);
    EXPECT_EQ(ledger.floor(), 10U);
}

// One random change: of row `key`, or to `to`, or of the table.
struct Act {
    int kind;
    int key;
    int to;
    bool service;
    int value;
};

// What a Net has to say, from whole rows: nullopt is a row that is gone; rows that were not touched are left out.
using Model = std::map<std::pair<int, bool>, std::optional<std::string>>;

void act(Act const& a, Model& rows, Net* net, Spill* spill) {
    auto const side = a.service ? Side::service : Side::shared;
    auto const value = std::to_string(a.value);
    std::pair const id{a.key, a.service};
    if (a.kind == 0) {
        rows[id].reset();
        net != nullptr ? net->remove(row(a.key), side) : spill->remove(row(a.key), side);
    } else if (a.kind == 1 && a.to != a.key) {
        rows[id].reset();
        rows[{a.to, a.service}] = value;
        net != nullptr ? net->put(row(a.to), side, values(value, value), key(a.key), false) : spill->put(row(a.to), side, values(value, value), key(a.key));
    } else if (a.kind == 2) {
        for (auto& [other_id, content] : rows) {
            if (other_id.second == a.service)
                content.reset();
        }
        net != nullptr ? net->truncate(0, side, true) : spill->truncate(0, side, true);
    } else {
        rows[id] = value;
        net != nullptr ? net->put(row(a.key), side, values(value, value), {}, false) : spill->put(row(a.key), side, values(value, value), {});
    }
}

RC_GTEST_PROP(NetProperty, SaysWhatWasDone, ()) {
    auto const acts = *rc::gen::container<std::vector<Act>>(
        rc::gen::build<Act>(rc::gen::set(&Act::kind, rc::gen::weightedElement<int>({{2, 0}, {2, 1}, {1, 2}, {8, 3}})), rc::gen::set(&Act::key, rc::gen::inRange(0, 6)),
                            rc::gen::set(&Act::to, rc::gen::inRange(0, 6)), rc::gen::set(&Act::service), rc::gen::set(&Act::value, rc::gen::inRange(0, 3))));
    auto const spill_from = *rc::gen::inRange<std::size_t>(0, acts.size() + 1);
    Model rows;
    Net net;
    for (std::size_t i = 0; i < spill_from; ++i)
        act(acts[i], rows, &net, nullptr);
    std::map<Key, RowState> found;
    if (spill_from == acts.size()) {
        for (auto const& [id, state] : net.rows())
            found[id.key] = state;
    } else {
        Spill spill{"/tmp"};
        spill.begin(net);
        for (std::size_t i = spill_from; i < acts.size(); ++i)
            act(acts[i], rows, nullptr, &spill);
        auto const limit = *rc::gen::element<std::size_t>(64, 1024, 1UL << 20U);
        spill.groups(limit, [&](Net& part) {
            for (auto const& [id, state] : part.rows())
                RC_ASSERT(found.emplace(id.key, state).second); // each row in one group
        });
    }
    for (auto const& [id, content] : rows) {
        RC_ASSERT(found.contains(key(id.first)));
        auto const& state = found[key(id.first)].of(id.second ? Side::service : Side::shared);
        RC_ASSERT((state.presence == Presence::present) == content.has_value());
        if (content)
            RC_ASSERT(state.columns == values(*content, *content));
        else
            RC_ASSERT(state.presence == Presence::absent);
    }
}

} // namespace
