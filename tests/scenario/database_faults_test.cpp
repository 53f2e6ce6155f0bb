// Goal: the database hop loses nothing and invents nothing while everything around it fails, and while services are rolled
// out, back and out again. Method: two durable servers, the real binary, clients with a ledger of their own (support/bank.hpp),
// a bad network between pgcarve and the servers, and faults at random: kill -9 of pgcarve, immediate stops of either server,
// severed and stalled connections, killed walsenders, lock storms, long and prepared transactions, and, where the machine
// lets us mount one, a disk of the service's server that is full for a while.
//
// PGCARVE_FAULT_SECONDS: how long; without it the test is skipped (scripts/campaign sets it). PGCARVE_FAULT_SEED: which
// faults; printed.
#include <chrono>
#include <iostream>

#include "scenario/carving.hpp"
#include "support/bank.hpp"
#include "support/proxy.hpp"
#include "support/small_disk.hpp"

namespace {

using namespace pgcarve;
using test::Bank;
using test::Carving;
using Clock = std::chrono::steady_clock;

int setting(char const* name, int otherwise) {
    char const* const text = std::getenv(name);
    return text != nullptr ? std::atoi(text) : otherwise;
}

class Faults : public testing::Test {
protected:
    Faults() {
        bank_sides_ = {{shared_.dsn(database_), "public"}, {own_.dsn(target_), "store"}};
        carving_.sql(Bank::schema_sql("public"));
        carving_.expect(0, "init --yes");
        carving_.reach_by(shared_network_.host());
    }

    [[nodiscard]] std::string create_target() {
        if (!disk_.mounted())
            return own_.create_database();
        auto admin = own_.connect();
        admin.run(fmt::format("CREATE TABLESPACE small LOCATION '{}'", disk_.tablespace()));
        admin.run("CREATE DATABASE on_small_disk TABLESPACE small");
        return "on_small_disk";
    }

    [[nodiscard]] std::string services() const {
        return fmt::format("[service.shop]\nschema = \"shop\"\ntables = [\"accounts\", \"transfers\", \"turns\", \"labels\", \"bulk\", \"events\"]\n"
                           "[service.shop.database]\ndsn = \"host={} dbname={} user=postgres\"\nschema = \"store\"\n",
                           own_network_.host(), target_);
    }

    [[nodiscard]] int below(int limit) {
        std::lock_guard const lock{random_mutex_};
        return static_cast<int>(random_() % static_cast<unsigned>(limit));
    }
    void rest(int milliseconds) const {
        auto const end = Clock::now() + std::chrono::milliseconds{milliseconds};
        while (Clock::now() < end && !ending_)
            std::this_thread::sleep_for(std::chrono::milliseconds{10});
    }
    void note(std::string const& text) {
        std::lock_guard const lock{log_mutex_};
        auto const at = std::chrono::duration<double>(Clock::now() - began_).count();
        log_ += fmt::format("{:7.2f} {}\n", at, text);
    }

    void unexpected(std::string const& what) {
        std::lock_guard const lock{log_mutex_};
        unexpected_ += what;
    }

    // ---- the process that streams, always running, often killed

    void keep_streaming() {
        while (!ending_) {
            test::Process sync{carving_.command("sync shop --yes")};
            auto const kill_at = Clock::now() + std::chrono::milliseconds{2000 + below(10000)};
            while (!ending_ && !sync.ended() && (calm_ || Clock::now() < kill_at))
                std::this_thread::sleep_for(std::chrono::milliseconds{20});
            if (ending_) {
                sync.signal(SIGTERM);
                sync.wait();
            } else if (!sync.ended()) {
                note("kill -9 of sync");
                sync.signal(SIGKILL);
                sync.wait();
            } else {
                auto const output = sync.wait();
                note(fmt::format("sync ended with {}: {}", output.exit, output.err.substr(output.err.size() > 300 ? output.err.size() - 300 : 0)));
                if (output.exit != 0 && output.exit != 4)
                    unexpected(fmt::format("sync: exit {}\n{}\n", output.exit, output.err));
                rest(200);
            }
        }
    }

    // ---- the operator

    void operate() {
        for (bool copied = false; !copied && !ending_; rest(200)) {
            at(shared_, database_, [&](pg::Session& session) {
                copied = Carving::value(session, "SELECT coalesce(max(phase), '') FROM pgcarve.service") == "syncing";
            });
        }
        while (!ending_) {
            rest(1000 + below(2000));
            verb("verify shop", {0, 3, 4});
            verb(fmt::format("{} shop --yes", direction_), {0, 1, 3, 4});
        }
    }

    void verb(std::string const& line, std::set<int> const& allowed) {
        if (ending_)
            return;
        // One in four is killed somewhere on its way.
        auto const failpoint = !calm_ && below(4) == 0 ? fmt::format("#{}", 1 + below(40)) : std::string{};
        auto const output = carving_.run(line, failpoint);
        note(fmt::format("{} {}: {}", line, failpoint, output.exit));
        bool const died = output.exit == 128 + SIGKILL;
        if (output.exit != 0 && !died) // why, in short
            note(output.err.substr(0, 400));
        if (!died && !allowed.contains(output.exit))
            unexpected(fmt::format("{}: exit {}\n{}{}\n", line, output.exit, output.out, output.err));
        if (line.starts_with("verify") || output.exit != 0)
            return;
        ++moves_;
        direction_ = direction_ == "cutover" ? "rollback" : "cutover";
    }

    // ---- faults

    template <class Work>
    void at(test::Server& server, std::string const& database, Work work) {
        try {
            auto session = server.connect(database);
            work(session);
        } catch (base::Error const&) { // NOLINT(bugprone-empty-catch)
            // The server is down, or went down: a fault on top of a fault.
        }
    }

    void fault() {
        bool const here = below(2) == 0;
        auto& server = here ? shared_ : own_;
        auto const& database = here ? database_ : target_;
        auto const& side = here ? "shared" : "own";
        auto const table = fmt::format("{}.{}", here ? "public" : "store", Bank::tables()[static_cast<std::size_t>(below(6))]);
        switch (below(disk_.mounted() ? 9 : 8)) {
        case 0:
            note(fmt::format("immediate stop of the {} server", side));
            server.stop("immediate");
            rest(below(1500));
            server.start();
            break;
        case 1:
            note(fmt::format("severed connections to the {} server", side));
            (here ? shared_network_ : own_network_).sever();
            break;
        case 2:
            note(fmt::format("stalled connections to the {} server", side));
            (here ? shared_network_ : own_network_).stall(true);
            rest(500 + below(2500));
            (here ? shared_network_ : own_network_).stall(false);
            break;
        case 3:
            note("killed walsenders");
            at(server, database, [](pg::Session& session) { session.run("SELECT pg_terminate_backend(pid) FROM pg_stat_replication"); });
            break;
        case 4:
            note("lock storm on " + table);
            for (int i = 0; i < 5; ++i) {
                at(server, database, [&](pg::Session& session) {
                    pg::Transaction transaction{session};
                    session.run("LOCK TABLE " + table + " IN ACCESS EXCLUSIVE MODE");
                    rest(50 + below(200));
                });
            }
            break;
        case 5:
            note("long transaction on the " + std::string{side} + " server");
            at(server, database, [&](pg::Session& session) {
                pg::Transaction transaction{session};
                session.run(fmt::format("UPDATE {}.accounts SET note = note WHERE id = {}", here ? "public" : "store", 1 + below(Bank::accounts)));
                rest(1000 + below(3000));
                transaction.abort();
            });
            break;
        case 6: prepare(server, database, here ? "public" : "store"); break;
        case 8:
            note("the own server's disk is full");
            disk_.fill();
            rest(1000 + below(4000));
            disk_.free();
            break;
        default:
            note("killed pgcarve's sessions on the " + std::string{side} + " server");
            at(server, database, [](pg::Session& session) {
                session.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'pgcarve %' AND pid <> pg_backend_pid() AND application_name <> 'pgcarve test'");
            });
        }
    }

    // A prepared transaction survives its session and its server, and keeps its locks.
    void prepare(test::Server& server, std::string const& database, std::string const& schema) {
        auto const turn = ++prepared_;
        auto const name = fmt::format("pending {}", turn);
        note("prepared transaction " + name);
        bool made = false;
        at(server, database, [&](pg::Session& session) {
            session.run(fmt::format("BEGIN; INSERT INTO {}.turns (client, turn) VALUES ({}, {}); PREPARE TRANSACTION '{}'", schema, Bank::preparer, turn, name));
            made = true;
        });
        rest(500 + below(2500));
        bool const keep = below(2) == 0;
        for (bool done = !made; !done;) { // whatever happens meanwhile
            at(server, database, [&](pg::Session& session) {
                if (Carving::value(session, fmt::format("SELECT count(*) FROM pg_prepared_xacts WHERE gid = '{}'", name)) == "1")
                    session.run(fmt::format("{} PREPARED '{}'", keep ? "COMMIT" : "ROLLBACK", name));
                done = true;
            });
            if (!done)
                std::this_thread::sleep_for(std::chrono::milliseconds{50});
        }
        if (made && keep)
            kept_.push_back(turn);
    }

    // ---- afterwards

    void finish_what_is_open() {
        for (int turn = 0; turn < 20; ++turn) {
            carving_.wait_for_sessions_to_end();
            auto const open = carving_.value("SELECT coalesce(max(verb), '') FROM pgcarve.attempt WHERE state = 'open'");
            if (open.empty())
                return;
            auto const output = carving_.run(open + " shop --yes" + (open == "sync" ? " --until-caught-up" : ""));
            note(fmt::format("rerun of {}: {} {}", open, output.exit, output.err));
        }
        ADD_FAILURE() << "an attempt stays open";
    }

    [[nodiscard]] std::string content(std::size_t side, std::string const& table) const {
        auto session = side == 0 ? shared_.connect(database_) : own_.connect(target_);
        return Carving::value(session, fmt::format("SELECT count(*) || ' ' || md5(coalesce(string_agg(t::text, E'\\n' ORDER BY t::text COLLATE \"C\"), '')) FROM {}.{} t",
                                                   bank_sides_[side].schema, table));
    }

    test::SmallDisk disk_{"300M"};
    test::Server shared_{{.settings = {"max_wal_senders = 20", "max_replication_slots = 20", "checkpoint_timeout = 30s", "wal_sender_timeout = 5s"}, .durable = true}};
    test::Server own_{{.settings = {"max_wal_senders = 20", "max_replication_slots = 20", "checkpoint_timeout = 30s", "wal_sender_timeout = 5s"}, .durable = true}};
    std::string database_{shared_.create_database()};
    std::string target_{create_target()};
    test::Proxy shared_network_{shared_.folder()};
    test::Proxy own_network_{own_.folder()};
    Carving carving_{shared_, database_, services(), "max_write_block = \"3s\"\nmax_lag = \"60s\""};
    std::vector<test::BankSide> bank_sides_;
    std::mutex random_mutex_;
    std::mt19937 random_;
    std::mutex log_mutex_;
    std::string log_;
    std::string unexpected_;
    std::string direction_ = "cutover";
    std::atomic<bool> ending_{false};
    std::atomic<bool> calm_{false}; // no more faults
    std::atomic<int> moves_{0};
    long long prepared_ = 0;
    std::vector<long long> kept_;
    Clock::time_point began_ = Clock::now();
};

TEST_F(Faults, NothingIsLostOrInvented) {
    auto const seed = static_cast<unsigned>(setting("PGCARVE_FAULT_SEED", static_cast<int>(std::random_device{}() % 1'000'000)));
    auto const seconds = setting("PGCARVE_FAULT_SECONDS", 0);
    if (seconds <= 0)
        GTEST_SKIP() << "a campaign of minutes: scripts/campaign, or set PGCARVE_FAULT_SECONDS";
    random_.seed(seed);
    std::cout << "seed " << seed << ", " << seconds << " s\n";

    Bank bank{bank_sides_, 4, seed};
    ASSERT_TRUE(test::wait_until([&] { return bank.acknowledged() > 50; }));
    std::thread streaming{[&] { keep_streaming(); }};
    std::thread operating{[&] { operate(); }};
    auto const end = Clock::now() + std::chrono::seconds{seconds};
    while (Clock::now() < end && bank.problem().empty()) {
        rest(500 + below(4000));
        fault();
    }
    // A calm hour: out and back again, with the same clients.
    calm_ = true;
    auto const moves = moves_.load();
    EXPECT_TRUE(test::wait_until([&] { return moves_ >= moves + 2 || !bank.problem().empty(); }, base::Millis{300'000})) << "no way out and back";
    ending_ = true;
    streaming.join();
    operating.join();
    auto const before = bank.acknowledged();
    EXPECT_TRUE(test::wait_until([&] { return bank.acknowledged() > before + 20 || !bank.problem().empty(); }, base::Millis{30'000})) << "the clients hang";
    for (auto const turn : kept_)
        bank.record_prepared(turn, true);
    bank.stop();
    EXPECT_EQ(bank.problem(), "");
    EXPECT_EQ(unexpected_, "");

    finish_what_is_open();
    carving_.expect(0, "sync shop --yes --until-caught-up");
    carving_.expect(0, "verify shop --full");
    for (auto const& side : bank_sides_)
        EXPECT_EQ(bank.differences(side), "") << side.schema;
    for (auto const& table : Bank::tables())
        EXPECT_EQ(content(0, table), content(1, table)) << table;
    std::cout << bank.acknowledged() << " transactions acknowledged, " << bank.refused() << " refused by the wrong side, " << moves_ << " cutovers and rollbacks\n";
    RecordProperty("moves", moves_);
    if (HasFailure() || std::getenv("PGCARVE_FAULT_LOG") != nullptr)
        std::cout << log_;
}

} // namespace
