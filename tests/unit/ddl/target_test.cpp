// Goal: sequences go on within their bounds, and a definition that cannot be taken apart is refused, not thrown. Method:
// extreme states; a catalog by hand.
#include <algorithm>
#include <limits>

#include <gtest/gtest.h>

#include "base/error.hpp"
#include "ddl/target.hpp"

namespace {

using namespace pgcarve;

std::string value(ddl::SequenceState const& state, long long margin) {
    return *ddl::write_sequence({"a", "b"}, state, margin).values().at(0);
}

TEST(WriteSequence, GoesOnWithAMargin) {
    auto const sql = ddl::write_sequence({"a", "it's"}, {7, true, 1, 1, 100});
    EXPECT_EQ(sql.text(), "SELECT pg_catalog.setval('\"a\".\"it''s\"'::pg_catalog.regclass, $1::bigint, $2::boolean)");
    EXPECT_EQ(*sql.values()[0], "7");
    EXPECT_EQ(*sql.values()[1], "true");
    EXPECT_EQ(*ddl::write_sequence({"a", "b"}, {7, false, 1, 1, 100}).values()[1], "false");
    EXPECT_EQ(value({7, true, 5, 1, 1000}, 10), "57");
    EXPECT_EQ(value({-7, true, -5, -1000, -1}, 10), "-57");
}

TEST(WriteSequence, StaysInside) {
    constexpr auto most = std::numeric_limits<long long>::max();
    EXPECT_EQ(value({95, true, 1, 1, 100}, 10), "100");
    EXPECT_EQ(value({-95, true, -1, -100, -1}, 10), "-100");
    EXPECT_EQ(value({most - 1, true, 1, 1, most}, 10), std::to_string(most));
    EXPECT_EQ(value({5, true, most, 1, most}, 10), std::to_string(most));
    EXPECT_EQ(value({-5, true, -most, -most, -1}, 10), std::to_string(-most));
}

struct Case {
    model::Catalog source;
    model::Catalog target;
    model::Foundation here;
    model::Foundation there;

    Case() {
        source.server_version = target.server_version = here.server_version = there.server_version = 150000;
        source.role = target.role = {"me", false, false, {"me"}};
        target.roles = {"me"};
        here.encoding = there.encoding = "UTF8";
        there.may_create_schemas = true;
        model::Table t;
        t.name = {"public", "orders"};
        t.sql_name = "public.orders";
        t.owner = "me";
        for (auto const* const right : {"SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE"})
            t.grants.push_back({"me", right, false, "me"});
        t.columns = {{.number = 1, .name = "id", .type = "integer", .type_kind = "b", .not_null = true}};
        model::Index key;
        key.name = key.sql_name = "orders_pkey";
        key.unique = key.primary = true;
        key.constraint = "orders_pkey";
        key.key_columns = {"id"};
        key.definition = "CREATE UNIQUE INDEX orders_pkey ON public.orders USING btree (id)";
        t.indexes = {key};
        t.constraints = {{.name = "orders_pkey", .type = 'p', .definition = "PRIMARY KEY (id)", .columns = {"id"}}};
        source.tables = {t};
    }
    model::Table& orders() { return source.tables.front(); }
    ddl::TargetPlan plan() { return ddl::plan_target(source, here, target, there, {ddl::make_pair(orders(), "svc")}, "svc"); }
    std::string refused() {
        std::string out;
        for (auto const& n : plan().notices)
            out += n.refuses ? n.object + ": " + n.text + "\n" : "";
        return out;
    }
};

TEST(PlanTarget, APlainTable) {
    Case c;
    auto const plan = c.plan();
    EXPECT_TRUE(plan.notices.empty());
    ASSERT_EQ(plan.pre_load.size(), 3U);
    EXPECT_EQ(plan.pre_load[0].sql, std::vector<std::string>{"CREATE SCHEMA \"svc\""});
    EXPECT_EQ(plan.pre_load[1].sql,
              (std::vector<std::string>{"SET LOCAL default_tablespace = ''", "CREATE TABLE \"svc\".\"orders\" (\"id\" integer NOT NULL)"}));
    EXPECT_EQ(plan.pre_load[2].id, ddl::late_keys_step("orders"));
    EXPECT_EQ(plan.pre_load[2].sql,
              (std::vector<std::string>{"SET LOCAL default_tablespace = ''", "ALTER TABLE ONLY \"svc\".\"orders\" ADD CONSTRAINT \"orders_pkey\" PRIMARY KEY (id)"}));
    EXPECT_TRUE(plan.post_load.empty());
}

TEST(PlanTarget, RefusesWhatItCannotCarry) {
    { Case c; c.orders().kind = 'f'; EXPECT_EQ(c.refused(), "public.orders: is a foreign table\n"); }
    { Case c; c.orders().rules = {"r"}; EXPECT_EQ(c.refused(), "public.orders: has the rule r\n"); }
    { Case c; c.orders().indexes.clear(); c.orders().constraints.clear();
      EXPECT_EQ(c.refused(), "public.orders: has no usable key: no primary key and no unique index of NOT NULL columns\n"); }
    { Case c; c.orders().row_security = c.orders().force_row_security = true;
      EXPECT_EQ(c.refused(), "public.orders: forces row level security on its owner, so me may not see all of its rows\n"); }
    { Case c; c.orders().loose_functions = {"public.f()"}; EXPECT_NE(c.refused().find("the stream would not find them"), std::string::npos); }
    Case c;
    c.orders().statistics = {{.name = {"public", "s"}, .sql_name = "public.s", .owner = "me", .definition = "CREATE SOMETHING ELSE"}};
    EXPECT_NE(c.refused().find("has a definition that pgcarve does not understand"), std::string::npos);
    EXPECT_TRUE(c.plan().post_load.empty());
}

TEST(PlanTarget, ATableSpaceAndAForeignOwnerStayBehind) {
    Case c;
    c.orders().tablespace = "fast";
    c.orders().owner = "somebody";
    for (auto& g : c.orders().grants)
        g.grantee = "somebody";
    auto const plan = c.plan();
    ASSERT_EQ(plan.notices.size(), 2U);
    EXPECT_FALSE(plan.notices[0].refuses || plan.notices[1].refuses);
    EXPECT_EQ(plan.notices[0].hint, "at the target: CREATE ROLE \"somebody\"; GRANT \"somebody\" TO \"me\";");
    EXPECT_TRUE(plan.post_load.empty());
}

// What version 13 has and version 18 makes of it.
TEST(PlanTarget, AnIdentityOfTheRootIsNoDifferenceOfAPartition) {
    Case c;
    auto root = c.orders();
    root.kind = 'p';
    root.partition_key = "RANGE (id)";
    auto part = c.orders();
    part.name = {"public", "part"};
    part.sql_name = "public.part";
    part.partition_of = root.name;
    part.partition_bound = "DEFAULT";
    part.indexes.clear();
    part.constraints.clear();
    c.source.tables = {root, part};
    ddl::Pairs const pairs{ddl::make_pair(c.source.tables[0], "svc"), ddl::make_pair(c.source.tables[1], "svc")};
    root.name = {"svc", "orders"};
    part.name = {"svc", "part"};
    part.partition_of = root.name;
    part.columns[0].identity = 'd';
    c.target.tables = {root, part};
    auto const identity = [&] {
        auto const plan = ddl::plan_target(c.source, c.here, c.target, c.there, pairs, "svc");
        return std::ranges::any_of(plan.notices, [](model::Notice const& n) { return n.text.find("identity") != std::string::npos; });
    };
    EXPECT_FALSE(identity());
    c.target.tables[1].columns[0].owned_sequence = sql::QName{"svc", "of_its_own"};
    EXPECT_TRUE(identity());
}

TEST(PlanTarget, PairsMustPointIntoTheSchema) {
    Case c;
    EXPECT_THROW((void)ddl::plan_target(c.source, c.here, c.target, c.there, {ddl::make_pair(c.orders(), "elsewhere")}, "svc"), base::Error);
}

} // namespace
