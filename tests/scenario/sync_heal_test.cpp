// Goal: a source that failed over, was restored, or has thrown away log is noticed before a row is lost, and a heal brings both
// sides together again without starting over; the same for the stream of reference tables. Method: real servers, whose data
// folder is set back and which are promoted to a new timeline; slots that the server invalidates.
#include "scenario/hopping.hpp"

namespace {

using namespace pgcarve;
using test::Carving;
using test::Hop;

class SyncHeal : public testing::Test {
protected:
    explicit SyncHeal() {
        carving_.sql(test::hop_schema);
        carving_.expect(0, "init --yes");
        carving_.expect(0, "sync shop --yes --until-caught-up");
    }

    [[nodiscard]] std::string services() const {
        auto text = Hop::services(own_);
        std::string const customers = "customers\" = \"drop\"";
        return text.replace(text.find(customers), customers.size(), "customers\" = \"replicate\"");
    }
    void shell(std::string const& command) const {
        auto const output = test::run_command(command);
        ASSERT_EQ(output.exit, 0) << command << output.out << output.err;
    }
    // What a standby that takes over does; its log goes on under another timeline.
    void promote() {
        auto const data = (source_.folder() / "data").string();
        shell(fmt::format("touch {0}/standby.signal && chown --reference={0} {0}/standby.signal", data));
        source_.start();
        source_.connect().run("SELECT pg_promote()");
        EXPECT_TRUE(test::wait_until([&] { return Carving::value(*std::make_unique<pg::Session>(source_.connect()), "SELECT NOT pg_is_in_recovery()") == "true"; }));
    }
    void write(int mark) const {
        carving_.sql(fmt::format("UPDATE public.payments SET amount = {0} WHERE id % 3 = 0; INSERT INTO public.orders (customer) VALUES ({0} % 50); DELETE FROM public.orders WHERE id = {0};"
                                 "UPDATE public.customers SET name = 'n{0}' WHERE id % 7 = 0",
                                 mark));
    }
    void expect_equal() const {
        for (auto const& table : test::hop_tables)
            EXPECT_EQ(Hop::content({&source_, carving_.database(), "public"}, table), Hop::content({&test::service_server(), own_, "store"}, table)) << table;
        EXPECT_EQ(customers(source_, carving_.database(), "public"), customers(test::service_server(), own_, "store"));
    }
    static std::string customers(test::Server& server, std::string const& database, std::string const& schema) {
        auto session = server.connect(database);
        return Carving::value(session, fmt::format("SELECT string_agg(c::text, ' ' ORDER BY id) FROM {}.customers c", schema));
    }
    void heal() const {
        carving_.expect(0, "sync shop --heal --yes");
        carving_.expect(0, "sync shop --yes --until-caught-up");
        expect_equal();
    }

    mutable test::Server source_{{.settings = {"max_replication_slots = 30", "max_wal_senders = 30"}}};
    std::string own_ = test::service_server().create_database();
    Carving carving_{source_, source_.create_database(), services()};
};

TEST_F(SyncHeal, AFailoverThatLostNothingIsPassedOver) {
    write(1);
    carving_.expect(0, "sync shop --yes --until-caught-up");
    source_.stop();
    promote();
    write(2);
    carving_.expect(0, "sync shop --yes --until-caught-up");
    expect_equal();
}

TEST_F(SyncHeal, AFailoverThatLostCommits) {
    write(1);
    carving_.expect(0, "sync shop --yes --until-caught-up");
    source_.stop();
    auto const data = (source_.folder() / "data").string();
    shell(fmt::format("cp -a {0} {0}.lagging", data)); // what the standby has
    source_.start();
    write(2);
    carving_.expect(0, "sync shop --yes --until-caught-up");
    source_.stop();
    shell(fmt::format("rm -rf {0} && mv {0}.lagging {0}", data));
    promote();
    write(3); // over the end of what the target has, in bytes
    carving_.sql("INSERT INTO public.\"Größen\" SELECT gen_random_uuid(), ARRAY[repeat('x', 500)] FROM generate_series(1, 3000)");
    carving_.refuses(5, "sync shop --yes --until-caught-up", {"source-changed", "timeline", "--heal"});
    carving_.refuses(5, "sync shop --yes", {"source-changed"});
    heal();
    write(4);
    carving_.expect(0, "sync shop --yes --until-caught-up");
    expect_equal();
}

TEST_F(SyncHeal, ASlotThatTheServerInvalidated) {
    source_.connect().run("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'");
    source_.connect().run("SELECT pg_reload_conf()");
    for (int turn = 1; turn <= 4; ++turn) {
        write(turn);
        source_.connect().run("SELECT pg_switch_wal()");
    }
    source_.connect().run("CHECKPOINT");
    EXPECT_EQ(carving_.value("SELECT string_agg(wal_status, ' ') FROM pg_replication_slots WHERE slot_name = 'pgcarve_shop'"), "lost");
    carving_.refuses(5, "sync shop --yes --until-caught-up", {"slot-lost", "pgcarve_shop", "--heal"});
    heal();
}

TEST_F(SyncHeal, APublicationThatSomebodyAltered) {
    struct Alteration {
        std::string made;
        std::string undone;
        std::string told;
    };
    auto const tables = carving_.value("SELECT string_agg(prrelid::regclass::text, ', ') FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE pubname = 'pgcarve_shop'");
    int turn = 0;
    for (auto const& [made, undone, told] :
         {Alteration{"DROP TABLE public.payments", "ADD TABLE public.payments", "payments"}, Alteration{"SET (publish = 'insert, update')", "SET (publish = 'insert, update, delete, truncate')", "deletes"},
          Alteration{"SET TABLE public.orders WHERE (id < 3)", "SET TABLE " + tables, "others"}}) {
        SCOPED_TRACE(made);
        test::Process stream{carving_.command("sync shop --yes")};
        EXPECT_TRUE(test::wait_until([&] { return stream.hears_signals() || stream.ended(); }));
        carving_.sql("ALTER PUBLICATION pgcarve_shop " + made);
        write(++turn);
        auto const ended = stream.wait();
        EXPECT_EQ(ended.exit, 5) << ended.err;
        EXPECT_NE(ended.err.find("publication-changed"), std::string::npos) << ended.err;
        carving_.refuses(5, "sync shop --yes --until-caught-up", {"publication-changed", "pgcarve_shop", told, "--heal"});
        EXPECT_NE(carving_.run("cutover shop --dry-run").out.find("publication pgcarve_shop"), std::string::npos);
        EXPECT_NE(carving_.run("status shop").out.find("ALTER PUBLICATION"), std::string::npos);
        carving_.sql("ALTER PUBLICATION pgcarve_shop " + undone);
        heal();
    }
    carving_.sql("DROP PUBLICATION pgcarve_shop");
    auto const gone = carving_.expect(5, "sync shop --yes --until-caught-up").err;
    EXPECT_NE(gone.find("publication-changed"), std::string::npos) << gone;
    auto const from = gone.find("CREATE PUBLICATION");
    ASSERT_NE(from, std::string::npos) << gone;
    carving_.sql(gone.substr(from, gone.find(": what was written") - from)); // as it is told
    write(++turn);
    heal();
    carving_.sql("ALTER PUBLICATION pgcarve_shop_ref DROP TABLE public.customers");
    carving_.refuses(5, "sync shop --yes --until-caught-up", {"publication-changed", "pgcarve_shop_ref"});
    carving_.sql("ALTER PUBLICATION pgcarve_shop_ref ADD TABLE public.customers");
    heal();
}

TEST_F(SyncHeal, TheSlotOfTheReferenceTables) {
    for (bool const live : {false, true}) {
        SCOPED_TRACE(live);
        if (live)
            carving_.expect(0, std::string{"cutover shop --yes"} + test::agreed);
        carving_.sql("SELECT pg_drop_replication_slot('pgcarve_shop_ref'); UPDATE public.customers SET name = 'other' WHERE id % 3 = 0; DELETE FROM public.customers WHERE id > 49; INSERT INTO public.customers VALUES (99, 'new')");
        carving_.refuses(5, "sync shop --yes --until-caught-up", {"slot-lost", "pgcarve_shop_ref", "--heal"});
        auto own = test::service_server().connect(own_);
        own.run("SET pgcarve.mirror = 'on'; UPDATE store.customers SET name = 'wrong' WHERE id = 5"); // and the target is not right either
        carving_.expect(0, "sync shop --heal --yes");
        carving_.expect(0, "sync shop --yes --until-caught-up");
        expect_equal();
        carving_.sql("INSERT INTO public.customers VALUES (98, 'again')");
        carving_.expect(0, "sync shop --yes --until-caught-up");
        expect_equal();
    }
}

} // namespace
