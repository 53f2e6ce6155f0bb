// Goal: tables move and come back, a view takes an old name's place and gives it back, keys to other services' tables hold,
// and what describe_difference() says mends a copy. Method: a private server; the catalog before is the catalog after.
#include <algorithm>

#include <gtest/gtest.h>

#include "catalog/reader.hpp"
#include "ddl/keys.hpp"
#include "ddl/move.hpp"
#include "ddl/signature.hpp"
#include "support/server.hpp"

namespace {

using namespace pgcarve;

struct World {
    std::string database = test::Server::shared().create_database("app");
    pg::Session session = test::Server::shared().connect(database, "app");
    model::Catalog catalog;
    ddl::Pairs pairs;

    World() {
        test::Server::shared().connect().run(
            "DO $$ BEGIN CREATE ROLE clerk; EXCEPTION WHEN duplicate_object THEN NULL; END $$");
        session.run("CREATE SCHEMA shop; CREATE SCHEMA svc; GRANT USAGE ON SCHEMA shop, svc TO clerk;"
                    "CREATE TABLE shop.customers (id int PRIMARY KEY);"
                    "CREATE TABLE shop.orders (id serial PRIMARY KEY, customer int CONSTRAINT to_customer REFERENCES shop.customers ON DELETE CASCADE, note text);"
                    "CREATE STATISTICS shop.orders_stats ON customer, note FROM shop.orders;"
                    "CREATE TABLE shop.lines (order_id int REFERENCES shop.orders, at date NOT NULL, customer int REFERENCES shop.customers, PRIMARY KEY (order_id, at)) PARTITION BY RANGE (at);"
                    "CREATE TABLE shop.lines_1 PARTITION OF shop.lines FOR VALUES FROM ('2020-01-01') TO ('2030-01-01');"
                    "COMMENT ON TABLE shop.orders IS 'orders';"
                    "GRANT SELECT, INSERT ON shop.orders TO clerk; GRANT UPDATE (note) ON shop.orders TO clerk;"
                    "INSERT INTO shop.customers VALUES (1), (2); INSERT INTO shop.orders (customer, note) VALUES (1, 'a');");
        read();
        for (auto const& table : catalog.tables) {
            if (table.name.name != "customers")
                pairs.push_back(ddl::make_pair(table, "svc"));
        }
        std::ranges::stable_sort(pairs, {}, &model::TablePair::is_partition);
    }
    void read() { catalog = catalog::read_catalog(session); }
    void run(std::vector<std::string> const& statements) {
        pg::Transaction transaction{session};
        for (auto const& statement : statements)
            session.run(statement);
        transaction.commit();
    }
    void carry() {
        for (auto const& step : ddl::carry_table_steps(catalog, pairs))
            run(step.sql);
    }
    std::string signatures() {
        read();
        std::string all;
        for (auto const& table : catalog.tables) {
            all += ddl::table_signature(catalog, table);
            for (auto const& s : table.statistics)
                all += s.name.display() + "\n";
        }
        for (auto const& relation : catalog.relations)
            all += relation.name.display() + "\n";
        return all;
    }
    long long count(std::string const& from) {
        return pg::Session{test::Server::shared().connect(database)}.one(sql::Sql{"SELECT count(*) FROM "}.server_text(from)).integer(0);
    }
};

TEST(Move, ThereAndBack) {
    World world;
    auto const before = world.signatures();
    EXPECT_TRUE(ddl::move_notices(world.catalog, world.pairs).empty());
    auto const step = ddl::move_step(world.catalog, world.pairs);
    world.run(step.sql);
    world.read();
    for (auto const& table : world.catalog.tables)
        EXPECT_EQ(table.name.schema, table.name.name == "customers" ? "shop" : "svc");
    EXPECT_EQ(world.catalog.find(sql::QName{"svc", "orders"})->statistics[0].name.schema, "svc");
    EXPECT_EQ(world.catalog.find(sql::QName{"svc", "orders"})->column("id")->owned_sequence->schema, "svc");
    world.run(step.undo);
    EXPECT_EQ(world.signatures(), before);
}

TEST(LegacyView, TakesWritesAndGivesTheNameBack) {
    World world;
    world.carry();
    auto const before = world.signatures();
    world.run(ddl::legacy_view_statements(world.catalog, world.pairs));
    auto clerk = test::Server::shared().connect(world.database);
    clerk.run("SET ROLE clerk");
    clerk.run("INSERT INTO shop.orders (id, note) VALUES (7, 'through the view')");
    clerk.run("UPDATE shop.orders SET note = 'again'");
    EXPECT_THROW(clerk.run("UPDATE shop.orders SET customer = 2"), pg::SqlError);
    EXPECT_THROW(clerk.run("DELETE FROM shop.orders"), pg::SqlError);
    EXPECT_EQ(world.count("svc.orders WHERE note = 'again'"), 1);
    world.run(ddl::undo_legacy_view_statements(world.pairs));
    EXPECT_EQ(world.signatures(), before);
    EXPECT_EQ(world.count("shop.orders"), 1);
}

TEST(Keys, ToTablesOfOthersHoldAtTheCopy) {
    World world;
    world.carry();
    auto const keys = ddl::foreign_keys_across(world.catalog, world.pairs);
    world.run(keys.add);
    for (auto const& step : keys.validate)
        world.run(step.sql);
    world.run({"INSERT INTO svc.orders (id, customer) VALUES (9, 2)", "DELETE FROM shop.customers WHERE id = 2"});
    EXPECT_EQ(world.count("svc.orders"), 0) << "the cascade reaches the copy";
    EXPECT_THROW(world.session.run("INSERT INTO svc.lines VALUES (1, '2021-01-01', 99)"), pg::SqlError);
    world.run(keys.drop);
    world.session.run("INSERT INTO svc.lines VALUES (1, '2021-01-01', 99)");
}

TEST(Difference, WhatItSaysMendsTheCopy) {
    World world;
    world.carry();
    world.session.run("ALTER TABLE shop.orders ADD COLUMN added numeric(5,2) NOT NULL DEFAULT 1.5, ALTER COLUMN customer TYPE bigint,"
                      " ALTER COLUMN note SET NOT NULL");
    world.session.run("ALTER TABLE shop.orders RENAME COLUMN note TO \"Remark; --\"");
    world.read();
    // A rename shows when a table is compared with itself; against the copy it takes the same number of columns.
    auto differences = [&] {
        return ddl::describe_difference(*world.catalog.find(sql::QName{"svc", "orders"}), *world.catalog.find(sql::QName{"shop", "orders"}),
                                        {"svc", "orders"});
    };
    EXPECT_GE(differences().size(), 3U);
    for (auto const& difference : differences())
        world.session.run(difference.mend);
    world.read();
    EXPECT_TRUE(differences().empty());
}

} // namespace
