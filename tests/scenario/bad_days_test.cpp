// Goal: bad input and bad days: each gives a message that says what, where and what to type next, with the pinned exit
// code, and leaves a state from which a rerun goes on.
// Method: the real binary against a private server, one mishap a test.
#include "scenario/carving.hpp"

namespace {

using namespace pgcarve;
using test::Carving;

test::Server& server() { return test::Server::shared(); }

std::string const services = "[service.shop]\ntables = [\"orders\", \"lines\", \"events\"]\n";

char const* const schema =
    "CREATE TABLE public.orders (id serial PRIMARY KEY, note text, amount int);"
    "CREATE TABLE public.lines (order_id int REFERENCES public.orders, line int, article text, PRIMARY KEY (order_id, line));"
    "CREATE TABLE public.events (id int, day date, what text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);"
    "CREATE TABLE public.events_1 PARTITION OF public.events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');"
    "INSERT INTO public.orders (note, amount) SELECT 'n' || n, n FROM generate_series(1, 200) n;"
    "INSERT INTO public.lines SELECT n, 1, 'a' FROM generate_series(1, 200) n;"
    "INSERT INTO public.events SELECT n, '2024-03-01', 'e' FROM generate_series(1, 50) n";

class BadDays : public testing::Test {
protected:
    BadDays() : carving{server(), server().create_database(), services} {
        carving.sql(schema);
        carving.expect(0, "init --yes");
    }
    void split() const { carving.expect(0, "split shop --yes"); }
    void ready() const {
        split();
        carving.expect(0, "verify shop");
    }
    void expect_equal(std::vector<std::string> const& tables = {"orders", "lines", "events"}) const {
        auto session = carving.connect();
        EXPECT_EQ(Carving::differing(session, tables, "shop"), "");
    }
    Carving carving;
};

TEST_F(BadDays, NamesThatDoNotExist) {
    for (std::string const verb : {"plan shp", "split shp --yes", "cutover shp --yes", "complete shp --yes", "cancel shp --yes", "verify shp", "doctor shp", "status shp"})
        carving.refuses(2, verb, {"error unknown-service", "shp", "shop", "hint"});
    // All problems at once, each with file, line and key. What the file alone shows comes before what needs the catalog.
    carving.configure("[service.shop]\ntables = [\"orders\", \"ordres\", \"nothing_*\"]\n");
    carving.refuses(2, "split shop --yes", {"error config", "pgcarve.toml:", "service.shop.tables", "ordres", "nothing_*"});
    carving.configure("[service.shop]\ntables = [\"orders\"]\n[service.other]\ntables = [\"orders\", \"lines\"]\n");
    carving.refuses(2, "split shop --yes", {"error config", "pgcarve.toml:", "public.orders", "other", "!orders"});
    carving.configure("[service.shop]\ntables = [\"orders\"]\n[service.other]\ntables = [\"order*\", \"lines\"]\n");
    carving.refuses(2, "split shop --yes", {"error config", "pgcarve.toml:", "public.orders", "other", "!orders"});
    EXPECT_EQ(carving.value("SELECT to_regnamespace('shop')"), "NULL");
}

TEST_F(BadDays, AnUnreachableServer) {
    Carving const nowhere{server(), "no_such_database", services};
    for (std::string const verb : {"init --yes", "split shop --yes", "status", "verify shop", "doctor", "cancel shop --yes"})
        nowhere.refuses(4, verb, {"no_such_database", "hint"});
}

TEST_F(BadDays, VerbsInTheWrongPhase) {
    for (std::string const verb : {"cutover shop --yes", "rollback shop --yes", "complete shop --yes", "complete shop --purge --yes", "verify shop"})
        carving.refuses(2, verb, {"shop", "hint"});
    carving.expect(0, "cancel shop --yes"); // nothing to take back
    ready();
    for (std::string const verb : {"rollback shop --yes", "complete shop --yes", "complete shop --purge --yes"})
        carving.refuses(2, verb, {"error wrong-phase", "dual_writing", "hint"});
    carving.expect(0, "cutover shop --yes");
    carving.refuses(2, "cancel shop --yes", {"error wrong-phase", "schema_live", "rollback"});
    carving.expect(0, "cutover shop --yes"); // it has taken place already
    carving.expect(0, "complete shop --yes");
    for (std::string const verb : {"split shop --yes", "cutover shop --yes", "rollback shop --yes", "cancel shop --yes"})
        carving.refuses(2, verb, {"error wrong-phase", "completed", "hint"});
}

TEST_F(BadDays, TheLeaseIsHeldByAnother) {
    // Stops in the backfill: a lock that the chunk's FOR KEY SHARE has to wait for.
    carving.configure(services, "[throttle]\nmax_lock_waiters = 0\n");
    auto holder = carving.connect();
    pg::Transaction transaction{holder};
    holder.run("SELECT FROM public.orders WHERE id = 7 FOR UPDATE");
    test::Process first{carving.command("split shop --yes")};
    ASSERT_TRUE(test::wait_until([&] { return carving.value("SELECT coalesce(max(step), '') FROM pgcarve.journal WHERE step LIKE 'backfill:public.lines'") != ""; }));
    carving.refuses(4, "split shop --yes", {"error lease-held", "pgcarve split", "@", "hint"});
    transaction.abort();
    EXPECT_EQ(first.wait().exit, 0) << first.text("err");
    expect_equal();
}

TEST_F(BadDays, AMissingPrivilege) {
    auto admin = carving.connect();
    admin.run("CREATE ROLE half_carver LOGIN; GRANT USAGE ON SCHEMA pgcarve TO half_carver;"
              "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pgcarve TO half_carver; GRANT USAGE ON ALL SEQUENCES IN SCHEMA pgcarve TO half_carver");
    Carving const half{server(), carving.database(), services, {}, "half_carver"};
    half.refuses(5, "split shop --yes", {"half_carver", "orders", "GRANT"});
    half.refuses(1, "doctor shop", {"GRANT"});
    EXPECT_EQ(carving.value("SELECT to_regnamespace('shop')"), "NULL");
}

// What the application changes while pgcarve mirrors. Its writes must go on wherever PostgreSQL let the change through; every
// verb that judges says what differs and what to type.
struct Change {
    std::string name;
    std::string ddl;
    std::string write; // by the application, afterwards
    std::string told;  // part of the message
    bool mended = false; // `split` brings the copy in step
    int cutover = 1;     // the gate is closed; 5: there is no gate to evaluate without the table
};

TEST_F(BadDays, TablesChangedUnderTheMirror) {
    split();
    std::vector<Change> const changes{
        {"column added", "ALTER TABLE public.orders ADD COLUMN extra text DEFAULT 'x'", "INSERT INTO public.orders (note, extra) VALUES ('later', 'y')", "extra", true},
        {"column dropped", "ALTER TABLE public.lines DROP COLUMN article", "INSERT INTO public.lines VALUES (1, 9)", "article", false},
        {"column renamed", "ALTER TABLE public.orders RENAME COLUMN amount TO total", "INSERT INTO public.orders (note, total) VALUES ('later', 3)", "total", false},
        {"column retyped", "ALTER TABLE public.orders ALTER COLUMN amount TYPE bigint", "INSERT INTO public.orders (note, amount) VALUES ('later', 30000000000)", "amount", false},
        {"table renamed", "ALTER TABLE public.orders RENAME TO commands", "INSERT INTO public.commands (note) VALUES ('later')", "orders", false, 5},
        {"partition attached", "CREATE TABLE public.events_2 PARTITION OF public.events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')",
         "INSERT INTO public.events VALUES (900, '2025-05-05', 'root'); INSERT INTO public.events_2 VALUES (901, '2025-05-06', 'direct')", "events_2", true},
    };
    for (auto const& change : changes) {
        SCOPED_TRACE(change.name);
        auto const name = fmt::format("{}_{}", carving.database(), &change - changes.data());
        server().connect().run(fmt::format("CREATE DATABASE {} TEMPLATE {}", name, carving.database()));
        Carving const changed{server(), name, services};
        try {
            changed.sql(change.ddl);
        } catch (pg::SqlError const& e) { // PostgreSQL refuses it while the mirror hangs on it: nothing has happened then
            RecordProperty(change.name, e.message());
            changed.expect(0, "verify shop");
            continue;
        }
        try {
            changed.sql(change.write);
        } catch (pg::SqlError const& e) {
            ADD_FAILURE() << "the application's write failed: " << e.message();
            continue;
        }
        auto const status = changed.run("status shop");
        EXPECT_EQ(status.exit, 0) << status.err;
        EXPECT_NE(status.out.find(change.told), std::string::npos) << status.out;
        auto const doctor = changed.run("doctor shop");
        EXPECT_NE(doctor.exit, 0) << doctor.out;
        EXPECT_NE(doctor.out.find(change.told), std::string::npos) << doctor.out;
        changed.refuses(change.cutover, "cutover shop --yes", {change.told});
        if (change.mended) {
            changed.expect(0, "split shop --yes");
            changed.expect(0, "verify shop");
            changed.expect(0, "cutover shop --yes");
        } else {
            auto const verify = changed.run("verify shop");
            EXPECT_NE(verify.exit, 0) << verify.out << verify.err;
            EXPECT_NE(verify.exit, 70) << verify.out << verify.err;
        }
    }
}

TEST_F(BadDays, ATargetTableThatIsThereAlready) {
    carving.sql("CREATE SCHEMA shop; CREATE TABLE shop.orders (id int); INSERT INTO shop.orders VALUES (1)");
    carving.refuses(5, "split shop --yes", {"shop.orders", "hint"});
    EXPECT_EQ(carving.value("SELECT count(*) FROM shop.orders"), "1");
    carving.sql("DROP SCHEMA shop CASCADE");
    split();
}

TEST_F(BadDays, ALockThatIsHeld) {
    auto holder = carving.connect();
    {
        pg::Transaction transaction{holder};
        holder.run("LOCK TABLE public.lines IN ROW EXCLUSIVE MODE");
        test::Process split{carving.command("split shop --yes")};
        ASSERT_TRUE(test::wait_until([&] { return split.text("err").find(fmt::format("{}", holder.backend_pid())) != std::string::npos; }))
            << split.text("err"); // it names who is in the way while it tries again
        transaction.abort();
        EXPECT_EQ(split.wait().exit, 0) << split.text("err");
    }
    carving.expect(0, "verify shop");
    // A prepared transaction holds its locks until somebody decides: the gate names it and does not open.
    holder.run("BEGIN; UPDATE public.orders SET note = 'prepared' WHERE id = 1; PREPARE TRANSACTION 'forgotten'");
    carving.sql("SELECT 1");
    auto const closed = carving.run("cutover shop --yes --override transactions --reason test");
    EXPECT_TRUE(closed.exit == 1 || closed.exit == 4) << closed.out << closed.err;
    EXPECT_NE((closed.out + closed.err).find("forgotten"), std::string::npos) << closed.out << closed.err;
    EXPECT_EQ(carving.phase(), "dual_writing");
    holder.run("ROLLBACK PREPARED 'forgotten'");
    carving.expect(0, "cutover shop --yes");
    expect_equal();
}

TEST_F(BadDays, AStepIsCancelledOnTheServer) {
    auto holder = carving.connect();
    pg::Transaction transaction{holder};
    holder.run("LOCK TABLE public.lines IN ROW EXCLUSIVE MODE");
    test::Process split{carving.command("split shop --yes")};
    ASSERT_TRUE(test::wait_until([&] {
        return carving.value("SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND application_name ="
                             " 'pgcarve split' AND wait_event_type = 'Lock'") != "0";
    }));
    auto const cancelled = split.wait();
    EXPECT_EQ(cancelled.exit, 4) << cancelled.err;
    EXPECT_NE(cancelled.err.find("pgcarve split shop"), std::string::npos) << cancelled.err;
    transaction.abort();
    carving.expect(0, "split shop --yes");
    expect_equal();
}

// Enough rows for many chunks, so that a signal meets the backfill.
void grow(Carving const& carving) {
    carving.sql("INSERT INTO public.orders (note, amount) SELECT repeat('x', 20), n FROM generate_series(1, 150000) n; ANALYZE public.orders");
    carving.configure(services, "[throttle]\nchunk_time = \"5ms\"\nnice = 2.0\n");
}
bool in_backfill(Carving const& carving) {
    return test::wait_until([&] { return carving.value("SELECT coalesce(max(rows_copied), 0) > 0 AND NOT bool_and(finished) FROM pgcarve.backfill"
                                                       " WHERE source_table LIKE '%orders%'") == "true"; });
}

TEST_F(BadDays, SignalsDuringTheBackfill) {
    grow(carving);
    for (int const number : {SIGINT, SIGTERM}) {
        test::Process split{carving.command("split shop --yes")};
        // The checkpoint may be that of the run before: this one has to have come so far itself.
        ASSERT_TRUE(test::wait_until([&] { return split.text("err").find("the rows of public.orders") != std::string::npos; }));
        ASSERT_TRUE(in_backfill(carving)) << split.text("err");
        split.signal(number);
        auto const stopped = split.wait();
        EXPECT_EQ(stopped.exit, 4) << stopped.err;
        EXPECT_NE(stopped.err.find("error interrupted"), std::string::npos) << stopped.err;
        EXPECT_EQ(carving.phase(), "backfilling");
        carving.refuses(5, "doctor shop", {"pgcarve split shop"});
    }
    carving.expect(0, "split shop --yes");
    expect_equal();
}

TEST(BadDaysOfTheServer, StoppedDuringTheBackfill) {
    test::Server own{{.durable = true}};
    Carving const carving{own, own.create_database(), services};
    carving.sql(schema);
    carving.expect(0, "init --yes");
    grow(carving);
    test::Process split{carving.command("split shop --yes")};
    ASSERT_TRUE(in_backfill(carving)) << split.text("err");
    own.stop("immediate");
    auto const lost = split.wait();
    EXPECT_EQ(lost.exit, 4) << lost.err;
    EXPECT_NE(lost.err.find("hint"), std::string::npos) << lost.err;
    own.start();
    carving.configure(services);
    carving.expect(0, "split shop --yes");
    auto session = carving.connect();
    EXPECT_EQ(Carving::differing(session, {"orders", "lines", "events"}, "shop"), "");
}

// A full disk cannot be had without root's help, so the server says what it would say then.
TEST_F(BadDays, AFullDiskDuringTheBackfill) {
    EXPECT_EQ(carving.run("split shop --yes", "split/backfill:public.orders/before").exit, 128 + SIGKILL);
    carving.wait_for_sessions_to_end();
    carving.sql("CREATE FUNCTION public.full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'could not extend file'"
                " USING ERRCODE = 'disk_full'; END $$;"
                "CREATE TRIGGER full_disk BEFORE INSERT ON shop.orders FOR EACH ROW EXECUTE FUNCTION public.full_disk()");
    carving.refuses(4, "split shop --yes", {"error disk-full", "orders", "could not extend file", "free space", "pgcarve split shop"});
    EXPECT_EQ(carving.phase(), "backfilling");
    carving.sql("DROP FUNCTION public.full_disk() CASCADE");
    carving.expect(0, "split shop --yes");
    expect_equal();
}

} // namespace
