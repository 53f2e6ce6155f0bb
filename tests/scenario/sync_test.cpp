// Goal: `pgcarve sync` brings a service's tables into another database and keeps them there in step, whatever is killed on
// the way; what it cannot stream safely it refuses or stops at, and `cancel` leaves nothing. Method: the real binary,
// two databases, clients that write; both sides are compared byte for byte.
#include <csignal>

#include "scenario/carving.hpp"

namespace {

using namespace pgcarve;
using test::Carving;

test::Server& server() {
    static test::Server one{{.settings = {"wal_level = logical", "max_replication_slots = 30", "max_wal_senders = 30"}}};
    return one;
}

std::vector<std::string> const tables{"orders", "lines", "payments", "Größen"};

constexpr auto schema = R"(
CREATE TYPE public.state AS ENUM ('new', 'paid', 'gone');
CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
    'BEGIN NEW.touched := clock_timestamp(); RETURN NEW; END';
CREATE TABLE public.orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, state public.state NOT NULL DEFAULT 'new', customer integer,
    attributes jsonb, big text, touched timestamptz, twice bigint GENERATED ALWAYS AS (customer * 2) STORED);
CREATE INDEX ON public.orders (customer) WHERE state <> 'gone';
CREATE TRIGGER touch BEFORE UPDATE ON public.orders FOR EACH ROW EXECUTE FUNCTION public.touch();
CREATE TABLE public.lines (order_id bigint REFERENCES public.orders ON DELETE CASCADE, line integer, price numeric(10, 2), UNIQUE (order_id, price), PRIMARY KEY (order_id, line));
CREATE TABLE public.payments (day date, id bigserial, order_id bigint, amount numeric, PRIMARY KEY (day, id)) PARTITION BY RANGE (day);
CREATE TABLE public.payments_1 PARTITION OF public.payments FOR VALUES FROM ('2024-01-01') TO ('2024-07-01');
CREATE TABLE public.payments_2 PARTITION OF public.payments FOR VALUES FROM ('2024-07-01') TO ('2025-01-01');
CREATE TABLE public."Größen" ("Schlüssel" uuid PRIMARY KEY, "wert ""x""" text[]);
INSERT INTO public.orders (customer, attributes, big) SELECT g % 50, jsonb_build_object('g', g), repeat(md5(g::text), 200) FROM generate_series(1, 800) g;
INSERT INTO public.lines SELECT o.id, l, l FROM public.orders o, generate_series(1, 3) l;
INSERT INTO public.payments (day, order_id, amount) SELECT '2024-01-01'::date + g % 360, g, g FROM generate_series(1, 800) g;
INSERT INTO public."Größen" SELECT md5(g::text)::uuid, ARRAY['a', NULL, 'b"c'] FROM generate_series(1, 800) g;
)";

test::Writer::Work work() {
    return {{"INSERT INTO {}.orders (customer, attributes, big) VALUES (# % 50, '{\"turn\": #}', repeat('x', # % 7000))",
             "INSERT INTO {}.lines SELECT max(id), 1, 2.5 FROM {}.orders WHERE attributes @> '{\"turn\": #}'",
             "UPDATE {}.orders SET state = 'paid' WHERE id = 1 + # % 700",
             "UPDATE {}.lines SET price = 10 - price WHERE order_id = 1 + # % 700",
             "DELETE FROM {}.orders WHERE id = 1 + (# * 7) % 700",
             "INSERT INTO {}.payments (day, order_id, amount) VALUES ('2024-01-01'::date + # % 300, #, #)",
             "UPDATE {}.payments SET day = day + 30 WHERE id = 1 + # % 700 AND day < '2024-11-01'",
             "UPDATE {}.\"Größen\" SET \"Schlüssel\" = md5('n#')::uuid WHERE \"Schlüssel\" = md5('#')::uuid"},
            "SELECT count(DISTINCT attributes -> 'turn') FROM {}.orders WHERE (attributes ->> 'turn')::int = ANY ('{#}')"};
}

class SyncTest : public testing::Test {
protected:
    SyncTest() : source_{server().create_database()}, target_{server().create_database()}, carving_{server(), source_, services()} {
        carving_.sql(schema);
        carving_.expect(0, "init --yes");
    }

    [[nodiscard]] std::string services() const {
        return fmt::format("[service.shop]\nschema = \"shop\"\ntables = [\"orders\", \"lines\", \"payments\", \"Größen\"]\n"
                           "[service.shop.database]\ndsn = \"{}\"\nschema = \"store\"\n",
                           server().dsn(target_));
    }

    [[nodiscard]] std::string content(std::string const& database, std::string const& in, std::string const& table) const {
        auto session = server().connect(database);
        return Carving::value(session, fmt::format("SELECT count(*) || ' ' || md5(coalesce(string_agg(t::text, E'\\n' ORDER BY t::text COLLATE \"C\"), '')) FROM {}.\"{}\" t", in, table));
    }

    void expect_equal(std::string const& authority = "public") const {
        for (auto const& table : tables)
            EXPECT_EQ(content(source_, authority, table), content(target_, "store", table)) << table;
    }

    [[nodiscard]] std::string target_objects() const {
        auto session = server().connect(target_);
        return test::catalog_text(session) + Carving::value(session, "SELECT count(*) FROM pg_namespace WHERE nspname = 'pgcarve'") +
               Carving::value(session, "SELECT coalesce(string_agg(typname, ' '), '') FROM pg_type WHERE typnamespace = 'public'::regnamespace");
    }

    std::string source_;
    std::string target_;
    Carving carving_;
};

TEST_F(SyncTest, CopiesFollowsAndCanBeCancelled) {
    auto const before = target_objects();
    auto session = carving_.connect();
    auto const source_before = test::catalog_text(session);
    carving_.expect(0, "sync shop --dry-run");
    EXPECT_EQ(target_objects(), before);
    {
        test::Writer writer{server(), source_, "shop", work()};
        writer.more(5);
        carving_.expect(0, "sync shop --yes --until-caught-up");
        EXPECT_EQ(carving_.phase(), "syncing");
        carving_.expect(0, "verify --all"); // beside a writer, and without a sync
        auto const doctor = carving_.run("doctor shop");
        EXPECT_EQ(doctor.out.find("pgcarve split"), std::string::npos) << doctor.out; // there is nothing to split
        writer.more(20);
        test::Process stream{carving_.command("sync shop --yes")};
        writer.more(20);
        EXPECT_TRUE(test::wait_until([&] { return carving_.run("status shop --format json").out.find("\"phase\": \"syncing\"") != std::string::npos; }));
        carving_.refuses(4, "sync shop --yes", {"lease"});
        stream.signal(SIGTERM);
        EXPECT_EQ(stream.wait().exit, 0);
        writer.more(5);
    }
    carving_.expect(0, "sync shop --yes --until-caught-up");
    expect_equal();
    carving_.expect(0, "cancel shop --yes");
    EXPECT_EQ(carving_.phase(), "planned");
    EXPECT_EQ(test::line_difference(before, target_objects()), "");
    EXPECT_EQ(test::line_difference(source_before, test::catalog_text(session)), "");
    EXPECT_EQ(carving_.value("SELECT count(*) FROM pg_replication_slots WHERE database = current_database()"), "0");
    EXPECT_EQ(carving_.value("SELECT count(*) FROM pg_publication"), "0");
    // And again from the beginning.
    carving_.expect(0, "sync shop --yes --until-caught-up");
    expect_equal();
}

TEST_F(SyncTest, KilledAtEveryStep) {
    test::Writer writer{server(), source_, "shop", work()};
    std::string progress;
    int point = 2;
    int deaths = 0;
    for (int turn = 1; turn <= 200; ++turn) {
        auto const output = carving_.run("sync shop --yes --until-caught-up", fmt::format("#{}", point));
        carving_.wait_for_sessions_to_end();
        if (output.exit != 128 + SIGKILL) {
            EXPECT_EQ(output.exit, 0) << output.out << output.err;
            break;
        }
        ++deaths;
        auto const now = carving_.value("SELECT count(*) || ' ' || max(id) FROM pgcarve.journal WHERE state <> 'note'");
        point = now == progress ? point + 1 : 2;
        progress = now;
    }
    EXPECT_GT(deaths, 10);
    writer.more(5);
    auto session = carving_.connect();
    EXPECT_EQ(writer.lost(session, "public"), 0);
    writer.stop();
    carving_.expect(0, "sync shop --yes --until-caught-up");
    expect_equal();
    // The cancellation too.
    for (int at = 1; at <= 60; ++at) {
        auto const output = carving_.run("cancel shop --yes", "#3");
        carving_.wait_for_sessions_to_end();
        if (output.exit != 128 + SIGKILL) {
            EXPECT_EQ(output.exit, 0) << output.out << output.err;
            break;
        }
    }
    EXPECT_EQ(carving_.phase(), "planned");
    EXPECT_EQ(carving_.value("SELECT count(*) FROM pg_replication_slots WHERE database = current_database()"), "0");
}

// A slot waits for every transaction that runs: for minutes, on a bad day.
TEST_F(SyncTest, AStopIsHeardWhileTheSlotWaits) {
    auto holder = carving_.connect();
    for (std::string const flag : {"", " --until-caught-up"}) {
        pg::Transaction transaction{holder};
        holder.run("INSERT INTO public.orders (customer) VALUES (1)");
        test::Process stream{carving_.command("sync shop --yes" + flag)};
        EXPECT_TRUE(test::wait_until([&] { return stream.text("err").find("making slot") != std::string::npos; }));
        EXPECT_TRUE(test::wait_until([&] {
            return carving_.value("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgcarve slot' AND wait_event_type = 'Lock'") != "0";
        }));
        stream.signal(SIGTERM);
        EXPECT_EQ(stream.wait().exit, flag.empty() ? 0 : 4) << stream.text("err"); // stopped as told, or not in step
        carving_.wait_for_sessions_to_end();
        EXPECT_EQ(carving_.phase(), "copying");
        transaction.commit();
    }
    carving_.expect(0, "sync shop --yes --until-caught-up");
    expect_equal();
}

TEST_F(SyncTest, ASchemaChangeStopsItUntilTheTargetFollows) {
    carving_.expect(0, "sync shop --yes --until-caught-up");
    test::Process stream{carving_.command("sync shop --yes")};
    carving_.sql("INSERT INTO public.orders (customer) VALUES (1); ALTER TABLE public.orders ADD COLUMN note text; INSERT INTO public.orders (customer, note) VALUES (2, 'n')");
    auto const output = stream.wait();
    EXPECT_EQ(output.exit, 5) << output.err;
    EXPECT_NE(output.err.find("note"), std::string::npos) << output.err;
    EXPECT_NE(output.err.find("ADD COLUMN \"note\" text"), std::string::npos) << output.err; // at once, not with the next run
    carving_.refuses(5, "sync shop --yes", {"note", "ALTER TABLE", "ADD COLUMN"});
    server().connect(target_).run("ALTER TABLE store.orders ADD COLUMN note text");
    carving_.expect(0, "sync shop --yes --until-caught-up");
    expect_equal();
    // In one transaction, written before and after; the other side would take the value and round it.
    carving_.sql("BEGIN; INSERT INTO public.lines VALUES (1, 77, 1.25); ALTER TABLE public.lines ALTER COLUMN price TYPE numeric(12,4); INSERT INTO public.lines VALUES (1, 78, 1.2345); COMMIT");
    carving_.refuses(5, "sync shop --yes --until-caught-up", {"price", "numeric(12,4)", "ALTER COLUMN \"price\" TYPE numeric(12,4)"});
    carving_.refuses(5, "sync shop --yes --until-caught-up", {"ALTER COLUMN \"price\" TYPE numeric(12,4)"});
    server().connect(target_).run("ALTER TABLE store.lines ALTER COLUMN price TYPE numeric(12,4)");
    carving_.expect(0, "sync shop --yes --until-caught-up");
    expect_equal();
}

// Target first: neither a sync that runs nor one that is started in between stops. A column that goes at the source does stop it.
TEST_F(SyncTest, AColumnThatTheTargetGetsFirst) {
    carving_.expect(0, "sync shop --yes --until-caught-up");
    auto target = server().connect(target_);
    test::Process stream{carving_.command("sync shop --yes")};
    EXPECT_TRUE(test::wait_until([&] { return stream.text("err").find("the stream runs") != std::string::npos; }, base::Millis{60'000}));
    target.run("ALTER TABLE store.orders ADD COLUMN note text; ALTER TABLE store.lines ADD COLUMN kind text NOT NULL DEFAULT 'plain'");
    carving_.sql("INSERT INTO public.orders (customer) VALUES (1); UPDATE public.lines SET price = price + 10 WHERE order_id < 20");
    stream.signal(SIGTERM);
    EXPECT_EQ(stream.wait().exit, 0);
    auto const between = carving_.run("sync shop --yes --until-caught-up");
    EXPECT_EQ(between.exit, 0) << between.err;
    EXPECT_NE(between.err.find("column note of store.orders is in the target only"), std::string::npos) << between.err;
    EXPECT_NE(carving_.run("cutover shop --dry-run").out.find("is in the other database only"), std::string::npos); // the gate stays closed
    test::Process again{carving_.command("sync shop --yes")};
    EXPECT_TRUE(test::wait_until([&] { return again.text("err").find("the stream runs") != std::string::npos; }, base::Millis{60'000}));
    carving_.sql("INSERT INTO public.orders (customer) VALUES (2); ALTER TABLE public.orders ADD COLUMN note text; INSERT INTO public.orders (customer, note) VALUES (2, 'n');"
                 " ALTER TABLE public.lines ADD COLUMN kind text NOT NULL DEFAULT 'plain'; UPDATE public.lines SET kind = 'odd' WHERE order_id = 30");
    EXPECT_TRUE(test::wait_until([&] { return Carving::value(target, "SELECT count(*) FROM store.lines WHERE kind = 'odd'") != "0" || again.ended(); }, base::Millis{60'000}));
    again.signal(SIGTERM);
    auto const output = again.wait();
    EXPECT_EQ(output.exit, 0) << output.err;
    EXPECT_NE(output.err.find("the target has it already"), std::string::npos) << output.err;
    carving_.expect(0, "sync shop --yes --until-caught-up");
    expect_equal();

    // Nothing can come without this one, and that one was dropped at the source.
    target.run("ALTER TABLE store.lines ADD COLUMN must integer NOT NULL DEFAULT 1; ALTER TABLE store.lines ALTER COLUMN must DROP DEFAULT");
    carving_.refuses(5, "sync shop --yes --until-caught-up", {"column must", "DROP COLUMN \"must\""});
    target.run("ALTER TABLE store.lines DROP COLUMN must");
    carving_.sql("ALTER TABLE public.orders DROP COLUMN note; INSERT INTO public.orders (customer) VALUES (3)");
    carving_.refuses(5, "sync shop --yes --until-caught-up", {"column note", "DROP COLUMN \"note\""});
    target.run("ALTER TABLE store.orders DROP COLUMN note");
    carving_.expect(0, "sync shop --yes --until-caught-up");
    expect_equal();
}

TEST_F(SyncTest, ALostSlotIsNotPassedOver) {
    carving_.expect(0, "sync shop --yes --until-caught-up");
    carving_.sql("SELECT pg_drop_replication_slot('pgcarve_shop'); INSERT INTO public.orders (customer) VALUES (1)");
    carving_.refuses(5, "sync shop --yes", {"slot-lost", "pgcarve sync shop --heal"});
    carving_.refuses(5, "doctor shop", {"pgcarve_shop", "cannot be streamed"});
    carving_.refuses(0, "status shop", {"is gone"});
    carving_.expect(0, "cancel shop --yes");
    carving_.expect(0, "sync shop --yes --until-caught-up");
    expect_equal();
}

// Names of slots are of the whole server: another database there may have a service of the same name.
TEST_F(SyncTest, ASlotOfAnotherDatabaseIsLeftAlone) {
    carving_.expect(0, "sync shop --yes --until-caught-up");
    auto const slots = [&] { return carving_.value("SELECT string_agg(slot_name || ' ' || database || ' ' || restart_lsn, ', ') FROM pg_replication_slots"); };
    auto const before = slots();
    {
        Carving const other{server(), server().create_database(),
                            fmt::format("[service.shop]\nschema = \"shop\"\ntables = [\"t\"]\n[service.shop.database]\ndsn = \"{}\"\nschema = \"store\"\n",
                                        server().dsn(server().create_database()))};
        other.sql("CREATE TABLE public.t (id int PRIMARY KEY)");
        other.expect(0, "init --yes");
        other.refuses(5, "sync shop --yes", {"slot-taken", "pgcarve_shop", source_, "rename the service"});
        EXPECT_EQ(slots(), before);
        other.expect(0, "cancel shop --yes");
        EXPECT_EQ(slots(), before);
    }
    carving_.sql("INSERT INTO public.orders (customer) VALUES (1)");
    carving_.expect(0, "sync shop --yes --until-caught-up");
    expect_equal();
}

// The slot is lost, then the target loses its last seconds; each time, and after every kill on the way, a heal ends with both
// sides equal, while clients write.
TEST_F(SyncTest, HealsWithoutStartingOver) {
    carving_.expect(0, "sync shop --yes --until-caught-up");
    test::Writer writer{server(), source_, "shop", work()};
    auto target = server().connect(target_);
    auto const wreck = [&] {
        target.run("SET pgcarve.mirror = 'on'; DELETE FROM store.orders WHERE id % 5 = 0; UPDATE store.payments SET amount = -1 WHERE id % 3 = 0; "
                   "INSERT INTO store.lines SELECT -g, 1, 1 FROM generate_series(1, 20) g; TRUNCATE store.\"Größen\"");
    };
    carving_.sql("SELECT pg_drop_replication_slot('pgcarve_shop')");
    wreck();
    writer.more(10);
    carving_.refuses(5, "sync shop --yes --until-caught-up", {"slot-lost", "--heal"});
    for (auto const* const point : {"heal/marked", "heal/dropped", "heal/slot"}) {
        SCOPED_TRACE(point);
        EXPECT_NE(carving_.run("sync shop --heal --yes", point).exit, 0);
        carving_.refuses(5, "sync shop --yes --until-caught-up", {});
        writer.more(5);
    }
    carving_.expect(0, "sync shop --heal --yes");
    EXPECT_NE(carving_.run("sync shop --yes --until-caught-up", "sync/mend-range").exit, 0);
    writer.more(10);
    carving_.expect(0, "sync shop --yes --until-caught-up");
    // What was confirmed is not at the target any more.
    target.run("UPDATE pgcarve.stream SET position = '0/1'");
    wreck();
    carving_.refuses(5, "sync shop --yes --until-caught-up", {"slot-ahead", "--heal"});
    carving_.expect(0, "sync shop --heal --yes");
    carving_.expect(0, "sync shop --yes --until-caught-up");
    // Another cluster than the one the position is of.
    target.run("UPDATE pgcarve.stream SET system_id = '1'");
    carving_.refuses(5, "sync shop --yes --until-caught-up", {"source-changed", "--heal"});
    carving_.expect(0, "sync shop --heal --yes");
    writer.more(10);
    writer.stop();
    carving_.expect(0, "sync shop --yes --until-caught-up");
    expect_equal();
    carving_.expect(0, "cancel shop --yes");
    EXPECT_EQ(test::Carving::value(target, "SELECT count(*) FROM pg_namespace WHERE nspname = 'pgcarve'"), "0");
}

// One table is left alone, changes its shape meanwhile, and comes back; the others go on, and a sync that runs takes part.
TEST_F(SyncTest, OneTableSetAside) {
    carving_.expect(0, "sync shop --yes --until-caught-up");
    test::Process stream{carving_.command("sync shop --yes")};
    EXPECT_TRUE(test::wait_until([&] { return carving_.value("SELECT count(*) FROM pg_replication_slots WHERE active") != "0"; }));
    carving_.refuses(2, "sync shop --set-aside nothing --yes", {"unknown-table", "nothing"});
    carving_.expect(0, "sync shop --set-aside orders --yes");
    carving_.sql("ALTER TABLE public.orders ADD COLUMN note text; INSERT INTO public.orders (customer, note) VALUES (2, 'n'); UPDATE public.payments SET amount = 7");
    EXPECT_TRUE(test::wait_until([&] { return content(source_, "public", "payments") == content(target_, "store", "payments"); }, base::Millis{30'000}));
    EXPECT_NE(content(source_, "public", "orders"), content(target_, "store", "orders"));
    auto const gate = carving_.run("status shop");
    EXPECT_NE(gate.out.find("public.orders"), std::string::npos) << gate.out;
    server().connect(target_).run("ALTER TABLE store.orders ADD COLUMN note text");
    carving_.expect(0, "sync shop --bring-back public.orders --yes");
    EXPECT_TRUE(test::wait_until([&] { return content(source_, "public", "orders") == content(target_, "store", "orders"); }, base::Millis{30'000}));
    stream.signal(SIGTERM);
    EXPECT_EQ(stream.wait().exit, 0);
    // A root stands for its partitions.
    carving_.expect(0, "sync shop --set-aside payments --yes");
    carving_.sql("DELETE FROM public.payments WHERE id % 2 = 0");
    carving_.expect(0, "sync shop --yes --until-caught-up");
    EXPECT_NE(content(source_, "public", "payments"), content(target_, "store", "payments"));
    carving_.expect(0, "sync shop --bring-back payments --yes");
    carving_.expect(0, "sync shop --yes --until-caught-up");
    expect_equal();
}

TEST_F(SyncTest, MoreLogThanItMayKeep) {
    carving_.expect(0, "sync shop --yes --until-caught-up");
    auto open = carving_.connect();
    open.run("BEGIN; SELECT pg_current_xact_id()"); // keeps the slot from moving on
    carving_.sql("INSERT INTO public.\"Größen\" SELECT gen_random_uuid(), ARRAY[repeat('x', 500)] FROM generate_series(1, 20000)");
    carving_.refuses(5, "sync shop --yes --max-retained-wal 1MB --on-wal-limit drop", {"wal-limit", "--heal"});
    EXPECT_EQ(carving_.value("SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'pgcarve_shop'"), "0");
    open.run("COMMIT");
    carving_.expect(0, "sync shop --heal --yes");
    carving_.expect(0, "sync shop --yes --until-caught-up");
    expect_equal();
}

TEST_F(SyncTest, ALostServerIsTriedAgain) {
    carving_.expect(0, "sync shop --yes --until-caught-up");
    test::Process stream{carving_.command("sync shop --yes")};
    for (int round = 0; round < 3; ++round) {
        carving_.sql("UPDATE public.orders SET customer = customer + 1 WHERE id % 3 = 0");
        server().connect().run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgcarve stream'");
    }
    EXPECT_TRUE(test::wait_until([&] { return content(source_, "public", "orders") == content(target_, "store", "orders"); }, base::Millis{30'000}));
    stream.signal(SIGTERM);
    EXPECT_EQ(stream.wait().exit, 0);
}

TEST_F(SyncTest, AfterTheSchemaHop) {
    carving_.expect(0, "split shop --yes");
    carving_.expect(0, "verify shop");
    carving_.expect(0, "cutover shop --yes");
    carving_.expect(0, "sync shop --yes --until-caught-up");
    carving_.sql("INSERT INTO shop.orders (customer) VALUES (77); DELETE FROM shop.orders WHERE id = 5");
    carving_.expect(0, "sync shop --yes --until-caught-up");
    expect_equal("shop");
    carving_.expect(0, "cancel shop --yes");
    EXPECT_EQ(carving_.phase(), "schema_live");
    carving_.expect(0, "rollback shop --yes");
}

TEST_F(SyncTest, Refusals) {
    carving_.sql("ALTER TABLE public.lines REPLICA IDENTITY NOTHING");
    carving_.refuses(5, "sync shop --yes", {"lines", "every UPDATE and DELETE of the application would fail", "REPLICA IDENTITY DEFAULT"});
    carving_.sql("ALTER TABLE public.lines REPLICA IDENTITY DEFAULT");
    server().connect(target_).run("CREATE SCHEMA store; CREATE TABLE store.orders (id bigint PRIMARY KEY)");
    carving_.refuses(5, "sync shop --yes", {"store.orders"});
    server().connect(target_).run("DROP SCHEMA store CASCADE");
    carving_.configure("[service.shop]\nschema = \"shop\"\ntables = [\"orders\", \"lines\", \"payments\", \"Größen\"]\n");
    carving_.refuses(2, "sync shop --yes", {"no database"});
    EXPECT_EQ(carving_.value("SELECT count(*) FROM pgcarve.service"), "0");
}

} // namespace
