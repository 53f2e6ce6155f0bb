// Goal: a request to stop reaches work that runs, waits or has not begun. Method: two threads.
#include <gtest/gtest.h>

#include <optional>
#include <thread>

#include "base/error.hpp"
#include "base/interrupt.hpp"
#include "base/nearest.hpp"

namespace {

using namespace pgcarve;
using base::Interrupt;
using base::Millis;

TEST(Interrupt, WakesWhoSleepsAndRunsCallbacks) {
    Interrupt interrupt;
    std::atomic<int> called{0};
    auto const guard = interrupt.on_request([&] { ++called; });
    EXPECT_FALSE(interrupt.wait_for(Millis{1}));
    EXPECT_NO_THROW(interrupt.check());
    std::thread other{[&] { interrupt.request("SIGTERM"); }};
    EXPECT_TRUE(interrupt.wait_for(Millis{60'000}));
    other.join();
    EXPECT_EQ(called, 1);
    EXPECT_EQ(interrupt.reason(), "SIGTERM");
    try {
        interrupt.check();
        FAIL();
    } catch (base::Error const& e) {
        EXPECT_EQ(e.code(), "interrupted");
        EXPECT_EQ(e.exit(), base::Exit::unavailable);
    }
}

TEST(Interrupt, CallsBackWhoComesTooLateButNobodyWhoHasLeft) {
    Interrupt interrupt;
    int left = 0;
    int late = 0;
    {
        auto const gone = interrupt.on_request([&] { ++left; });
    }
    auto moved_from = interrupt.on_request([&] { ++left; });
    { auto const moved_to = std::move(moved_from); }
    interrupt.request("SIGINT");
    interrupt.request("SIGTERM");
    auto const guard = interrupt.on_request([&] { ++late; });
    EXPECT_EQ(left, 0);
    EXPECT_EQ(late, 1);
    EXPECT_EQ(interrupt.reason(), "SIGINT") << "the first one counts";
}

TEST(Nearest, FindsTypingMistakesOnly) {
    std::vector<std::string> const words{"window", "clean_runs", "max_lag", "checkout"};
    EXPECT_EQ(base::nearest("widnow", words), "window");
    EXPECT_EQ(base::nearest("MAX_LAG", words), "max_lag");
    EXPECT_EQ(base::nearest("chekout", words), "checkout");
    EXPECT_EQ(base::nearest("elephant", words), std::nullopt);
    EXPECT_EQ(base::nearest("", words), std::nullopt);
    EXPECT_EQ(base::nearest(std::string(100'000, 'x'), words), std::nullopt);
}

} // namespace
