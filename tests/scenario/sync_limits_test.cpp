// Goal: what a running sync may take of its source is changed without stopping it: by the file and SIGHUP, and by an operator
// who has copying wait and says why; `status` shows from another shell what it waits for. A target whose disk is full is
// waited for, while the source's log is watched; nothing is lost. Method: the real binary, two servers; a disk of a few
// megabytes where the machine lets us mount one.
#include "scenario/hopping.hpp"
#include "support/small_disk.hpp"

namespace {

using namespace pgcarve;
using test::Carving;
using test::Client;
using test::Hop;

bool says(test::Process const& program, std::string const& text) {
    return test::wait_until([&] { return program.text("err").find(text) != std::string::npos; }, base::Millis{60'000});
}

TEST(SyncLimits, AnOperatorHasCopyingWait) {
    Hop const hop;
    auto const& carving = hop.carving();
    carving.sql(test::hop_schema);
    carving.expect(0, "init --yes");
    carving.expect(2, "sync nothing --throttle 'month end'");
    carving.expect(0, "sync shop --throttle 'month end'");
    test::Process stream{carving.command("sync shop --yes")};
    EXPECT_TRUE(test::wait_until([&] {
        auto const out = carving.run("status shop --format json").out;
        return out.find("\"copying\"") != std::string::npos && out.find("\"throttled\": \"month end (") != std::string::npos;
    }, base::Millis{60'000})) << carving.run("status shop --format json").out << stream.text("err");
    carving.refuses(0, "status shop", {"throttled: month end ("});
    auto own = test::service_server().connect(hop.own());
    EXPECT_EQ(Carving::value(own, "SELECT count(*) FROM store.orders"), "0");
    carving.expect(0, "sync shop --throttle off");
    EXPECT_TRUE(says(stream, "the stream runs")) << stream.text("err");
    carving.refuses(0, "status shop --format json", {"\"throttled\": null"});
    stream.signal(SIGTERM);
    EXPECT_EQ(stream.wait().exit, 0);
    EXPECT_EQ(carving.value("SELECT count(*) FROM pgcarve.throttle"), "0");
    EXPECT_EQ(carving.value("SELECT string_agg(coalesce(detail ->> 'asked', 'off'), ' ' ORDER BY id) FROM pgcarve.journal WHERE step = 'throttle'"), "month end off");
    hop.expect_equal();
}

// A copy that is not complete has nothing that a heal could mend.
TEST(SyncLimits, TheSlotGoesWhileItCopies) {
    Hop const hop;
    auto const& carving = hop.carving();
    carving.sql(test::hop_schema);
    carving.expect(0, "init --yes");
    for (bool const by_limit : {true, false}) {
        carving.expect(0, "sync shop --throttle 'for a while'");
        {
            test::Process stream{carving.command("sync shop --yes")};
            EXPECT_TRUE(test::wait_until([&] { return carving.value("SELECT count(*) FROM pgcarve.throttle WHERE waits IS NOT NULL") == "1"; }, base::Millis{60'000})) << stream.text("err");
            stream.signal(SIGTERM);
            EXPECT_EQ(stream.wait().exit, 0);
        }
        EXPECT_EQ(carving.phase(), "copying");
        carving.expect(0, "sync shop --throttle off");
        if (by_limit) {
            test::service_server().stop("immediate");
            carving.sql("INSERT INTO public.\"Größen\" SELECT gen_random_uuid(), ARRAY[repeat('x', 500)] FROM generate_series(1, 20000)");
            carving.refuses(5, "sync shop --yes --max-retained-wal 1MB --on-wal-limit drop", {"wal-limit", "pgcarve cancel shop"});
            test::service_server().start();
        } else {
            hop.wait_for_sessions_to_end();
            carving.sql("SELECT pg_drop_replication_slot('pgcarve_shop')");
        }
        EXPECT_EQ(carving.value("SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'pgcarve_shop'"), "0");
        carving.refuses(5, "sync shop --yes", {"slot-lost", "pgcarve cancel shop"});
        carving.expect(0, "cancel shop --yes");
        EXPECT_EQ(carving.phase(), "planned");
    }
    carving.expect(0, "sync shop --yes --until-caught-up");
    hop.expect_equal();
}

TEST(SyncLimits, TheFileIsReadAgain) {
    Hop const hop;
    auto const& carving = hop.carving();
    carving.sql(test::hop_schema);
    carving.expect(0, "init --yes");
    auto busy = carving.connect(); // one active session too many
    auto const services = Hop::services(hop.own());
    carving.configure(services, "[throttle]\nmax_active_sessions = 1\n");
    test::Process one{"psql -X \"" + carving.server().dsn(carving.database()) + "\" -c 'SELECT pg_sleep(600)'"};
    test::Process two{"psql -X \"" + carving.server().dsn(carving.database()) + "\" -c 'SELECT pg_sleep(600)'"};
    test::Process stream{carving.command("sync shop --yes")};
    EXPECT_TRUE(test::wait_until([&] { return carving.run("status shop --format json").out.find("active sessions, limit 1") != std::string::npos; }, base::Millis{60'000}))
        << stream.text("err");
    carving.configure(services, "[throttle]\nmax_active_sessions = -1\n[sync]\nmax_retained_wal = \"much\"\n");
    stream.signal(SIGHUP);
    EXPECT_TRUE(says(stream, "the limits stay as they were")) << stream.text("err");
    EXPECT_NE(stream.text("err").find("max_retained_wal: \"much\" is not a size"), std::string::npos) << stream.text("err");
    carving.configure(services, "[sync]\nworkers = 3\n");
    stream.signal(SIGHUP);
    EXPECT_TRUE(says(stream, "hold from now on")) << stream.text("err");
    EXPECT_TRUE(says(stream, "the stream runs")) << stream.text("err");
    // The limit of the log as well: nothing is confirmed while a transaction is open.
    busy.run("BEGIN; SELECT pg_current_xact_id()");
    carving.sql("INSERT INTO public.\"Größen\" SELECT gen_random_uuid(), ARRAY[repeat('x', 500)] FROM generate_series(1, 20000)");
    carving.configure(services, "[sync]\nmax_retained_wal = \"1MB\"\non_wal_limit = \"drop\"\n");
    stream.signal(SIGHUP);
    auto const output = stream.wait();
    EXPECT_EQ(output.exit, 5) << output.err;
    EXPECT_NE(output.err.find("wal-limit"), std::string::npos) << output.err;
    // An option goes before the file.
    carving.refuses(5, "sync shop --yes --on-wal-limit pause", {"slot-lost"});
}

TEST(SyncLimits, TheTargetsDiskIsFull) {
    test::SmallDisk const disk{"40M"};
    if (!disk.mounted())
        GTEST_SKIP() << "this user may not mount a tmpfs: " << strerror(errno);
    auto admin = test::service_server().connect();
    admin.run(fmt::format("CREATE TABLESPACE small LOCATION '{}'", disk.tablespace()));
    std::string const own = "on_small_disk";
    admin.run(fmt::format("CREATE DATABASE {} TABLESPACE small", own));
    {
        Hop const hop{"", test::shared_server().create_database(), own};
        auto const& carving = hop.carving();
        carving.sql(test::hop_schema);
        carving.expect(0, "init --yes");
        Client client{hop.sides(), 1};
        client.more(3);
        // While it copies, at first: somebody else takes the room.
        carving.expect(0, "sync shop --throttle 'until the disk is full'");
        test::Process stream{carving.command("sync shop --yes --max-retained-wal 1MB")};
        EXPECT_TRUE(test::wait_until([&] { return carving.value("SELECT count(*) FROM pgcarve.throttle WHERE waits IS NOT NULL") == "1"; }, base::Millis{60'000})) << stream.text("err");
        disk.fill();
        carving.expect(0, "sync shop --throttle off");
        EXPECT_TRUE(says(stream, "a server has no room left")) << stream.text("err");
        EXPECT_EQ(carving.phase(), "copying");
        disk.free();
        EXPECT_TRUE(says(stream, "the stream runs")) << stream.text("err");
        carving.sql("INSERT INTO public.\"Größen\" SELECT gen_random_uuid(), ARRAY[repeat(md5(g::text), 50)] FROM generate_series(1, 20000) g");
        auto const told = stream.text("err").size();
        EXPECT_TRUE(test::wait_until([&] { return stream.text("err").find("a server has no room left", told) != std::string::npos; }, base::Millis{60'000})) << stream.text("err");
        EXPECT_TRUE(says(stream, "the source keeps")) << stream.text("err"); // its log, more than the limit: that is watched meanwhile
        client.more(3); // the source is not held up
        EXPECT_FALSE(stream.ended()) << stream.text("err");
        // A stop is heard, a kill harmless; the next one tries the same again.
        stream.signal(SIGTERM);
        EXPECT_EQ(stream.wait().exit, 0) << stream.text("err");
        test::Process again{carving.command("sync shop --yes")};
        EXPECT_TRUE(says(again, "a server has no room left")) << again.text("err");
        EXPECT_TRUE(disk.resize("200M"));
        client.more(3);
        client.stop();
        EXPECT_TRUE(test::wait_until([&] { return Hop::content(hop.shared_side(), "Größen") == Hop::content(hop.own_side(), "Größen"); }, base::Millis{120'000})) << again.text("err");
        again.signal(SIGTERM);
        EXPECT_EQ(again.wait().exit, 0) << again.text("err");
        carving.expect(0, "sync shop --yes --until-caught-up");
        hop.expect_equal();
        EXPECT_EQ(client.lost(hop.own_side()), 0);
    }
    // Before the disk is taken away from under it.
    admin.run(fmt::format("DROP DATABASE {} WITH (FORCE)", own));
    admin.run("DROP TABLESPACE small");
}

} // namespace
