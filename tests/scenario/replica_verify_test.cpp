// Goal: rows of the source are read at a standby of it, and whatever it is behind, nothing but real differences is told.
#include <nlohmann/json.hpp>

#include "scenario/hopping.hpp"
#include "scenario/verdicts.hpp"

namespace {

using namespace pgcarve;
using test::Carving;
using test::Client;
using test::Hop;

// A standby of the shared server.
class Standby {
public:
    Standby() {
        server_.stop();
        auto const data = (server_.folder() / "data").string();
        for (auto const& command : {fmt::format("rm -rf {}", data), fmt::format("pg_basebackup --pgdata={} --write-recovery-conf --checkpoint=fast --dbname='{}'", data, test::shared_server().dsn()),
                                    fmt::format("chown -R --reference={0} {0}/data && cat {0}/extra.conf >>{0}/data/postgresql.conf", server_.folder().string())}) {
            auto const output = test::run_command(command);
            if (output.exit != 0)
                throw std::runtime_error{command + output.err};
        }
        server_.start();
    }
    [[nodiscard]] test::Server& server() { return server_; }
    void ask(std::string const& question) { server_.connect().run(question); }
    // Somebody waits for it.
    [[nodiscard]] bool waited_for() {
        auto session = server_.connect();
        return Carving::value(session, "SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE '%pg_last_wal_replay_lsn() >=%' AND pid <> pg_backend_pid()") == "true";
    }

private:
    test::Server server_{{.settings = {"max_replication_slots = 30", "max_wal_senders = 30", "hot_standby_feedback = on"}}};
};

TEST(ReplicaVerify, ReadsAStandbyWhateverItIsBehind) {
    Hop hop;
    hop.prepare();
    auto& carving = hop.carving();
    Standby standby;
    auto const replica = standby.server().dsn(carving.database());
    carving.read_from(replica);
    {
        Client client{hop.sides(), 1};
        test::Process sync{carving.command("sync shop --yes")};
        client.more(5);
        carving.expect(0, "verify shop");
        auto own = test::service_server().connect(hop.own());
        own.run("SET pgcarve.mirror = 'on'; UPDATE store.lines SET price = price + 0.01 WHERE order_id = 700 AND line = 2");
        auto const found = nlohmann::json::parse(carving.expect(1, "--format json verify shop").out)["services"][0];
        EXPECT_EQ(test::differences(found), "public.lines 0/0/1 ");
        carving.expect(0, "repair shop --yes");
        client.more(5);
        carving.expect(0, "verify shop");
        client.stop();
        sync.signal(SIGTERM);
        EXPECT_EQ(sync.wait().exit, 0);
    }
    // What was written is proven, and its traces are gone, before the standby has it.
    standby.ask("SELECT pg_wal_replay_pause()");
    carving.read_from("");
    carving.sql("UPDATE public.lines SET price = price + 100 WHERE order_id < 300; DELETE FROM public.payments WHERE id < 50");
    carving.expect(0, "sync shop --yes --until-caught-up");
    carving.expect(0, "verify shop");
    carving.read_from(replica);
    test::Process verify{carving.command("verify shop")};
    EXPECT_TRUE(test::wait_until([&] { return standby.waited_for() || verify.ended(); }, base::Millis{60'000}));
    standby.ask("SELECT pg_wal_replay_resume()");
    auto const output = verify.wait();
    EXPECT_EQ(output.exit, 0) << output.out << output.err;
    // It is the standby that is read.
    standby.server().stop("immediate");
    carving.expect(4, "verify shop");
}

} // namespace
