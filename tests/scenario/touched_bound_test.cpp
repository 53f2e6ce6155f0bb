// Goal: without a clean verification the record of what was touched stays within its bound; sync, doctor and verify say what that
// means, a kill in the middle of it does no harm, and what somebody corrupts is found. Method: the real binary, two servers.
#include <nlohmann/json.hpp>

#include "scenario/hopping.hpp"

namespace {

using namespace pgcarve;
using nlohmann::json;
using test::Carving;
using test::Hop;

bool says(test::Process const& program, std::string const& text) {
    return test::wait_until([&] { return program.text("err").find(text) != std::string::npos; }, base::Millis{60'000});
}

TEST(TouchedBound, TheOldestPartIsForgottenAndEverybodyKnows) {
    Hop const hop;
    auto const& carving = hop.carving();
    auto services = Hop::services(hop.own());
    services.replace(services.find("schema = "), 0, "window = \"7d\"\n"); // so that each night's share is small
    hop.prepare();
    carving.configure(services, "[sync]\nmax_touched = \"1\"\n");
    carving.refuses(2, "sync shop --yes", {"max_touched", "64kB or more"});
    carving.configure(services, "[sync]\nmax_touched = \"64kB\"\n");
    carving.expect(0, "verify shop");
    auto there = test::service_server().connect(hop.own());
    auto const from = [&] { return Carving::value(there, "SELECT touched_from FROM pgcarve.stream WHERE name = 'pgcarve_shop'"); };
    auto const forgotten = [&] { return Carving::value(there, "SELECT count(*) FROM pgcarve.touched t JOIN pgcarve.stream s ON s.name = t.stream WHERE t.at <= s.touched_from"); };
    auto const proven = from();
    carving.refuses(0, "--format json doctor shop", {"what was written since the last clean verification is on record"});

    int turn = 0;
    auto const write = [&] { // a line each, of a few keys of 36 bytes
        for (int i = 0; i < 40; ++i)
            carving.sql(fmt::format("UPDATE public.\"Größen\" SET \"Schlüssel\" = gen_random_uuid() WHERE ctid IN (SELECT ctid FROM public.\"Größen\" OFFSET {} LIMIT 20)", 20 * (turn++ % 20)));
    };
    auto const write_until = [&](std::function<bool()> const& happened) {
        for (int n = 0; n < 100 && !happened(); ++n)
            write();
        return happened();
    };
    EXPECT_EQ(json::parse(carving.expect(0, "--format json verify shop --incremental").out)["services"][0]["mode"], "incremental");
    // It dies between saying what is gone and removing it.
    {
        test::Process stream{carving.command("sync shop --yes", "sync/touched-forgotten")};
        EXPECT_TRUE(write_until([&] { return stream.ended(); })) << stream.text("err");
        EXPECT_EQ(stream.wait().exit, 128 + SIGKILL);
    }
    EXPECT_NE(from(), proven);
    EXPECT_NE(forgotten(), "0");
    {
        test::Process stream{carving.command("sync shop --yes")};
        EXPECT_TRUE(test::wait_until([&] { return forgotten() == "0"; }, base::Millis{60'000}));
        auto const was = from();
        EXPECT_TRUE(write_until([&] { return from() != was; })) << stream.text("err");
        EXPECT_TRUE(says(stream, "is forgotten, and an incremental verification")) << stream.text("err");
        stream.signal(SIGTERM);
        EXPECT_EQ(stream.wait().exit, 0) << stream.text("err");
    }
    // It dies in the middle of removing.
    {
        test::Process stream{carving.command("sync shop --yes", "sync/touched-removed")};
        EXPECT_TRUE(write_until([&] { return stream.ended(); })) << stream.text("err");
    }
    carving.refuses(0, "doctor shop", {"is not on record any more", "pgcarve verify shop"});
    carving.expect(0, "sync shop --yes --until-caught-up");

    there.run("SET pgcarve.mirror = 'on'; UPDATE store.orders SET state = 'gone' WHERE id = 700");
    auto const wrong = carving.run("--format json verify shop --incremental");
    EXPECT_EQ(wrong.exit, 1) << wrong.out << wrong.err;
    EXPECT_NE(wrong.err.find("everything is compared"), std::string::npos) << wrong.err;
    EXPECT_EQ(json::parse(wrong.out)["services"][0]["mode"], "full");
    carving.expect(0, "repair shop --yes");
    carving.expect(0, "verify shop");
    carving.refuses(0, "--format json doctor shop", {"what was written since the last clean verification is on record"});
    hop.expect_equal();
}

} // namespace
