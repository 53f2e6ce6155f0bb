// Goal: a comparison reads for its share of the time while others are active, however many readers and whatever pieces, and
// for all of it while nobody is. Method: made clocks, readers that begin whenever they may.
#include <gtest/gtest.h>

#include <vector>

#include "verify/pace.hpp"

namespace {

using namespace std::chrono_literals;
using pgcarve::verify::Pace;
using Time = Pace::Time;
using Seconds = std::chrono::duration<double>;

struct Reader {
    std::chrono::milliseconds piece;
    std::chrono::milliseconds left{0};
};

// Seconds that the readers read within so much time, in steps of a millisecond and samples every 100 of them.
template <class Busy>
double read_for(Pace& pace, std::vector<Reader> readers, std::chrono::milliseconds time, Busy const& busy, Time begin = {}) {
    double read = 0;
    for (auto at = 0ms; at < time; ++at) {
        auto const now = begin + at;
        if (at % 100ms == 0ms)
            pace.sample(busy(at), now);
        for (auto& reader : readers) {
            if (reader.left > 0ms && --reader.left == 0ms)
                pace.end(now);
            if (reader.left == 0ms && !pace.rest(now)) {
                reader.left = reader.piece;
                pace.begin(now);
            }
            if (reader.left > 0ms)
                read += 0.001;
        }
    }
    return read;
}

auto const always = [](auto) { return true; };
auto const nobody = [](auto) { return false; };

TEST(Pace, AllReadersTogetherReadForTheirShareOfTheTime) {
    for (double const ratio : {0.5, 10.0}) {
        for (auto const& readers : {std::vector<Reader>{{250ms}}, {{250ms}, {250ms}}, {{30ms}, {900ms}, {200ms}}, {{7ms}, {7ms}, {7ms}, {7ms}}}) {
            Pace pace{ratio, Time{}};
            EXPECT_NEAR(read_for(pace, readers, 200s, always) / 200, 1 / (1 + ratio), 0.03) << ratio << " " << readers.size();
            EXPECT_GT(pace.rested().count(), 0);
        }
    }
}

TEST(Pace, NobodyRestsWhileNobodyElseIsActive) {
    Pace idle{3, Time{}};
    EXPECT_NEAR(read_for(idle, {{250ms}, {250ms}}, 20s, nobody), 40, 0.1);
    EXPECT_EQ(idle.rested().count(), 0);
    Pace never{0, Time{}};
    EXPECT_TRUE(never.never());
    EXPECT_NEAR(read_for(never, {{250ms}, {250ms}}, 20s, always), 40, 0.1);
    EXPECT_EQ(never.rested().count(), 0);
    EXPECT_FALSE(never.sparing());
}

TEST(Pace, RestsInProportionToHowBusyTheServersAre) {
    Pace pace{3, Time{}};
    // Half of the time: of what is read then, each second is paid for, and of the rest none is.
    double const read = read_for(pace, {{50ms}}, 400s, [](auto at) { return at / 100ms * 7 % 10 < 5; });
    EXPECT_GT(read / 400, 1 / (1 + 1.5));
    EXPECT_LT(read / 400, 0.5 + 0.5 / (1 + 3.0));
}

TEST(Pace, WhatIsOwedIsDroppedOnceTheServersAreQuiet) {
    Pace pace{100, Time{}};
    pace.sample(true, Time{});
    EXPECT_FALSE(pace.rest(Time{}));
    pace.begin(Time{});
    EXPECT_TRUE(pace.sparing());
    pace.end(Time{10s});
    EXPECT_TRUE(pace.rest(Time{10s}));
    EXPECT_TRUE(pace.resting());
    pace.sample(true, Time{20s});
    pace.sample(false, Time{21s});
    EXPECT_TRUE(pace.rest(Time{21s}));
    pace.sample(false, Time{22s});
    EXPECT_FALSE(pace.rest(Time{22s}));
    EXPECT_FALSE(pace.sparing());
    EXPECT_EQ(pace.rested(), Seconds{12});
}

TEST(Pace, UntilTheFirstSampleTheServersAreTakenToBeBusy) {
    Pace pace{3, Time{}};
    pace.begin(Time{});
    pace.end(Time{1s});
    EXPECT_TRUE(pace.rest(Time{1s}));
    Pace idle{3, Time{}};
    idle.sample(false, Time{});
    EXPECT_FALSE(idle.sparing());
}

// A rest that ends before anybody has asked for it was none.
TEST(Pace, OnlyWaitingCountsAsRest) {
    Pace pace{1, Time{}};
    pace.sample(true, Time{});
    pace.begin(Time{});
    pace.end(Time{1s});
    EXPECT_FALSE(pace.rest(Time{3s}));
    EXPECT_EQ(pace.rested(), Seconds{0});
}

} // namespace
