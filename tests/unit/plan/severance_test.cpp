// Goal: every foreign key that a database hop severs is found once under the name that pgcarve.toml knows, with its decision, whichever
// hop the tables took before; and what is kept of it is kept once.
// Method: small catalogs built by hand.
#include <algorithm>
#include <map>

#include <gtest/gtest.h>

#include "plan/crossings.hpp"
#include "plan/database.hpp"
#include "plan/loose.hpp"
#include "plan/reference.hpp"

namespace {

using namespace pgcarve;
using model::CrossingDecision;
using sql::QName;

model::Table table(QName name) {
    model::Table t;
    t.name = std::move(name);
    t.owner = "owner";
    t.columns.push_back({.number = 1, .name = "id", .type = "integer"});
    t.indexes.push_back({.name = "pk", .unique = true, .primary = true, .key_columns = {"id"}});
    t.columns.front().not_null = true;
    return t;
}

model::Constraint key(std::string name, std::string column, QName parent, char on_delete = 'c') {
    model::Constraint c;
    c.name = std::move(name);
    c.type = 'f';
    c.columns = {std::move(column)};
    c.referenced = std::move(parent);
    c.referenced_columns = {"id"};
    c.on_delete = on_delete;
    c.equals = {"OPERATOR(pg_catalog.=)"};
    c.referenced_equals = c.equals;
    return c;
}

struct World {
    model::Catalog catalog;
    model::BoundaryMap map;
    model::Setup setup;
    plan::Ownership ownership;

    explicit World(bool split) {
        auto orders = table({"public", "orders"});
        orders.constraints.push_back(key("orders_customer", "customer_id", {"public", "customers"}));
        auto invoices = table({"public", "invoices"});
        invoices.constraints.push_back(key("invoices_order", "order_id", {"public", "orders"}, 'n'));
        auto lines = table({"public", "lines"});
        lines.constraints.push_back(key("lines_order", "order_id", {"public", "orders"}));
        catalog.tables = {table({"public", "countries"}), table({"public", "customers"}), std::move(invoices), std::move(lines), std::move(orders)};
        model::Service shop;
        shop.name = "shop";
        shop.schema = "shop";
        map.services.emplace("shop", shop);
        setup.database = model::DatabaseSetup{"store", "pgcarve_shop", {}};
        for (std::string const name : {"lines", "orders"}) {
            setup.tables.push_back({{"public", name}, {"shop", name}, {"id"}, true, false, {}});
            setup.database->tables.push_back({{split ? "shop" : "public", name}, {"store", name}, {"id"}, true, false, {}});
            ownership.owner[{"public", name}] = "shop";
        }
        if (split) {
            auto copy = table({"shop", "orders"});
            copy.constraints.push_back(key("orders_customer", "customer_id", {"public", "customers"}));
            catalog.tables.push_back(std::move(copy));
            catalog.tables.push_back(table({"shop", "lines"}));
        }
        ownership.reference = {{"public", "countries"}, {"public", "orders"}};
    }
    void decide(std::string child, std::string column, std::string parent, CrossingDecision decision) {
        map.services.at("shop").foreign_keys.push_back({"", {"public", std::move(child)}, {std::move(column)}, QName{"public", std::move(parent)}, std::nullopt, decision, {}});
    }
    [[nodiscard]] plan::Severance severed() const { return plan::severance(map, map.services.at("shop"), ownership, setup, catalog); }
};

TEST(SeveranceTest, ADecisionForAPartitionedTableHoldsForItsPartitions) {
    World world{false};
    auto events = table({"public", "events"});
    events.kind = 'p';
    world.catalog.tables.push_back(std::move(events));
    for (std::string const name : {"events_1", "events_2"}) {
        auto part = table({"public", name});
        part.partition_of = QName{"public", "events"};
        part.constraints.push_back(key(name + "_customer", "customer_id", {"public", "customers"}));
        world.catalog.tables.push_back(std::move(part));
        world.ownership.owner[{"public", name}] = "shop";
        world.setup.database->tables.push_back({{"public", name}, {"store", name}, {"id"}, true, true, {}});
    }
    world.setup.database->tables.push_back({{"public", "events"}, {"store", "events"}, {"id"}, true, false, {}});
    world.ownership.owner[{"public", "events"}] = "shop";
    std::ranges::sort(world.catalog.tables, {}, &model::Table::name);
    world.decide("invoices", "order_id", "orders", CrossingDecision::drop);
    world.decide("orders", "customer_id", "customers", CrossingDecision::loose);
    EXPECT_EQ(world.severed().undecided, (std::vector<std::string>{"events.customer_id -> customers"}));
    world.decide("events_2", "customer_id", "customers", CrossingDecision::drop);
    EXPECT_EQ(world.severed().undecided, (std::vector<std::string>{"events.customer_id -> customers"}));
    world.decide("events", "customer_id", "customers", CrossingDecision::loose);
    auto const all = world.severed();
    EXPECT_EQ(all.undecided, std::vector<std::string>{});
    std::map<std::string, CrossingDecision> decisions;
    for (auto const& one : all.keys)
        decisions[one.name] = one.decision;
    EXPECT_EQ(decisions.at("events_1_customer"), CrossingDecision::loose);
    EXPECT_EQ(decisions.at("events_2_customer"), CrossingDecision::drop);
}

TEST(SeveranceTest, WhatIsUndecidedOrKeptIsNamedAsTheConfigurationNamesIt) {
    for (bool const split : {false, true}) {
        World world{split};
        auto found = world.severed();
        EXPECT_EQ(found.undecided, (std::vector<std::string>{"invoices.order_id -> orders", "orders.customer_id -> customers"}));
        world.decide("orders", "customer_id", "customers", CrossingDecision::keep);
        world.decide("invoices", "order_id", "orders", CrossingDecision::drop);
        found = world.severed();
        EXPECT_TRUE(found.undecided.empty());
        EXPECT_EQ(found.kept, std::vector<std::string>{"orders.customer_id -> customers"});
        auto const listed = plan::database_crossings(world.map, world.map.services.at("shop"), world.ownership, world.setup, world.catalog);
        ASSERT_EQ(listed.size(), 2U);
        EXPECT_EQ(listed[0].from, "invoices.order_id -> orders");
        EXPECT_EQ(listed[0].decision, "drop");
        EXPECT_EQ(listed[1].decision, "keep");
    }
}

TEST(SeveranceTest, ALooseKeyIsKeptOnceBetweenTheTablesThatTakeWrites) {
    for (bool const split : {false, true}) {
        World world{split};
        world.decide("orders", "customer_id", "customers", CrossingDecision::loose);
        world.decide("invoices", "order_id", "orders", CrossingDecision::loose);
        auto const found = world.severed();
        EXPECT_EQ(found.keys.size(), split ? 3U : 2U); // all constraints go
        auto const keys = plan::loose_keys(world.setup, found.keys);
        ASSERT_EQ(keys.size(), 2U);
        EXPECT_EQ(keys[0].key.child, (QName{"public", "invoices"}));
        EXPECT_TRUE(keys[0].key.parent_moves);
        EXPECT_EQ(keys[0].parent, (QName{"store", "orders"}));
        EXPECT_EQ(keys[0].reference, "store.orders (id)");
        EXPECT_EQ(keys[1].key.child, (QName{split ? "shop" : "public", "orders"}));
        EXPECT_EQ(keys[1].parent, (QName{"public", "customers"}));
        model::Catalog other;
        other.tables = {table({"store", "orders"})};
        auto const steps = plan::loose_install_steps("shop", keys, world.catalog, other);
        ASSERT_EQ(steps.size(), 3U);
        EXPECT_EQ(steps[0].id, "other:loose-queue");
        EXPECT_EQ(steps[1].id, "loose:public.customers");
        EXPECT_EQ(steps[2].id, "other:loose:store.orders");
        EXPECT_FALSE(steps[1].undo.empty());
    }
}

TEST(SeveranceTest, DroppedKeysAreNotKept) {
    World world{false};
    world.decide("orders", "customer_id", "customers", CrossingDecision::drop);
    EXPECT_TRUE(plan::loose_keys(world.setup, world.severed().keys).empty());
}

TEST(SeveranceTest, ReferenceTablesAreThoseListedAndReplicatedParents) {
    World world{false};
    auto const names = [&] {
        std::vector<std::string> all;
        for (auto const& pair : plan::reference_pairs(*world.setup.database, world.ownership, world.severed().keys, world.catalog))
            all.push_back(pair.source.display() + " " + pair.target.display());
        return all;
    };
    EXPECT_EQ(names(), std::vector<std::string>{"public.countries store.countries"}); // orders are the service's own
    world.decide("orders", "customer_id", "customers", CrossingDecision::replicate);
    world.decide("invoices", "order_id", "orders", CrossingDecision::replicate); // its child stays
    EXPECT_EQ(names(), (std::vector<std::string>{"public.countries store.countries", "public.customers store.customers"}));
}

TEST(SeveranceTest, ADecisionAboutASeveredKeyStaysValid) {
    World world{false};
    world.decide("orders", "customer_id", "customers", CrossingDecision::loose);
    auto const severed = world.severed().keys;
    for (auto& t : world.catalog.tables)
        std::erase_if(t.constraints, [](model::Constraint const& c) { return c.name == "orders_customer"; });
    world.map.shared_schema = "public";
    EXPECT_EQ(plan::resolve(world.map, world.catalog).problems.size(), 1U);
    EXPECT_TRUE(plan::resolve(world.map, world.catalog, severed).problems.empty());
}

TEST(LooseTextTest, TriggersOfSeveralServicesDoNotMeet) {
    mirrorgen::LooseParent const one{.service = "shop", .table = {"public", "customers"}, .referenced = {{"id"}, {"a", "B c"}}};
    auto two = one;
    two.service = "other";
    auto const a = mirrorgen::loose_parent(one);
    auto const b = mirrorgen::loose_parent(two);
    for (auto const& trigger : a.triggers) {
        for (auto const& other : b.triggers) {
            EXPECT_NE(trigger.name, other.name);
            EXPECT_NE(trigger.function, other.function);
        }
    }
    EXPECT_EQ(mirrorgen::loose_reference({"public", "p"}, {"a", "B c"}), "public.p (a, \"B c\")");
}

} // namespace
