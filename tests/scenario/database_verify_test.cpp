// Goal: `verify` and `repair` of a service in two databases, in both directions, beside clients and a running sync or
// without one: nothing is reported that is not real, what is real is found and mended, and the gate goes by it.
#include <nlohmann/json.hpp>

#include "scenario/hopping.hpp"

namespace {

using namespace pgcarve;
using nlohmann::json;
using test::Carving;
using test::Client;
using test::Hop;

json verdict(Hop const& hop, int exit, std::string const& options) {
    auto const document = json::parse(hop.carving().expect(exit, "--format json verify shop " + options).out);
    return document["services"][0];
}

// By the back door, in rows that no client writes.
void corrupt(Client::Side const& side) {
    auto session = side.server->connect(side.database);
    session.run(fmt::format("SET pgcarve.mirror = 'on'; UPDATE {0}.orders SET big = big || 'x' WHERE id = 750; DELETE FROM {0}.lines WHERE order_id = 751 AND line = 2;"
                            "INSERT INTO {0}.payments VALUES ('2024-03-03', 100001, 1, 1.0); UPDATE {0}.\"Größen\" SET \"wert \"\"x\"\"\" = ARRAY['a', NULL, 'b\"d']"
                            " WHERE \"Schlüssel\" = md5('1')::uuid",
                            side.schema));
}

std::string counts(json const& verification) {
    std::string all;
    for (auto const& table : verification["tables"])
        all += fmt::format("{} {}/{}/{}{} ", table["source"].get<std::string>().substr(table["source"].get<std::string>().find('.') + 1),
                           table["missing"].get<int>(), table["extra"].get<int>(), table["different"].get<int>(), table["why"].is_null() ? "" : " " + table["why"].get<std::string>());
    return all;
}

constexpr auto corrupted = "\"Größen\" 0/0/1 lines 1/0/0 orders 0/0/1 payments 0/1/0 ";

void expect_mended(Hop const& hop) {
    auto const found = verdict(hop, 1, "");
    EXPECT_EQ(counts(found), corrupted);
    EXPECT_EQ(found.dump().find("xxxx"), std::string::npos); // no values unless asked for
    hop.carving().expect(0, "repair shop --dry-run");
    EXPECT_EQ(counts(verdict(hop, 1, "--show-values")), corrupted);
    hop.carving().expect(0, "repair shop --yes");
    auto const clean = verdict(hop, 0, "");
    EXPECT_EQ(clean["verdict"], "clean");
    EXPECT_EQ(hop.carving().value("SELECT count(*) FROM pgcarve.finding WHERE resolved_at IS NULL"), "0");
}

TEST(DatabaseVerify, BesideClientsInBothDirections) {
    Hop const hop;
    hop.prepare();
    auto const first = verdict(hop, 0, "");
    EXPECT_EQ(first["mode"], "full");
    EXPECT_GE(first["rows"], 4'000);
    Client client{hop.sides(), 1};
    {
        test::Process sync{hop.carving().command("sync shop --yes")};
        client.more(5);
        EXPECT_EQ(verdict(hop, 0, "")["verdict"], "clean");
        auto const next = verdict(hop, 0, "--incremental");
        EXPECT_EQ(next["mode"], "full"); // every row's turn has come: the window is nothing here
        corrupt(hop.own_side());
        expect_mended(hop);
        client.more(5);
        // The gate takes these verdicts.
        hop.carving().expect(0, "cutover shop --yes");
        client.more(5);
        auto const back = verdict(hop, 0, "--incremental");
        EXPECT_EQ(back["mode"], "full"); // of another direction nothing was proven yet
        corrupt(hop.shared_side());
        expect_mended(hop);
        sync.signal(SIGTERM);
        EXPECT_EQ(sync.wait().exit, 0);
    }
    client.more(3);
    EXPECT_EQ(verdict(hop, 0, "")["verdict"], "clean"); // without a sync
    corrupt(hop.shared_side());
    expect_mended(hop);
    hop.carving().expect(0, "rollback shop --yes");
    client.more(3);
    EXPECT_EQ(verdict(hop, 0, "")["verdict"], "clean");
    client.stop();
    hop.carving().expect(0, "sync shop --yes --until-caught-up");
    hop.expect_equal();
    EXPECT_EQ(client.lost(hop.shared_side()), 0);
    hop.carving().expect(2, "verify shop --tables nonsense");
    hop.carving().expect(2, "verify shop --full --incremental");
    EXPECT_EQ(verdict(hop, 0, "--tables lines --where 'order_id < 100'")["tables"].size(), 1U);
}

TEST(DatabaseVerify, WhatCannotBeProvenIsNotClean) {
    Hop const hop;
    hop.prepare();
    auto session = test::service_server().connect(hop.own());
    session.run("ALTER TABLE store.lines ALTER COLUMN price TYPE text");
    auto const altered = hop.carving().run("--format json verify shop");
    EXPECT_TRUE(altered.exit == 3 || altered.exit == 5) << altered.out << altered.err;
    session.run("ALTER TABLE store.lines ALTER COLUMN price TYPE numeric(10, 2) USING price::numeric");
    EXPECT_EQ(verdict(hop, 0, "")["verdict"], "clean");
    // Killed at any time, it leaves nothing behind that a later one stumbles over.
    Client client{hop.sides(), 1};
    for (int delay = 20; delay < 600; delay += 120) {
        test::Process verify{hop.carving().command("verify shop")};
        std::this_thread::sleep_for(std::chrono::milliseconds{delay});
        verify.signal(SIGKILL);
        (void)verify.wait();
    }
    hop.wait_for_sessions_to_end();
    client.more(2);
    EXPECT_EQ(verdict(hop, 0, "")["verdict"], "clean");
}

// Without a key no stream finds a row again: refused before anything is touched, with the statements that mend it.
TEST(DatabaseVerify, TablesWithoutAKeyAreRefusedWithWhatMendsThem) {
    auto const own = test::service_server().create_database();
    Carving const carving{test::shared_server(), test::shared_server().create_database(),
                          fmt::format("[service.shop]\nschema = \"shop\"\ntables = [\"bag\", \"loose\"]\n[service.shop.database]\ndsn = \"{}\"\nschema = \"store\"\n",
                                      test::service_server().dsn(own))};
    carving.sql("CREATE TABLE public.bag (a int, b text); CREATE TABLE public.loose (a int UNIQUE, b text);"
                "ALTER TABLE public.bag REPLICA IDENTITY FULL; ALTER TABLE public.loose REPLICA IDENTITY FULL;"
                "INSERT INTO public.bag VALUES (1, 'x'), (1, 'x'), (NULL, NULL); INSERT INTO public.loose VALUES (1, 'x'), (NULL, 'y')");
    carving.expect(0, "init --yes");
    std::string const key = "ALTER TABLE \"public\".\"bag\" ADD COLUMN \"row_id\" bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY;";
    std::string const not_null = "ALTER TABLE \"public\".\"loose\" ALTER COLUMN \"a\" SET NOT NULL;";
    carving.refuses(5, "sync shop --yes", {"public.bag has no usable key", key, "public.loose has no usable key", not_null, "nothing was touched"});
    EXPECT_EQ(carving.value("SELECT (SELECT count(*) FROM pg_publication) + (SELECT count(*) FROM pg_replication_slots WHERE database = current_database())"), "0");
    carving.sql("UPDATE public.loose SET a = 2 WHERE a IS NULL;" + key + not_null);
    carving.expect(0, "sync shop --yes --until-caught-up");
    // Equal rows are rows of their own.
    auto target = test::service_server().connect(own);
    target.run("SET pgcarve.mirror = 'on'; DELETE FROM store.bag WHERE row_id = 2");
    auto const found = json::parse(carving.expect(1, "--format json verify shop").out)["services"][0];
    EXPECT_EQ(counts(found), "bag 1/0/0 loose 0/0/0 ");
    carving.expect(0, "repair shop --yes");
    carving.expect(0, "verify shop");
}

} // namespace
