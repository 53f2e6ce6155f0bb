// Goal: snapshots and chunks (sync/chunks.hpp) say what a brute-force model says. Method: random snapshots anywhere in the
// circle of transaction numbers, random sets of ranges added in any order.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "base/error.hpp"
#include "sync/chunks.hpp"

namespace {

using namespace pgcarve;
using sync::Range;
using sync::Snapshot;

wire::TransactionId low(std::uint64_t xid) { return {static_cast<std::uint32_t>(xid)}; }

RC_GTEST_PROP(Snapshot, SeesWhatEndedBeforeItAlsoWhereNumbersGoRound, ()) {
    // Full transaction numbers around a turn of the 32-bit circle.
    auto const turn = *rc::gen::inRange<std::uint64_t>(1, 5) << 32U;
    auto const end = turn - 100 + *rc::gen::inRange<std::uint64_t>(0, 200);
    std::set<std::uint64_t> running;
    for (auto const back : *rc::gen::container<std::vector<std::uint64_t>>(rc::gen::inRange<std::uint64_t>(1, 60)))
        running.insert(end - back);
    std::string list;
    for (auto const x : running)
        list += fmt::format("{}{}", list.empty() ? "" : ",", x);
    auto const snapshot = Snapshot::parse(fmt::format("{}:{}:{}", running.empty() ? end : *running.begin(), end, list));
    RC_ASSERT(std::ranges::equal(snapshot.running(), running));
    for (auto xid = end - 150; xid < end + 150; ++xid)
        RC_ASSERT(snapshot.sees(low(xid)) == (xid < end && !running.contains(xid)));
    RC_ASSERT(snapshot.sees(low(end - 2'000'000'000)));
    RC_ASSERT(!snapshot.sees(low(end + 2'000'000'000)));
}

TEST(Snapshot, IsReadOrIsABug) {
    EXPECT_EQ(Snapshot::parse("10:20:10,14,15").text(), "10:20:10,14,15");
    for (auto const* const text : {"", "10", "10:20", "10:x:", "10:20:a", ":", "10:20:1,,2", "10:20:-1"})
        EXPECT_THROW((void)Snapshot::parse(text), base::Error) << text;
}

sync::MappedTable table_of(std::string const& type) {
    return {{"public", "t"}, {"public", "t"}, {{"id", type, base::Oid{20}, -1, true}}, {0}};
}

TEST(TableChunks, SplitsOnlyWhatItCanCompare) {
    for (auto const* const type : {"smallint", "integer", "bigint"})
        EXPECT_EQ(sync::key_order(table_of(type)), sync::KeyOrder::integer);
    EXPECT_EQ(sync::key_order(table_of("uuid")), sync::KeyOrder::uuid);
    for (auto const* const type : {"numeric", "numeric(10,2)", "oid", "date", "timestamp without time zone", "timestamp(3) with time zone", "bytea"})
        EXPECT_EQ(sync::key_order(table_of(type)), sync::KeyOrder::source);
    for (auto const* const type : {"text", "character varying", "character varying(20)", "character(36)"})
        EXPECT_EQ(sync::key_order(table_of(type)), sync::KeyOrder::source_by_collation);
    for (auto const* const type : {"public.texts", "texts", "text[]", "inet", "public.mood", "jsonb", "time without time zone", "\"char\"", "\"numeric\""})
        EXPECT_EQ(sync::key_order(table_of(type)), sync::KeyOrder::none) << type;
}

// Where only the source compares, its count of the upper ends below a key says in which range the key is.
TEST(TableChunks, OneBehindTheOther) {
    sync::TableChunks chunks{sync::KeyOrder::source};
    EXPECT_EQ(chunks.snapshot_at(0), nullptr);
    chunks.add({std::nullopt, "9.5"}, Snapshot::parse("100:100:"));
    EXPECT_EQ(chunks.missing()->lo, "9.5");
    EXPECT_THROW(chunks.add({"9.50", "30"}, {}), base::Error);
    EXPECT_THROW(chunks.add({std::nullopt, "30"}, {}), base::Error);
    chunks.add({"9.5", "10"}, Snapshot::parse("110:110:"));
    EXPECT_EQ(chunks.upper_ends(), (std::vector<std::string>{"9.5", "10"}));
    EXPECT_EQ(chunks.snapshot_at(0)->text(), "100:100:");
    EXPECT_EQ(chunks.snapshot_at(1)->text(), "110:110:");
    EXPECT_EQ(chunks.snapshot_at(2), nullptr);
    chunks.add({"10", std::nullopt}, Snapshot::parse("120:120:"));
    EXPECT_EQ(chunks.upper_ends().size(), 2U);
    EXPECT_EQ(chunks.snapshot_at(2)->text(), "120:120:");
    EXPECT_FALSE(chunks.missing());
    chunks.follow();
    EXPECT_FALSE(chunks.snapshot_at(0)->sees(low(1)));
}

constexpr int first = -12;
constexpr int last = 12;

std::string text_of(sync::KeyOrder order, int key) {
    if (order == sync::KeyOrder::integer)
        return std::to_string(key);
    return fmt::format("{:08x}-0000-4000-8000-00000000000a", (key - first) * 5);
}

RC_GTEST_PROP(TableChunks, KnowsWhatIsCopiedAndWhatIsMissing, ()) {
    auto const order = *rc::gen::element(sync::KeyOrder::integer, sync::KeyOrder::uuid);
    // Cuts, and the ranges between them; some of these are added, in any order.
    auto cuts = *rc::gen::unique<std::vector<int>>(rc::gen::inRange(first + 1, last));
    std::ranges::sort(cuts);
    std::vector<std::pair<std::optional<int>, std::optional<int>>> ranges; // lo < key <= hi
    std::optional<int> lo;
    for (auto const cut : cuts) {
        ranges.emplace_back(lo, cut);
        lo = cut;
    }
    ranges.emplace_back(lo, std::nullopt);
    std::vector<std::size_t> chosen;
    for (std::size_t i = 0; i < ranges.size(); ++i) {
        if (*rc::gen::inRange(0, 4) != 0)
            chosen.push_back(i);
    }
    std::vector<std::size_t> shuffled;
    for (auto const i : chosen)
        shuffled.insert(shuffled.begin() + *rc::gen::inRange<std::ptrdiff_t>(0, std::ssize(shuffled) + 1), i);

    sync::TableChunks chunks{order};
    auto const bound = [&](std::optional<int> key) { return key ? std::optional{text_of(order, *key)} : std::nullopt; };
    for (auto const i : shuffled) // the snapshot tells which range it is
        chunks.add({bound(ranges[i].first), bound(ranges[i].second)}, Snapshot::parse(fmt::format("{0}:{0}:", 100 + 10 * i)));
    RC_ASSERT(chunks.none() == chosen.empty());

    for (int key = first; key <= last; ++key) {
        std::optional<std::size_t> want;
        for (auto const i : chosen) {
            if ((!ranges[i].first || key > *ranges[i].first) && (!ranges[i].second || key <= *ranges[i].second))
                want = i;
        }
        auto const* const got = chunks.snapshot_of(text_of(order, key));
        RC_ASSERT((got != nullptr) == want.has_value());
        if (want)
            RC_ASSERT(got->text() == fmt::format("{0}:{0}:", 100 + 10 * *want));
    }
    for (std::uint32_t xid = 90; xid < 400; xid += 7) {
        auto const any = std::ranges::any_of(chosen, [&](std::size_t i) { return xid < 100 + 10 * i; });
        RC_ASSERT(chunks.any_sees({xid}) == any);
    }

    // The first gap: it starts where no copied range covers and goes on to the next copied one.
    std::optional<std::pair<std::optional<int>, std::optional<int>>> gap;
    for (std::size_t i = 0; i < ranges.size(); ++i) {
        bool const copied = std::ranges::find(chosen, i) != chosen.end();
        if (!copied && !gap)
            gap = ranges[i];
        else if (!copied && gap && gap->second == ranges[i].first)
            gap->second = ranges[i].second;
    }
    auto const missing = chunks.missing();
    RC_ASSERT(missing.has_value() == gap.has_value());
    if (gap) {
        RC_ASSERT(missing->lo == bound(gap->first));
        RC_ASSERT(missing->hi == bound(gap->second));
    }
    chunks.clear();
    RC_ASSERT(chunks.none());
    RC_ASSERT(chunks.missing().has_value());
}

TEST(TableChunks, AnUnsplitTableIsOneRange) {
    sync::TableChunks chunks{sync::KeyOrder::none};
    EXPECT_EQ(chunks.snapshot_of("anything"), nullptr);
    EXPECT_TRUE(chunks.missing() && !chunks.missing()->lo && !chunks.missing()->hi);
    chunks.add({}, Snapshot::parse("5:5:"));
    EXPECT_NE(chunks.snapshot_of("anything"), nullptr);
    EXPECT_FALSE(chunks.missing());
}

} // namespace
