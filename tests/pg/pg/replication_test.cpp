// Goal: a replication connection keeps its promises: nothing lost, nothing twice, a broken one says so. Method: one
// private server, and one more where the server itself is stopped.
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <thread>

#include <unistd.h>

#include "feed.hpp"

namespace {

using namespace pgcarve;
using test::Feed;
using test::Server;
using test::Source;
using Lines = std::vector<std::string>;

template <typename Work>
base::Error error_of(Work work) {
    try {
        work();
    } catch (base::Error const& e) {
        return e;
    }
    throw std::runtime_error{"no error"};
}

std::string const table = "CREATE TABLE t (id int PRIMARY KEY)";

void poll_until_lost(pg::Replication& replication) {
    for (int i = 0; i < 300; ++i)
        (void)replication.poll(base::Millis{100});
}

// ---- options

TEST(StreamTerms, GoByTheServersVersion) {
    pg::StreamRequest request{.slot = "s",
                              .publications = {"pub", "it's \"Odd\""},
                              .streaming = wire::Streaming::parallel,
                              .binary = true,
                              .messages = true,
                              .origin_none = true};
    std::string const names = R"(publication_names '"pub","it''s ""Odd"""')";
    auto const old = pg::stream_terms(130014, request);
    EXPECT_EQ(old.options, "proto_version '1', " + names);
    EXPECT_EQ(old.negotiated.streaming, wire::Streaming::off);
    EXPECT_FALSE(old.negotiated.binary || old.messages || old.origin_none);
    for (int const version : {140000, 150020}) {
        auto const terms = pg::stream_terms(version, request);
        EXPECT_EQ(terms.options, "proto_version '2', " + names + ", streaming 'on', binary 'true', messages 'true'");
        EXPECT_EQ(terms.negotiated.protocol, 2);
        EXPECT_EQ(terms.negotiated.streaming, wire::Streaming::on);
        EXPECT_TRUE(terms.negotiated.binary && terms.messages && !terms.origin_none);
    }
    for (int const version : {160000, 180001}) {
        auto const terms = pg::stream_terms(version, request);
        EXPECT_EQ(terms.options,
                  "proto_version '4', " + names + ", streaming 'parallel', binary 'true', messages 'true', origin 'none'");
        EXPECT_EQ(terms.negotiated.protocol, 4);
        EXPECT_EQ(terms.negotiated.streaming, wire::Streaming::parallel);
        EXPECT_TRUE(terms.origin_none);
    }
    EXPECT_EQ(pg::stream_terms(180001, {.slot = "s", .publications = {"p"}}).options,
              R"(proto_version '1', publication_names '"p"', messages 'true')");
    EXPECT_EQ(pg::stream_terms(180001, {.slot = "s", .publications = {"p"}, .streaming = wire::Streaming::on, .messages = false}).options,
              R"(proto_version '2', publication_names '"p"', streaming 'on')");
    EXPECT_EQ(error_of([] { (void)pg::stream_terms(150000, {.slot = "s"}); }).exit(), base::Exit::bug);
}

// ---- connecting

TEST(Replication, IdentifiesTheSystem) {
    auto const& server = Server::shared();
    pg::Replication replication{{.dsn = server.dsn(), .purpose = "test"}};
    auto const identity = replication.identify();
    auto session = server.connect();
    EXPECT_EQ(identity.system_id, session.one(sql::Sql{"SELECT system_identifier::text AS s FROM pg_control_system()"}).text("s"));
    EXPECT_EQ(identity.timeline, 1);
    EXPECT_GT(identity.flushed, base::Lsn{});
    EXPECT_EQ(identity.database, "postgres");
    auto const seen = session.one(sql::Sql{"SELECT application_name AS a, backend_type AS b FROM pg_stat_activity WHERE pid = "}.bind(
        std::to_string(replication.backend_pid())).add("::int"));
    EXPECT_EQ(seen.text("a"), "pgcarve test");
    EXPECT_EQ(seen.text("b"), "walsender");
}

TEST(Replication, TakesUrisServicesAndPasswordFiles) {
    Server server;
    auto const database = server.create_database();
    server.connect().run("CREATE ROLE carver LOGIN REPLICATION PASSWORD 'pa ss'");
    { // the first line that fits decides
        auto const hba = server.folder() / "data/pg_hba.conf";
        std::ifstream in{hba};
        std::string const rest{std::istreambuf_iterator<char>{in}, {}};
        std::ofstream{hba} << "local all carver scram-sha-256\n" << rest;
    }
    server.stop();
    server.start();
    auto const folder = server.folder().string();
    auto const connects = [&](std::string const& dsn) {
        return pg::Replication{{.dsn = dsn, .purpose = "test"}}.identify().database == database;
    };
    EXPECT_TRUE(connects("postgresql://postgres@/" + database + "?host=" + folder));
    EXPECT_TRUE(connects("postgresql://carver:pa%20ss@/" + database + "?host=" + folder));
    auto const refused = error_of([&] { connects("host=" + folder + " user=carver password=wrong123 dbname=" + database); });
    EXPECT_EQ(refused.code(), "unreachable");
    EXPECT_EQ(std::string{refused.what()}.find("wrong123"), std::string::npos);

    auto const passfile = server.folder() / "passfile";
    std::ofstream{passfile} << "*:*:" << database << ":carver:pa ss\n";
    std::filesystem::permissions(passfile, std::filesystem::perms::owner_read);
    auto const services = server.folder() / "services.conf";
    std::ofstream{services} << "[monolith]\nhost=" << folder << "\nuser=carver\ndbname=" << database << '\n';
    EXPECT_TRUE(connects("user=carver host=" + folder + " dbname=" + database + " passfile=" + passfile.string()));
    setenv("PGPASSFILE", passfile.c_str(), 1);
    setenv("PGSERVICEFILE", services.c_str(), 1);
    EXPECT_TRUE(connects("service=monolith"));
    unsetenv("PGPASSFILE");
    unsetenv("PGSERVICEFILE");
}

TEST(Replication, SaysWhyItCannotConnect) {
    auto const gone = error_of([] { pg::Replication{{.dsn = "host=/nowhere password=geheim", .purpose = "test"}}; });
    EXPECT_EQ(gone.code(), "unreachable");
    EXPECT_EQ(gone.exit(), base::Exit::unavailable);
    EXPECT_EQ(std::string{gone.what()}.find("geheim"), std::string::npos);
    auto const broken = error_of([] { pg::Replication{{.dsn = "host='x password=geheim", .purpose = "test"}}; });
    EXPECT_EQ(broken.code(), "bad-dsn");
    EXPECT_EQ(std::string{broken.what()}.find("geheim"), std::string::npos);
    auto admin = Server::shared().connect();
    admin.run("CREATE ROLE plain LOGIN");
    auto const refused = error_of([] { pg::Replication{{.dsn = Server::shared().dsn("postgres", "plain"), .purpose = "test"}}; });
    EXPECT_EQ(refused.code(), "unreachable");
}

// ---- slots

TEST(Replication, MakesSlots) {
    Source source{table};
    auto replication = source.replication();
    auto const before = replication.identify().flushed;
    auto const created = replication.create_slot("brief", {.temporary = true});
    EXPECT_EQ(created.name, "brief");
    EXPECT_GE(created.consistent_point, before);
    auto session = source.connect();
    auto const slot = session.one(sql::Sql{"SELECT plugin, slot_type, temporary, two_phase, confirmed_flush_lsn::text AS l"
                                           " FROM pg_replication_slots WHERE slot_name = 'brief'"});
    EXPECT_EQ(slot.text("plugin"), "pgoutput");
    EXPECT_EQ(slot.text("slot_type"), "logical");
    EXPECT_TRUE(slot.boolean("temporary"));
    EXPECT_FALSE(slot.boolean("two_phase"));
    EXPECT_EQ(slot.text("l"), created.consistent_point.text());

    auto const twice = error_of([&] { replication.create_slot(source.slot); });
    EXPECT_EQ(twice.code(), "sql-42710");
    EXPECT_TRUE(replication.alive()) << "a refusal is no loss";
    EXPECT_EQ(error_of([&] { replication.create_slot("Bad Name"); }).code(), "sql-42602");
    if (replication.server_version() < 170000) {
        EXPECT_EQ(error_of([&] { replication.create_slot("x", {.failover = true}); }).code(), "too-old");
    }
}

TEST(Replication, ASlotThatWaitsCanBeInterrupted) {
    Source source{table};
    auto open = source.connect();
    open.run("BEGIN; INSERT INTO t VALUES (1)");
    std::array<int, 2> pipe{};
    ASSERT_EQ(::pipe(pipe.data()), 0);
    auto replication = source.replication(pipe[0]);
    ASSERT_EQ(::write(pipe[1], "x", 1), 1);
    EXPECT_EQ(error_of([&] { replication.create_slot("waiting"); }).code(), "interrupted");
    char byte = 0;
    ASSERT_EQ(::read(pipe[0], &byte, 1), 1);
    EXPECT_TRUE(replication.alive());
    open.run("COMMIT");
    EXPECT_EQ(replication.create_slot("waiting", {.temporary = true}).name, "waiting") << "the broken-off one left nothing";
    ::close(pipe[0]);
    ::close(pipe[1]);
}

// ---- receiving

TEST(Replication, PollReturnsWhenWoken) {
    Source source{table};
    std::array<int, 2> pipe{};
    ASSERT_EQ(::pipe(pipe.data()), 0);
    auto replication = source.replication(pipe[0]);
    replication.start(source.request());
    ASSERT_EQ(::write(pipe[1], "x", 1), 1);
    // What the server has sent already comes first; then nothing, an hour or not.
    while (replication.poll(base::Millis{3'600'000}).has_value()) {
    }
    EXPECT_TRUE(replication.streaming());
    EXPECT_TRUE(replication.stop(base::Millis{20'000}));
    ::close(pipe[0]);
    ::close(pipe[1]);
}

TEST(Replication, ResumingAtAnEndRepeatsAndLosesNothing) {
    Source source{table};
    std::vector<base::Lsn> ends;
    {
        Feed feed{source};
        for (int i = 1; i <= 4; ++i)
            source.run("INSERT INTO t VALUES (" + std::to_string(i) + ")");
        EXPECT_EQ(feed.everything(source.session).size(), 13U);
        ends = feed.ends;
    }
    ASSERT_EQ(ends.size(), 4U);
    for (std::size_t done = 0; done < 4; ++done) { // nothing was confirmed: we say where
        source.released();
        auto request = source.request();
        request.start = done == 0 ? base::Lsn{} : ends[done - 1];
        Feed feed{source, request};
        Lines want;
        for (auto i = done + 1; i <= 4; ++i) {
            want.insert(want.end(), {"begin", "insert t ('" + std::to_string(i) + "')", "commit"});
            if (i == done + 1)
                want.insert(want.begin() + 1, "relation t d: id*");
        }
        auto got = feed.lines(want.size());
        EXPECT_EQ(got, want) << "after " << done;
    }
    { // two are confirmed: the server knows where, and what lies before is not sent any more
        source.released();
        Feed feed{source};
        feed.lines(10);
        feed.replication.send_status(ends[3], ends[1], ends[1]);
        ASSERT_TRUE(test::wait_until([&] { return source.confirmed() == ends[1]; }));
    }
    for (auto const start : {base::Lsn{}, ends[0], ends[1]}) {
        source.released();
        auto request = source.request();
        request.start = start;
        Feed feed{source, request};
        EXPECT_EQ(feed.lines(4), (Lines{"begin", "relation t d: id*", "insert t ('3')", "commit"}));
        EXPECT_EQ(feed.ends[0], ends[2]);
    }
}

TEST(Replication, ConfirmsOnlyWhatWasSent) {
    Source source{table};
    Feed feed{source};
    source.run("INSERT INTO t VALUES (1)");
    feed.lines(4);
    EXPECT_EQ(error_of([&] { feed.replication.send_status({~0ULL}, {~0ULL}, {~0ULL}); }).exit(), base::Exit::bug);
    auto const before = source.confirmed();
    EXPECT_LT(before, feed.ends[0]);
    feed.replication.send_status(feed.ends[0], feed.ends[0], feed.ends[0], true);
    ASSERT_TRUE(test::wait_until([&] { return source.confirmed() == feed.ends[0]; }));
    // It was asked to reply, and does.
    bool answered = false;
    ASSERT_TRUE(test::wait_until([&] {
        auto const received = feed.replication.poll(base::Millis{100});
        answered = received && std::holds_alternative<wire::Keepalive>(received->frame());
        return answered;
    }));
}

TEST(Replication, StopsCleanly) {
    Source source{table};
    for (int round = 0; round < 3; ++round) {
        source.released();
        auto replication = source.replication();
        replication.start(source.request());
        EXPECT_TRUE(replication.streaming());
        EXPECT_EQ(error_of([&] { (void)replication.identify(); }).exit(), base::Exit::bug);
        source.run("INSERT INTO t SELECT i FROM generate_series(" + std::to_string(round * 1000) + ", " +
                   std::to_string(round * 1000 + 999) + ") i");
        while (!replication.poll(base::Millis{100})) {
        }
        ASSERT_TRUE(replication.stop(base::Millis{20'000}));
        EXPECT_FALSE(replication.streaming());
        EXPECT_EQ(replication.identify().database, source.database) << "commands are possible again";
        EXPECT_EQ(error_of([&] { replication.start(source.request()); }).exit(), base::Exit::bug) << "a second stream is not";
        EXPECT_EQ(error_of([&] { (void)replication.poll(base::Millis{0}); }).exit(), base::Exit::bug);
    }
}

TEST(Replication, AStopThatTakesTooLongCloses) {
    Source source{"CREATE TABLE t (id int PRIMARY KEY, a text)"};
    source.run("INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, 50000) i");
    auto replication = source.replication();
    replication.start(source.request());
    while (!replication.poll(base::Millis{100})) {
    }
    EXPECT_FALSE(replication.stop(base::Millis{0}));
    EXPECT_FALSE(replication.alive());
    EXPECT_EQ(error_of([&] { (void)replication.identify(); }).code(), "server-lost");
}

TEST(Replication, ARefusedStreamIsNoLoss) {
    Source source{table};
    auto replication = source.replication();
    auto request = source.request();
    request.slot = "nothing";
    EXPECT_EQ(error_of([&] { replication.start(request); }).code(), "sql-42704");
    Feed busy{source};
    EXPECT_EQ(error_of([&] { replication.start(source.request()); }).code(), "sql-55006");
    EXPECT_TRUE(replication.alive());
    ASSERT_TRUE(busy.replication.stop(base::Millis{20'000}));
    source.released();

    request = source.request();
    request.publications = {"Nobody's"};
    source.run("INSERT INTO t VALUES (1)");
    replication.start(request);
    auto const missing = error_of([&] { poll_until_lost(replication); });
    EXPECT_EQ(missing.code(), "sql-42704");
    EXPECT_NE(missing.message().find("Nobody's"), std::string::npos);
    EXPECT_TRUE(replication.alive());
    EXPECT_EQ(replication.identify().database, source.database) << "commands are possible again";
}

// ---- losing

TEST(Replication, AKilledWalsenderIsALostServer) {
    Source source{table};
    Feed feed{source};
    source.run("INSERT INTO t VALUES (1)");
    feed.lines(4);
    source.session.one(sql::Sql{"SELECT pg_terminate_backend("}.bind(std::to_string(feed.replication.backend_pid())).add("::int)"));
    auto const lost = error_of([&] { poll_until_lost(feed.replication); });
    EXPECT_EQ(lost.code(), "server-lost");
    EXPECT_EQ(lost.exit(), base::Exit::unavailable);
    EXPECT_FALSE(feed.replication.alive());
    EXPECT_EQ(error_of([&] { (void)feed.replication.poll(base::Millis{0}); }).code(), "server-lost");
    EXPECT_EQ(error_of([&] { feed.replication.send_status({}, {}, {}); }).code(), "server-lost");
    source.released();
    Feed again{source};
    EXPECT_EQ(again.lines(4), (Lines{"begin", "relation t d: id*", "insert t ('1')", "commit"}));
}

TEST(Replication, AServerThatStopsIsLost) {
    for (std::string const mode : {"immediate", "fast"}) {
        Server server;
        Source source{table, "FOR ALL TABLES", server};
        {
            Feed feed{source};
            source.run("INSERT INTO t VALUES (1)");
            feed.lines(4);
            // A server that stops in an orderly way waits until we have confirmed everything it has.
            feed.flushed = feed.ends[0];
            feed.replication.send_status(feed.flushed, feed.flushed, feed.flushed);
            std::string code;
            std::thread stopper{[&] { server.stop(mode); }};
            try {
                for (;;) {
                    auto const received = feed.replication.poll(base::Millis{100});
                    if (!received)
                        continue;
                    auto const end = std::visit([](auto const& frame) { return frame.end; }, received->frame());
                    feed.replication.send_status(end, end, end);
                }
            } catch (base::Error const& e) {
                code = e.code();
            }
            stopper.join();
            EXPECT_EQ(code, "server-lost") << mode;
            EXPECT_FALSE(feed.replication.alive());
        }
        server.start();
        source.session = server.connect(source.database);
    }
}

} // namespace
