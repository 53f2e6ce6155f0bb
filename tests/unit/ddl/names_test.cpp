// Goal: names move exactly where they are names, and what reads the same counts as the same. Method: texts as the server
// deparses them.
#include <gtest/gtest.h>

#include "ddl/names.hpp"

namespace {

using namespace pgcarve;

ddl::NameMap map() {
    ddl::NameMap names;
    names.add({"shop", "orders"}, {"svc", "orders"});
    names.add({"shop", "Odd \"one\""}, {"svc", "Odd \"one\""});
    names.add({"shop", "orders_id_seq"}, {"svc", "orders_id_seq"});
    names.add({"stays", "here"}, {"stays", "here"});
    return names;
}
std::string moved(std::string const& text) { return map().in(text).value_or("in doubt"); }

TEST(Names, MoveRelations) {
    EXPECT_EQ(moved("(EXISTS ( SELECT FROM shop.orders o WHERE (o.id = id)))"), "(EXISTS ( SELECT FROM svc.orders o WHERE (o.id = id)))");
    EXPECT_EQ(moved("shop.\"Odd \"\"one\"\"\""), "svc.\"Odd \"\"one\"\"\"");
    EXPECT_EQ(moved("ROW(1)::shop.orders[]"), "ROW(1)::svc.orders[]");
}
TEST(Names, MoveRegclassConstants) {
    EXPECT_EQ(moved("nextval('shop.orders_id_seq'::regclass)"), "nextval('svc.orders_id_seq'::regclass)");
    EXPECT_EQ(moved("x('shop.\"Odd \"\"one\"\"\"'::regclass)"), "x('svc.\"Odd \"\"one\"\"\"'::regclass)");
    EXPECT_EQ(moved("nextval('shop.other_seq'::regclass)"), "nextval('shop.other_seq'::regclass)");
}
TEST(Names, LeaveTheRestAlone) {
    for (auto const* const text : {"'shop.orders'::text", "'it''s shop.orders'::text", "E'\\'shop.orders'::text", "shop.twice(orders)", "shop.orders(1)",
                                   "'new'::shop.state", "\"shop.orders\"", "x.shop.orders", "(shop > 5)", "workshop.orders", "stays.here"})
        EXPECT_EQ(moved(text), text);
}
TEST(Names, AnAliasLikeTheSchemaIsInDoubt) {
    EXPECT_EQ(moved("( SELECT FROM shop.orders shop WHERE shop.orders)"), "in doubt");
    EXPECT_EQ(moved("( SELECT FROM shop.orders, elsewhere.shop)"), "in doubt");
}

TEST(Canonical, DistributesCastsOfArrays) {
    EXPECT_EQ(ddl::canonical("((x)::text = ANY ((ARRAY['a'::character varying, 'it''s, ]'::character varying])::text[]))"),
              "((x)::text = ANY (ARRAY[('a'::character varying)::text, ('it''s, ]'::character varying)::text]))");
    EXPECT_EQ(ddl::canonical("(ARRAY[f(1, 2), \"a,b\"])::numeric(10,2)[]"), "ARRAY[(f(1, 2))::numeric(10,2), (\"a,b\")::numeric(10,2)]");
    EXPECT_EQ(ddl::canonical("(ARRAY[]::integer[])::text[]"), "(ARRAY[]::integer[])::text[]");
    for (auto const* const text : {"ARRAY[('a'::character varying)::text]", "(a OR b)", "'(ARRAY[1])::text[]'", "(ARRAY[1])", "\"(ARRAY[1])::text[]\""})
        EXPECT_EQ(ddl::canonical(text), text);
}

} // namespace
