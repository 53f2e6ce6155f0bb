// Goal: no name and no value can become syntax. Method: tables of cases.
#include <gtest/gtest.h>

#include "sql/ident.hpp"

namespace {

using namespace pgcarve;

TEST(Ident, QuotesWhatNeedsQuotes) {
    EXPECT_EQ(sql::quote_ident("a\"b"), "\"a\"\"b\"");
    EXPECT_EQ(sql::display_ident("orders"), "orders");
    EXPECT_EQ(sql::display_ident("Order Lines"), "\"Order Lines\"");
    EXPECT_EQ(sql::display_ident("user"), "\"user\"");
    EXPECT_EQ(sql::display_ident("größe"), "\"größe\"");
    EXPECT_EQ(sql::literal("it's"), "'it''s'");
    EXPECT_EQ(sql::literal("a\\b"), " E'a\\\\b'");
}

TEST(Ident, BoundsNamesWithoutMakingThemEqual) {
    std::string const one(80, 'x');
    auto const other = one + "y";
    EXPECT_LE(sql::bounded_name(one, "_suffix").size(), 63U);
    EXPECT_NE(sql::bounded_name(one, "_suffix"), sql::bounded_name(other, "_suffix"));
    EXPECT_EQ(sql::bounded_name("short", "_s"), "short_s");
    std::string umlauts;
    for (int i = 0; i < 40; ++i)
        umlauts += "ü";
    auto const cut = sql::bounded_name(umlauts, "_s");
    EXPECT_LE(cut.size(), 63U);
    EXPECT_EQ((cut.find('_')) % 2, 0U) << "cut inside a UTF-8 sequence";
}

} // namespace
