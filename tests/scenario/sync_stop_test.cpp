// Goal: a sync that is told to stop ends with exit code 0 wherever it is: while it copies, streams, gives way to another
// verb or waits for it, connects again, or finds its servers away; and the next run goes on there. Method: the real binary,
// stopped at moments that differ from round to round, beside clients that follow the tables and verbs that take the service.
#include <random>

#include "scenario/hopping.hpp"

namespace {

using namespace pgcarve;
using test::Carving;
using test::Client;
using test::Hop;

void pause(std::mt19937& random, int most) { std::this_thread::sleep_for(std::chrono::milliseconds{random() % static_cast<unsigned>(most)}); }

void expect_clean_end(test::Process& stream, std::string const& where) {
    EXPECT_TRUE(test::wait_until([&] { return stream.hears_signals() || stream.ended(); }));
    stream.signal(SIGTERM);
    auto const output = stream.wait();
    // Another process had the service when it began, which it says and goes.
    bool const turned_away = output.exit == 4 && output.err.find("lease-held") != std::string::npos && output.err.find("stopping") > output.err.find("lease-held");
    EXPECT_TRUE(output.exit == 0 || turned_away) << where << ": exit " << output.exit << "\n" << output.err;
}

TEST(SyncStop, WhileItIsSetUpAndCopies) {
    Hop const hop;
    auto const& carving = hop.carving();
    carving.sql(test::hop_schema);
    carving.expect(0, "init --yes");
    Client client{hop.sides(), 1};
    std::mt19937 random{1};
    for (int round = 1; round <= 12 && (round < 2 || carving.phase() != "syncing"); ++round) {
        test::Process stream{carving.command("sync shop --yes")};
        pause(random, 120 * round);
        expect_clean_end(stream, fmt::format("round {}", round));
        hop.wait_for_sessions_to_end();
    }
    client.more(1);
    client.stop();
    carving.expect(0, "sync shop --yes --until-caught-up");
    hop.expect_equal();
}

TEST(SyncStop, WhileOtherVerbsTakeTheService) {
    Hop const hop;
    hop.prepare();
    auto const& carving = hop.carving();
    Client client{hop.sides(), 1};
    client.more(3);
    std::mt19937 random{2};
    for (int round = 1; round <= 8; ++round) {
        bool const there = carving.phase() == "database_live";
        test::Process stream{carving.command("sync shop --yes")};
        if (round % 4 != 0) { // else it may find the service taken
            EXPECT_TRUE(test::wait_until([&] { return stream.text("err").find("the stream runs") != std::string::npos; }, base::Millis{60'000})) << stream.text("err");
        }
        test::Process move{carving.command(there ? std::string{"rollback shop --yes"} : std::string{"cutover shop --yes"} + test::agreed)};
        if (round % 2 != 0) {
            EXPECT_TRUE(test::wait_until([&] { return stream.text("err").find("waits for it") != std::string::npos || stream.ended(); }, base::Millis{60'000}));
        }
        pause(random, 700);
        expect_clean_end(stream, fmt::format("round {}", round));
        auto const output = move.wait();
        EXPECT_EQ(output.exit, 0) << output.out << output.err;
        EXPECT_EQ(carving.phase(), there ? "syncing" : "database_live");
    }
    client.more(1);
    client.stop();
    carving.expect(0, "sync shop --yes --until-caught-up");
    hop.expect_equal();
}

TEST(SyncStop, WhileServersAreAway) {
    Hop const hop;
    hop.prepare();
    auto const& carving = hop.carving();
    std::mt19937 random{3};
    for (int round = 1; round <= 4; ++round) {
        auto& gone = round % 2 != 0 ? test::service_server() : test::shared_server();
        test::Process stream{carving.command("sync shop --yes")};
        EXPECT_TRUE(test::wait_until([&] { return stream.text("err").find("the stream runs") != std::string::npos; }, base::Millis{60'000})) << stream.text("err");
        gone.stop("immediate");
        if (round > 2) {
            EXPECT_TRUE(test::wait_until([&] { return stream.text("err").find("trying again") != std::string::npos; })) << stream.text("err");
        }
        pause(random, 300);
        expect_clean_end(stream, fmt::format("round {}", round));
        gone.start();
        hop.wait_for_sessions_to_end();
    }
    carving.sql("UPDATE public.payments SET amount = 7");
    carving.expect(0, "sync shop --yes --until-caught-up");
    hop.expect_equal();
}

} // namespace
