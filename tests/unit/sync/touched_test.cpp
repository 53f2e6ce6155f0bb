#include <gtest/gtest.h>

#include "base/error.hpp"
#include "sync/touched.hpp"

namespace pgcarve::sync {
namespace {

wire::Column text(std::string_view value) { return {wire::ColumnState::text, value}; }
wire::Column const kept{wire::ColumnState::unchanged_toast, {}};

MappedTable table() { return {{"shop", "t"}, {"service", "t"}, {{"a", "text", {}, -1, true}, {"b", "text", {}, -1, true}, {"c", "text", {}}}, {1, 0}}; }

std::vector<TouchedKey> keys_of(std::vector<Change> const& changes) {
    auto const shape = table();
    TouchedTable touched{shape};
    for (auto const& change : changes)
        touched.add(change);
    return read_keys(touched.keys(), 2);
}

TEST(Touched, KeysOfAnyContentAreReadBackInTheOrderOfTheKey) {
    std::vector<wire::Column> const row{text("3:x"), text(""), text("no key")};
    std::vector<wire::Column> const other{text("\n\xc3\xa9"), text("12:"), text("no key")};
    Change a{.kind = Kind::insert, .row = row};
    Change b{.kind = Kind::remove, .old = other};
    EXPECT_EQ(keys_of({a, b}), (std::vector<TouchedKey>{{"", "3:x"}, {"12:", "\n\xc3\xa9"}}));
}

TEST(Touched, ARowIsTouchedOnceAndAMovedRowAtBothOfItsKeys) {
    std::vector<wire::Column> const one{text("1"), text("1"), text("x")};
    std::vector<wire::Column> const two{text("1"), text("2"), text("y")};
    Change same{.kind = Kind::update, .old = one, .row = one};
    Change moved{.kind = Kind::update, .old = one, .row = two};
    EXPECT_EQ(keys_of({same, same, moved}), (std::vector<TouchedKey>{{"1", "1"}, {"2", "1"}}));
}

TEST(Touched, APartOfAKeyThatWasNotSentAgainIsTheOldOne) {
    std::vector<wire::Column> const old{text("large"), text("1"), text("x")};
    std::vector<wire::Column> const row{kept, text("2"), text("y")};
    Change moved{.kind = Kind::update, .old = old, .row = row};
    EXPECT_EQ(keys_of({moved}), (std::vector<TouchedKey>{{"1", "large"}, {"2", "large"}}));
}

TEST(Touched, WhatWasCutOffIsNoList) {
    for (auto const* const bad : {"1", "1:", "2:a", "x:a", "1:a", "-1:a1:b"})
        EXPECT_THROW((void)read_keys(bad, 2), base::Error) << bad;
}

TEST(Touched, ACutIsBehindWhatIsKeptAndBeforeWhatOthersDoNotSee) {
    using base::Lsn;
    EXPECT_EQ((TouchedCut{}.at()), std::nullopt);
    EXPECT_EQ((TouchedCut{{}, Lsn{5}}.at()), std::nullopt);
    EXPECT_EQ((TouchedCut{Lsn{7}, {}}.at()), Lsn{7});
    EXPECT_EQ((TouchedCut{Lsn{7}, Lsn{8}}.at()), Lsn{7});
    EXPECT_EQ((TouchedCut{Lsn{7}, Lsn{7}}.at()), Lsn{6}); // of the same batch
    EXPECT_EQ((TouchedCut{Lsn{7}, Lsn{2}}.at()), Lsn{1});
}

TEST(Touched, ALineIsAsLongAsWhatIsInIt) {
    EXPECT_EQ(line_size("stream", "table", 2, 100) - line_size("stream", "table", 0, 0), 116U);
    EXPECT_GT(line_size("", "", 0, 0), 64U);
}

} // namespace
} // namespace pgcarve::sync
