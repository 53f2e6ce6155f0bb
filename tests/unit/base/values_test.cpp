// Goal: the small values that everything else is made of. Method: tables of cases.
#include <gtest/gtest.h>

#include "base/duration.hpp"
#include "base/types.hpp"

namespace {

using namespace pgcarve;
using base::Millis;

TEST(Duration, NeedsAWholeNumberAndAUnit) {
    EXPECT_EQ(base::parse_duration("28d"), Millis{28LL * 86'400'000});
    EXPECT_EQ(base::parse_duration("45s"), Millis{45'000});
    EXPECT_EQ(base::parse_duration("500ms"), Millis{500});
    for (auto const* bad : {"", "5", "-1s", "1.5h", "s", "10 s", "10S", "99999999999999d", "1h30m"})
        EXPECT_FALSE(base::parse_duration(bad)) << bad;
}

TEST(Duration, FormatsWhatItParses) {
    for (auto const* text : {"28d", "90m", "1500ms", "0s", "6h"})
        EXPECT_EQ(base::format_duration(*base::parse_duration(text)), text);
    EXPECT_EQ(base::describe_duration(Millis{86'400'000 * 3 + 3'600'000 * 4}), "3d 4h");
    EXPECT_EQ(base::describe_duration(Millis{1500}), "1s");
}

TEST(Lsn, RoundTrips) {
    EXPECT_EQ(base::Lsn::parse("16/B374D848")->text(), "16/B374D848");
    EXPECT_FALSE(base::Lsn::parse("16B374D848"));
    EXPECT_FALSE(base::Lsn::parse("x/1"));
}

} // namespace
