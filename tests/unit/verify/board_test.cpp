// Goal: whatever order workers finish in, a comparison's result is that of the key's order, and
// nothing unfinished is called clean. Method: items taken and finished by hand.
#include <gtest/gtest.h>

#include "verify/board.hpp"

namespace {

using namespace pgcarve;
using model::Verdict;
using verify::Board;
using verify::Item;
using verify::Range;

model::Finding finding(std::string const& key) {
    model::Finding f;
    f.key.emplace_back("id", key);
    return f;
}

model::TablePair pair(std::string const& name) { return {{"public", name}, {"shop", name}, {"id"}}; }

// Opens every table with so many ranges and takes all of them.
std::vector<Item> open_all(Board& board, std::size_t tables, std::size_t ranges) {
    auto const shape = std::make_shared<verify::PairShape const>();
    std::vector<Item> opening;
    for (std::size_t i = 0; i < tables; ++i)
        opening.push_back(board.take().value());
    for (auto const& item : opening)
        board.opened(item, shape, std::vector<Range>(ranges));
    std::vector<Item> items;
    for (std::size_t i = 0; i < tables * ranges; ++i)
        items.push_back(board.take().value());
    return items;
}

TEST(Board, KeepsTheFirstSamplesOfTheKeysOrder) {
    Board board{{pair("a")}, 3};
    auto const items = open_all(board, 1, 3);
    for (auto const at : {2U, 0U, 1U}) {
        auto const name = std::to_string(at);
        EXPECT_FALSE(board.samples_full(items[at]) && at != 2U);
        board.finished(items[at], {.rows = 10, .missing = 2, .samples = {finding(name + "a"), finding(name + "b")}});
    }
    EXPECT_TRUE(board.samples_full(items[2]));
    EXPECT_FALSE(board.take());
    auto const result = board.result();
    auto const& table = result.verification.tables[0];
    EXPECT_EQ(table.missing, 6);
    EXPECT_EQ(table.rows, 30);
    ASSERT_EQ(table.samples.size(), 3U);
    EXPECT_EQ(table.samples[0].key[0].second, "0a");
    EXPECT_EQ(table.samples[2].key[0].second, "1a");
    EXPECT_EQ(result.dirty.at(0).ranges.size(), 3U);
}

TEST(Board, CallsNothingCleanThatWasNotSeenToItsEnd) {
    Board board{{pair("whole"), pair("half"), pair("broken"), pair("differs")}, 5};
    auto const items = open_all(board, 4, 2);
    std::size_t half = 0;
    for (auto const& item : items) {
        if (item.table == 0)
            board.finished(item, {.rows = 1});
        else if (item.table == 1 && half++ == 0)
            board.finished(item, {.rows = 1});
        else if (item.table == 2)
            board.failed(item, "the reason");
        else if (item.table == 3 && item.position == 0)
            board.finished(item, {.rows = 1, .different = 1});
        else
            board.failed(item, {});
    }
    board.stop("interrupted");
    board.stop("too late to matter");
    EXPECT_FALSE(board.take());
    auto const result = board.result();
    auto const& tables = result.verification.tables;
    EXPECT_EQ(tables[0].verdict, Verdict::clean);
    EXPECT_EQ(tables[1].verdict, Verdict::incomplete);
    EXPECT_EQ(tables[1].why, "interrupted after 1 of 2 ranges");
    EXPECT_EQ(tables[2].verdict, Verdict::incomplete);
    EXPECT_EQ(tables[2].why, "the reason");
    EXPECT_EQ(tables[3].verdict, Verdict::different);
    EXPECT_EQ(tables[3].why, "interrupted after 1 of 2 ranges");
    EXPECT_EQ(result.verification.verdict, Verdict::different);
}

TEST(Board, RethrowsWhatEndedAWorkerButNotWhatFailedAfterAStop) {
    Board board{{pair("a")}, 5};
    auto const item = board.take().value();
    board.crash(std::make_exception_ptr(base::Error{base::Exit::unavailable, "server-lost", "gone"}));
    EXPECT_TRUE(board.idle(base::Millis{0}));
    EXPECT_THROW(board.result(), base::Error);

    Board stopped{{pair("a")}, 5};
    stopped.take();
    stopped.stop("interrupted");
    stopped.crash(std::make_exception_ptr(base::Error{base::Exit::unavailable, "server-lost", "gone"}));
    EXPECT_EQ(stopped.result().verification.tables[0].why, "interrupted before it was begun");
}

} // namespace
