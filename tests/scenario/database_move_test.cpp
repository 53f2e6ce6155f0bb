// Goal: authority moves to a database of another server and back, as often as wanted, beside clients that write; every
// acknowledged write is on both sides in the end and at no moment do both sides take writes; what is in the way is named
// and leaves nothing behind. Method: the real binary, two servers, clients that follow the tables.
#include <csignal>
#include <filesystem>

#include "scenario/hopping.hpp"

namespace {

using namespace pgcarve;
using test::Carving;
using test::Client;
using test::Hop;

TEST(DatabaseMove, RolloutRollbackRollout) {
    Hop const hop;
    hop.prepare();
    auto const& carving = hop.carving();
    Client one{hop.sides(), 1};
    Client two{hop.sides(), 2};
    one.more(3);
    hop.expect_one_writer(true);
    test::Process stream{carving.command("sync shop --yes")};
    one.more(5);
    carving.refuses(1, "cutover shop --yes", {"never verified"});
    carving.expect(0, "verify shop");
    one.more(5);
    auto const rollout = carving.expect(0, "cutover shop --yes --format json");
    EXPECT_EQ(rollout.err.find("not compared"), std::string::npos) << rollout.err; // what was written since the proof was, under the fence
    for (auto const* const field : {"\"schema_version\": 1", "\"from\": \"syncing\"", "\"to\": \"database_live\"", "\"predicted_write_block_ms\": ",
                                    "\"write_block_ms\": ", "\"gate\""})
        EXPECT_NE(rollout.out.find(field), std::string::npos) << field << "\n" << rollout.out;
    EXPECT_EQ(rollout.out.find("\"write_block_ms\": null"), std::string::npos) << rollout.out;
    EXPECT_EQ(carving.phase(), "database_live");
    hop.expect_one_writer(false);
    one.more(10);
    two.more(10);
    EXPECT_EQ(one.lost(hop.own_side()), 0);
    carving.expect(0, "rollback shop --yes");
    EXPECT_EQ(carving.phase(), "syncing");
    hop.expect_one_writer(true);
    one.more(10);
    EXPECT_EQ(one.lost(hop.shared_side()), 0);
    EXPECT_EQ(two.lost(hop.shared_side()), 0);
    carving.expect(0, std::string{"cutover shop --yes"} + test::agreed);
    one.more(10);
    two.more(10);
    EXPECT_FALSE(stream.ended()) << stream.text("err");
    one.stop();
    two.stop();
    EXPECT_TRUE(test::wait_until([&] {
        auto const told = stream.text("err");
        return told.rfind("the stream runs") > told.rfind("waits for it");
    }));
    stream.signal(SIGTERM);
    EXPECT_EQ(stream.wait().exit, 0) << stream.text("err");
    carving.expect(0, "sync shop --yes --until-caught-up");
    hop.expect_equal();
    hop.expect_one_writer(false);
    for (auto const& side : hop.sides()) {
        EXPECT_EQ(one.lost(side), 0);
        EXPECT_EQ(two.lost(side), 0);
    }
}


// No process streams beforehand: the verbs do that part themselves.
TEST(DatabaseMove, WithoutARunningSync) {
    Hop const hop;
    hop.prepare();
    Client client{hop.sides(), 1};
    client.more(20);
    hop.carving().expect(0, std::string{"cutover shop --yes"} + test::agreed);
    client.more(20);
    EXPECT_EQ(client.lost(hop.own_side()), 0);
    hop.carving().expect(0, "rollback shop --yes");
    client.more(5);
    client.stop();
    EXPECT_EQ(client.lost(hop.shared_side()), 0);
    hop.carving().refuses(0, "rollback shop --yes", {"already"}); // a second time there is nothing to do
    hop.carving().expect(0, "sync shop --yes --until-caught-up");
    hop.expect_equal();
}

// A row that somebody changed behind the stream's back after the verification, and that was written since, is found under
// the fence; nothing moves.
TEST(DatabaseMove, ADifferenceFoundUnderTheFenceTakesItBack) {
    Hop const hop;
    hop.prepare();
    auto const& carving = hop.carving();
    {
        test::Process stream{carving.command("sync shop --yes")};
        EXPECT_TRUE(test::wait_until([&] { return carving.run("verify shop").exit == 0; }));
        stream.signal(SIGTERM);
        EXPECT_EQ(stream.wait().exit, 0);
    }
    carving.sql("UPDATE public.orders SET state = 'paid' WHERE id BETWEEN 10 AND 20");
    carving.expect(0, "sync shop --yes --until-caught-up");
    test::service_server().connect(hop.own()).run("SET pgcarve.mirror = 'on'; UPDATE store.orders SET customer = 49 WHERE id = 15");
    carving.refuses(5, "cutover shop --yes", {"rows-differ", "public.orders", "15"});
    EXPECT_EQ(carving.phase(), "syncing");
    hop.expect_one_writer(true);
    EXPECT_EQ(carving.value("SELECT count(*) FROM pgcarve.attempt WHERE state = 'open'"), "0");
}

TEST(DatabaseMove, AClosedGateMovesNothing) {
    Hop const hop;
    hop.prepare();
    auto const before = hop.objects();
    hop.carving().refuses(1, "cutover shop --yes --format json", {"\"open\": false", "\"verification\"", "\"to\": \"syncing\""});
    hop.carving().refuses(2, "rollback shop --yes", {"wrong-phase"});
    hop.carving().refuses(2, "complete shop --yes", {"wrong-phase"});
    test::Process stream{hop.carving().command("sync shop --yes")};
    // Lag and the predicted block are known while a sync runs.
    EXPECT_TRUE(test::wait_until([&] {
        auto const out = hop.carving().run("status shop --format json").out;
        return out.find("\"seconds\": null") == std::string::npos && out.find("predicted") != std::string::npos && out.find("\"slot\"") != std::string::npos;
    }));
    stream.signal(SIGTERM);
    EXPECT_EQ(stream.wait().exit, 0);
    EXPECT_EQ(test::line_difference(before, hop.objects()), "");
    EXPECT_EQ(hop.carving().phase(), "syncing");
    hop.expect_one_writer(true);
}

TEST(DatabaseMove, PreparedTransactionsInTheWayAreNamed) {
    Hop const hop{"max_transaction_age = \"2s\""};
    hop.prepare();
    auto const before = hop.objects();
    // At the side that is fenced: it holds its lock for ever.
    hop.carving().sql("BEGIN; UPDATE public.orders SET state = 'gone' WHERE id = 3; PREPARE TRANSACTION 'left over'");
    std::this_thread::sleep_for(std::chrono::milliseconds{2'200});
    hop.carving().refuses(1, std::string{"cutover shop --yes"} + test::agreed, {"left over", "transactions"});
    hop.carving().sql("ROLLBACK PREPARED 'left over'");
    // At the other one, in whichever database: a new slot waits for it.
    auto session = test::service_server().connect("postgres");
    session.run("CREATE TABLE IF NOT EXISTS public.unrelated (a int)");
    session.run("BEGIN; INSERT INTO public.unrelated VALUES (1); PREPARE TRANSACTION 'forgotten'");
    hop.carving().refuses(4, std::string{"cutover shop --yes"} + test::agreed, {"slot-waits", "forgotten"});
    EXPECT_EQ(hop.carving().value("SELECT state FROM pgcarve.attempt WHERE verb = 'cutover' ORDER BY id DESC LIMIT 1"), "undone");
    hop.expect_one_writer(true);
    session.run("ROLLBACK PREPARED 'forgotten'");
    // What an undone cutover leaves are the disarmed locks alone, until the hop ends.
    auto const after = hop.objects();
    EXPECT_EQ(after.find("pgcarve_shop_back"), std::string::npos);
    hop.carving().expect(0, std::string{"cutover shop --yes"} + test::agreed);
    hop.carving().expect(0, "rollback shop --yes");
}

TEST(DatabaseMove, TheHookRunsAndListenersAreTold) {
    Hop const hop;
    hop.prepare();
    char folder[] = "/tmp/pgcarve-hook-XXXXXX";
    ASSERT_NE(mkdtemp(folder), nullptr);
    auto const listen = [&](Client::Side const& side) {
        return fmt::format("sh -c '(echo \"LISTEN pgcarve;\"; while [ ! -e {0}/moved ]; do sleep 0.1; done; echo \"SELECT 1;\") | psql -X \"{1}\"'", folder,
                           side.server->dsn(side.database));
    };
    test::Process here{listen(hop.shared_side())};
    test::Process there{listen(hop.own_side())};
    for (auto const& side : hop.sides()) {
        auto session = side.server->connect(side.database);
        EXPECT_TRUE(test::wait_until([&] {
            return Carving::value(session, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND state = 'idle' AND datname = current_database()") == "1";
        }));
    }
    hop.carving().configure(Hop::services(hop.own()), fmt::format("[hooks]\non_cutover = \"echo $PGCARVE_SERVICE $PGCARVE_PHASE > {}/moved\"\non_rollback = \"false\"\n", folder));
    hop.carving().expect(0, std::string{"cutover shop --yes"} + test::agreed);
    std::ifstream in{std::string{folder} + "/moved"};
    std::string line;
    std::getline(in, line);
    EXPECT_EQ(line, "shop database_live");
    for (auto* const listener : {&here, &there})
        EXPECT_NE(listener->wait().out.find("shop database_live"), std::string::npos);
    hop.carving().refuses(0, "rollback shop --yes", {"the hook failed"}); // it is told, and changes nothing
    std::filesystem::remove_all(folder);
}

// Either server stops hard in the middle: what was not switched is undone or gone on with, what was is finished.
TEST(DatabaseMove, AServerStopsInTheMiddle) {
    Hop const hop;
    hop.prepare();
    Client client{hop.sides(), 1};
    client.more(3);
    struct Case {
        std::string verb, point, ends;
        test::Server* server;
    };
    auto const cutover = std::string{"cutover shop --yes"} + test::agreed;
    for (auto const& [verb, point, ends, stopped] :
         {Case{cutover, "cutover/switch/locked", "database_live", &test::service_server()}, Case{"rollback shop --yes", "rollback/switch/closed", "syncing", &test::service_server()},
          Case{cutover, "cutover/switch/closed", "database_live", &test::shared_server()}, Case{"rollback shop --yes", "rollback/switch/recorded", "syncing", &test::shared_server()}}) {
        SCOPED_TRACE(point);
        auto const killed = hop.carving().run(verb, point);
        EXPECT_EQ(killed.exit, 128 + SIGKILL) << killed.out << killed.err;
        stopped->stop("immediate");
        EXPECT_EQ(hop.carving().run(verb).exit, 4);
        stopped->start();
        hop.wait_for_sessions_to_end();
        auto const again = hop.carving().run(verb);
        EXPECT_EQ(again.exit, 0) << again.out << again.err;
        EXPECT_EQ(hop.carving().phase(), ends);
        hop.expect_one_writer(ends == "syncing");
        client.more(3);
    }
    client.stop();
    hop.carving().expect(0, "sync shop --yes --until-caught-up");
    hop.expect_equal();
    EXPECT_EQ(client.lost(hop.shared_side()), 0);
}

// The schema hop first: while the database is the authority its copy in the shared database goes on being kept, down to the
// old tables, so every way back is open.
TEST(DatabaseMove, AfterTheSchemaHopAndAllTheWayBack) {
    Hop const hop;
    auto const& carving = hop.carving();
    carving.sql(test::hop_schema);
    carving.expect(0, "init --yes");
    carving.expect(0, "split shop --yes");
    carving.expect(0, "verify shop");
    carving.expect(0, "cutover shop --yes");
    carving.expect(0, "sync shop --yes --until-caught-up");
    carving.expect(0, std::string{"cutover shop --yes"} + test::agreed);
    Client client{{{&test::shared_server(), carving.database(), "shop"}, hop.own_side()}, 1};
    client.more(20);
    carving.expect(0, "sync shop --yes --until-caught-up");
    carving.expect(0, "rollback shop --yes");
    EXPECT_EQ(carving.phase(), "syncing");
    client.more(5);
    client.stop();
    EXPECT_EQ(client.lost({&test::shared_server(), carving.database(), "shop"}), 0);
    carving.expect(0, "cancel shop --yes");
    EXPECT_EQ(carving.phase(), "schema_live");
    carving.expect(0, "verify shop");
    carving.expect(0, "rollback shop --yes");
    for (auto const& table : test::hop_tables)
        EXPECT_EQ(Hop::content(hop.shared_side(), table), Hop::content({&test::shared_server(), carving.database(), "shop"}, table)) << table;
    EXPECT_EQ(client.lost(hop.shared_side()), 0);
}

// An ordinary role on both servers: it owns the databases and tables, and has REPLICATION.
TEST(DatabaseMove, NoSuperuser) {
    auto const shared = test::shared_server().create_database("carver");
    auto const own = test::service_server().create_database("carver");
    for (auto* const server : {&test::shared_server(), &test::service_server()})
        server->connect().run("ALTER ROLE carver REPLICATION; GRANT pg_read_all_stats TO carver");
    Hop const hop{"", shared, own, "carver"};
    test::shared_server().connect(shared, "carver").run(test::hop_schema);
    auto const& carving = hop.carving();
    carving.expect(0, "init --yes");
    carving.expect(0, "sync shop --yes --until-caught-up");
    // A right that is missing closes the gate before anything happens.
    test::service_server().connect().run("ALTER ROLE carver NOREPLICATION");
    carving.refuses(1, std::string{"cutover shop --yes"} + test::agreed, {"REPLICATION"});
    test::service_server().connect().run("ALTER ROLE carver REPLICATION");
    Client client{hop.sides(), 1};
    client.more(3);
    carving.expect(0, std::string{"cutover shop --yes"} + test::agreed);
    client.more(5);
    hop.expect_one_writer(false);
    carving.expect(0, "rollback shop --yes");
    client.more(5);
    client.stop();
    EXPECT_EQ(client.lost(hop.shared_side()), 0);
    carving.expect(0, "sync shop --yes --until-caught-up");
    hop.expect_equal();
    carving.expect(0, std::string{"cutover shop --yes"} + test::agreed);
    carving.expect(0, "complete shop --yes");
    carving.expect(0, "complete shop --purge --yes");
}

TEST(DatabaseMove, HostileNames) {
    auto const shared = test::shared_server().create_database();
    auto const own = test::service_server().create_database();
    auto const services = fmt::format(R"([service.a-b_c]
schema = "It's \"x\""
tables = ["\"a.\"\"b\"\"\"", "\"select\"", "\"$$ ; DROP\""]
[service.a-b_c.database]
dsn = "{}"
schema = "St\"o're.$1"
)",
                                      test::service_server().dsn(own));
    Carving const carving{test::shared_server(), shared, services};
    carving.sql(R"(CREATE TABLE public."a.""b""" ("i'd" serial PRIMARY KEY, "c""ol $1" text);
                   CREATE TABLE public."select" ("from" integer REFERENCES public."a.""b""", "where" text, PRIMARY KEY ("from"));
                   CREATE TABLE public."$$ ; DROP" ("%s" integer PRIMARY KEY) PARTITION BY RANGE ("%s");
                   CREATE TABLE public."$$ ; DROP 1" PARTITION OF public."$$ ; DROP" FOR VALUES FROM (0) TO (1000);
                   INSERT INTO public."a.""b""" ("c""ol $1") SELECT 'x' || g FROM generate_series(1, 20) g;
                   INSERT INTO public."select" SELECT g, 'y' FROM generate_series(1, 20) g;
                   INSERT INTO public."$$ ; DROP" SELECT generate_series(1, 20))");
    carving.expect(0, "init --yes");
    std::string const name = "a-b_c";
    carving.expect(0, "sync " + name + " --yes --until-caught-up");
    carving.expect(0, "cutover " + name + " --yes" + test::agreed);
    auto there = test::service_server().connect(own);
    there.run(R"(INSERT INTO "St""o're.$1"."a.""b""" ("c""ol $1") VALUES ('there'); UPDATE "St""o're.$1"."select" SET "where" = 'z' WHERE "from" = 3;
                 INSERT INTO "St""o're.$1"."$$ ; DROP" VALUES (500))");
    carving.expect(0, "rollback " + name + " --yes");
    EXPECT_EQ(carving.value(R"(SELECT count(*) FROM public."a.""b""" WHERE "c""ol $1" = 'there')"), "1");
    EXPECT_EQ(carving.value(R"(SELECT count(*) FROM public."select" WHERE "where" = 'z')"), "1");
    EXPECT_EQ(carving.value(R"(SELECT count(*) FROM public."$$ ; DROP")"), "21");
    carving.sql(R"(INSERT INTO public."a.""b""" ("c""ol $1") VALUES ('here again'))"); // the sequence went on
    carving.expect(0, "cutover " + name + " --yes" + test::agreed);
    carving.expect(0, "complete " + name + " --yes");
}

// The old tables of both hops go, with the schema that split had made.
TEST(DatabaseMove, AfterTheSchemaHopAndCompleted) {
    Hop const hop;
    auto const& carving = hop.carving();
    auto services = Hop::services(hop.own());
    services.insert(services.find("tables = "), "legacy = \"view\"\n");
    carving.configure(services);
    carving.sql(test::hop_schema);
    carving.expect(0, "init --yes");
    carving.expect(0, "split shop --yes");
    carving.expect(0, "verify shop");
    carving.expect(0, "cutover shop --yes");
    carving.expect(0, "sync shop --yes --until-caught-up");
    carving.expect(0, std::string{"cutover shop --yes"} + test::agreed);
    carving.sql("CREATE VIEW public.report AS SELECT count(*) FROM shop.orders");
    carving.refuses(5, "complete shop --yes", {"public.report", "another database"});
    carving.sql("DROP VIEW public.report");
    carving.expect(0, "complete shop --yes");
    carving.expect(0, "complete shop --purge --yes");
    EXPECT_EQ(carving.value("SELECT coalesce(string_agg(relname, ' ' ORDER BY relname), '') FROM pg_class WHERE relkind IN ('r', 'p', 'v')"
                            " AND relnamespace::regnamespace::text IN ('public', 'shop')"),
              "customers tickets");
    EXPECT_EQ(carving.value("SELECT to_regnamespace('shop') IS NULL"), "true");
    EXPECT_EQ(Hop::takes_writes(hop.own_side()), "yes");
}

// A writer that keeps its transaction open is waited for, in short tries; a stop request undoes or finishes.
TEST(DatabaseMove, OpenWritersAndStopRequests) {
    Hop const hop;
    hop.prepare();
    auto const cutover = std::string{"cutover shop --yes"} + test::agreed;
    hop.carving().expect(0, cutover);
    hop.carving().expect(0, "rollback shop --yes");
    {
        auto writer = hop.carving().connect();
        pg::Transaction transaction{writer};
        writer.run("UPDATE public.orders SET state = 'gone' WHERE id = 5");
        test::Process move{hop.carving().command(cutover)};
        EXPECT_TRUE(test::wait_until([&] { return move.text("err").find("waiting for a gap") != std::string::npos; })) << move.text("err");
        transaction.commit();
        EXPECT_EQ(move.wait().exit, 0) << move.text("err");
    }
    hop.expect_one_writer(false);
    hop.carving().expect(0, "rollback shop --yes");
    Client client{hop.sides(), 1};
    client.more(3);
    for (int const wait : {150, 400, 650, 900}) {
        test::Process move{hop.carving().command(cutover)};
        std::this_thread::sleep_for(std::chrono::milliseconds{wait});
        move.signal(SIGTERM);
        auto const output = move.wait();
        auto const phase = hop.carving().phase();
        SCOPED_TRACE(fmt::format("{} ms: exit {}, {}\n{}\n{}", wait, output.exit, phase, output.err, output.out));
        EXPECT_TRUE(output.exit == 0 || output.exit == 4);
        hop.expect_one_writer(phase == "syncing");
        if (phase == "database_live") {
            hop.carving().expect(0, cutover);
            hop.carving().expect(0, "rollback shop --yes");
        } else {
            EXPECT_EQ(hop.carving().value("SELECT count(*) FROM pgcarve.attempt WHERE state = 'open'"), "0");
            EXPECT_EQ(hop.objects().find("pgcarve_shop_back"), std::string::npos);
        }
    }
    client.stop();
    EXPECT_EQ(client.lost(hop.shared_side()), 0);
    hop.carving().expect(0, "sync shop --yes --until-caught-up");
    hop.expect_equal();
}

} // namespace
