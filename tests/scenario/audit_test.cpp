// Goal: an audit finds every transaction that left the two sides unequal, says nothing about any other, and neither repeats nor
// misses one whatever happens to it. Method: the binary follows real writers: with the mirror, and as an application that writes
// both sides by itself and forgets one now and then; kills, lost slots, huge transactions, truncations.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "carving.hpp"

namespace {

using namespace pgcarve;
using nlohmann::json;
using test::Carving;

test::Server& server() {
    static test::Server one{{.settings = {"wal_level = logical", "max_replication_slots = 30", "max_wal_senders = 30"}}};
    return one;
}

constexpr char const* schema = R"(
CREATE TYPE public.state AS ENUM ('open', 'paid');
CREATE TABLE public.orders (id bigint PRIMARY KEY, customer int NOT NULL, state public.state NOT NULL DEFAULT 'open', total numeric, doc text,
    twice numeric GENERATED ALWAYS AS (total * 2) STORED);
CREATE TABLE public."Order ""Lines""" (order_id bigint, "größe|<x>" text COLLATE "C", amount numeric, PRIMARY KEY (order_id, "größe|<x>"));
CREATE TABLE public.payments (day date, id bigint, amount numeric, PRIMARY KEY (day, id)) PARTITION BY RANGE (day);
CREATE TABLE public.payments_1 PARTITION OF public.payments FOR VALUES FROM ('2024-01-01') TO ('2024-07-01');
CREATE TABLE public.payments_2 PARTITION OF public.payments FOR VALUES FROM ('2024-07-01') TO ('2025-01-01');
INSERT INTO public.orders SELECT g, g % 7, 'open', g, (SELECT string_agg(md5(g::text || n), '') FROM generate_series(1, 200) n) FROM generate_series(1, 300) g;
INSERT INTO public."Order ""Lines""" SELECT g, 'a' || l, l FROM generate_series(1, 100) g, generate_series(1, 3) l;
INSERT INTO public.payments SELECT '2024-01-01'::date + g % 360, g, g FROM generate_series(1, 300) g;
ALTER TABLE public.orders ALTER doc SET STORAGE EXTERNAL;
)";

struct Told {
    std::vector<json> differences;
    std::vector<json> equal;
    json summary;
};

Told parse(std::string const& out) {
    Told told;
    std::istringstream lines{out};
    for (std::string line; std::getline(lines, line);) {
        auto const one = json::parse(line);
        EXPECT_EQ(one.at("schema_version"), 1);
        if (one.at("event") == "difference")
            told.differences.push_back(one);
        else if (one.at("event") == "equal_again")
            told.equal.push_back(one);
        else
            told.summary = one;
    }
    return told;
}

class AuditTest : public testing::Test {
protected:
    explicit AuditTest(std::string const& dual_write = "trigger") : carving_{server(), server().create_database(), services(dual_write)} {
        carving_.sql(schema);
        carving_.expect(0, "init --yes");
        carving_.expect(0, "split shop --yes");
    }

    static std::string services(std::string const& dual_write) {
        return fmt::format("[service.shop]\nschema = \"shop\"\ndual_write = \"{}\"\ntables = [\"orders\", \"\\\"Order \\\"\\\"Lines\\\"\\\"\\\"\", \"payments\"]\n", dual_write);
    }

    // What it tells of everything up to now.
    Told caught_up(int exit, std::string const& more = {}) {
        auto const output = carving_.expect(exit, "--format json audit shop --until-caught-up " + more);
        return parse(output.out);
    }

    void expect_nothing_left() const {
        EXPECT_EQ(carving_.value("SELECT count(*) FROM pg_replication_slots WHERE database = current_database()"), "0");
        EXPECT_EQ(carving_.value("SELECT count(*) FROM pg_publication"), "0");
        EXPECT_EQ(carving_.value("SELECT (SELECT count(*) FROM pgcarve.audit) + (SELECT count(*) FROM pgcarve.audit_difference) + (SELECT count(*) FROM pgcarve.finding WHERE audit IS NOT NULL)"), "0");
    }

    Carving carving_;
};

TEST_F(AuditTest, IsSilentWhereTheMirrorWorks) {
    EXPECT_EQ(caught_up(0).summary.at("differences"), 0);
    carving_.sql("UPDATE public.orders SET total = total + 1 WHERE id < 50;"
                 "UPDATE public.orders SET total = total WHERE id BETWEEN 20 AND 90;" // changes nothing: the mirror writes nothing
                 "UPDATE public.orders SET id = id + 1000 WHERE id < 5;"              // another key, its large value not sent
                 "DELETE FROM public.orders WHERE id = 100; INSERT INTO public.orders VALUES (100, 1, 'paid', 5, NULL);"
                 "INSERT INTO public.orders VALUES (7, 1) ON CONFLICT (id) DO UPDATE SET total = 70;"
                 "UPDATE public.payments SET day = day + 200 WHERE day < '2024-03-01';" // to another partition
                 "INSERT INTO public.payments_1 VALUES ('2024-02-02', 7777, 1);"        // addressed to one
                 "UPDATE public.\"Order \"\"Lines\"\"\" SET amount = NULL WHERE order_id = 3");
    carving_.sql("COPY public.\"Order \"\"Lines\"\"\" FROM PROGRAM 'printf ''500\\tx\\t1\\n501\\ty\\t2\\n'''");
    carving_.sql("BEGIN; SAVEPOINT a; UPDATE public.orders SET total = -1; ROLLBACK TO a; UPDATE public.orders SET state = 'paid' WHERE id = 9; COMMIT");
    carving_.sql("TRUNCATE public.\"Order \"\"Lines\"\"\"; INSERT INTO public.\"Order \"\"Lines\"\"\" VALUES (1, 'a', 1)");
    carving_.sql("TRUNCATE public.payments_2");
    carving_.sql("CREATE TABLE public.payments_3 PARTITION OF public.payments FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');"
                 "CREATE TABLE shop.payments_3 PARTITION OF shop.payments FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')");
    carving_.sql("INSERT INTO public.payments VALUES ('2025-02-02', 8888, 1)");
    auto const told = caught_up(0);
    EXPECT_GE(told.summary.at("transactions"), 5);
    EXPECT_EQ(told.summary.at("undecided"), 0);
    EXPECT_EQ(caught_up(0).summary.at("transactions"), 0) << "nothing is judged twice";
    carving_.expect(0, "cancel shop --yes");
    expect_nothing_left();
}

TEST_F(AuditTest, FindsWhatTheMirrorDidNotSee) {
    caught_up(0);
    carving_.sql("ALTER TABLE public.orders DISABLE TRIGGER pgcarve_mirror_update; UPDATE public.orders SET total = -5, customer = 99 WHERE id = 11;"
                 "ALTER TABLE public.orders ENABLE TRIGGER pgcarve_mirror_update");
    carving_.sql("BEGIN; SET LOCAL session_replication_role = replica; DELETE FROM public.\"Order \"\"Lines\"\"\" WHERE order_id = 3 AND amount = 1; COMMIT");
    carving_.sql("BEGIN; SET LOCAL session_replication_role = replica; INSERT INTO public.payments VALUES ('2024-02-02', 9999, 1); COMMIT");
    auto told = caught_up(1);
    ASSERT_EQ(told.differences.size(), 3U) << told.summary;
    carving_.sql("BEGIN; SET LOCAL session_replication_role = replica; TRUNCATE shop.payments; COMMIT");
    for (auto const& one : caught_up(1).differences)
        told.differences.push_back(one);
    ASSERT_EQ(told.differences.size(), 4U);
    auto const& first = told.differences[0].at("samples").at(0);
    EXPECT_EQ(first.at("source"), "public.orders");
    EXPECT_EQ(first.at("key"), (json{{"id", "11"}}));
    EXPECT_EQ(first.at("kind"), "different");
    EXPECT_EQ(first.at("columns"), (json{"customer", "total"}));
    EXPECT_EQ(told.differences[0].at("rows"), 1);
    EXPECT_EQ(told.differences[1].at("samples").at(0).at("kind"), "extra");
    EXPECT_EQ(told.differences[1].at("samples").at(0).at("key").at("größe|<x>"), "a1");
    EXPECT_EQ(told.differences[2].at("samples").at(0).at("kind"), "missing");
    EXPECT_EQ(told.differences[3].at("truncated"), true);
    // They close the gate, and start the window anew.
    carving_.refuses(1, "cutover shop --yes", {"findings"});
    EXPECT_EQ(carving_.value("SELECT count(*) FROM pgcarve.finding WHERE audit IS NOT NULL AND resolved_at IS NULL"), "4");
    EXPECT_TRUE(caught_up(0).differences.empty()) << "each is told once";
    // A repair makes them equal again, in transactions of its own, which are no difference.
    carving_.expect(0, "repair shop --yes");
    auto const after = caught_up(0);
    EXPECT_TRUE(after.differences.empty());
    EXPECT_EQ(after.equal.size(), 3U) << "the truncation is for a verification to judge";
    carving_.expect(0, "verify shop");
    EXPECT_EQ(carving_.value("SELECT count(*) FROM pgcarve.finding WHERE resolved_at IS NULL"), "0");
    // What it found is kept when it ends; a cancel takes that too.
    carving_.expect(0, "audit shop --stop");
    EXPECT_EQ(carving_.value("SELECT count(*) FROM pgcarve.audit_difference"), "4");
    carving_.expect(0, "cancel shop --yes");
    expect_nothing_left();
}

TEST_F(AuditTest, KilledAndRunAgain) {
    caught_up(0);
    std::set<std::string> lsns;
    int wrong = 0;
    for (int round = 0; round < 4; ++round) {
        test::Process audit{carving_.command("--format json audit shop")};
        for (int n = 0; n < 15; ++n) {
            carving_.sql(fmt::format("UPDATE public.orders SET total = {} WHERE id = {}", round * 100 + n, 100 + n));
            if (n % 5 == 0) {
                ++wrong;
                carving_.sql(fmt::format("BEGIN; SET LOCAL session_replication_role = replica; UPDATE public.orders SET customer = {} WHERE id = {}; COMMIT", 1000 + round * 100 + n, 200 + n));
            }
        }
        if (round % 2 == 0) {
            EXPECT_TRUE(test::wait_until([&] { return carving_.value("SELECT count(*) FROM pgcarve.audit_difference") != "0"; }));
        }
        audit.signal(SIGKILL);
        static_cast<void>(audit.wait());
        for (auto const& one : parse(audit.text("out")).differences)
            lsns.insert(one.at("lsn"));
        carving_.wait_for_sessions_to_end();
    }
    for (auto const& one : parse(carving_.run("--format json audit shop --until-caught-up").out).differences)
        lsns.insert(one.at("lsn"));
    EXPECT_EQ(carving_.value("SELECT count(*) FROM pgcarve.audit_difference"), std::to_string(wrong)) << "none missed, none twice";
    EXPECT_EQ(lsns.size(), static_cast<std::size_t>(wrong)) << "and each was told";
    EXPECT_EQ(carving_.value("SELECT count(*) FROM pgcarve.audit_difference WHERE NOT told"), "0");
}

TEST_F(AuditTest, StopsCleanlyAndAlone) {
    caught_up(0);
    test::Process audit{carving_.command("--format json audit shop")};
    ASSERT_TRUE(test::wait_until([&] { return audit.text("err").find("auditing service") != std::string::npos; }));
    carving_.refuses(4, "audit shop --until-caught-up", {"another pgcarve audits"});
    carving_.sql("BEGIN; SET LOCAL session_replication_role = replica; UPDATE public.orders SET total = -5 WHERE id = 12; COMMIT");
    EXPECT_TRUE(test::wait_until([&] { return audit.text("out").find("\"id\":\"12\"") != std::string::npos; })) << "told while it runs";
    carving_.sql("BEGIN; SET LOCAL session_replication_role = replica; UPDATE shop.orders SET total = -5 WHERE id = 12; COMMIT");
    EXPECT_TRUE(test::wait_until([&] { return audit.text("out").find("equal_again") != std::string::npos; })) << audit.text("out");
    audit.signal(SIGTERM);
    auto const ended = audit.wait();
    EXPECT_EQ(ended.exit, 1) << ended.err;
    EXPECT_EQ(parse(ended.out).summary.at("ended"), "stopped by SIGTERM");
    EXPECT_EQ(carving_.value("SELECT state FROM pgcarve.audit"), "stopped");
    EXPECT_EQ(carving_.expect(0, "--format json audit shop --for 1s").out.find("difference\""), std::string::npos);
    carving_.refuses(2, "audit shop --for nonsense", {"--for"});
    carving_.refuses(2, "audit shop --max-retained-wal 5", {"size"});
    carving_.refuses(2, "audit nobody", {"nobody"});
    // One that runs is told to end.
    test::Process other{carving_.command("audit shop")};
    ASSERT_TRUE(test::wait_until([&] { return other.text("err").find("auditing service") != std::string::npos; }));
    carving_.expect(0, "cancel shop --yes");
    EXPECT_EQ(other.wait().exit, 0) << other.text("err");
    expect_nothing_left();
    carving_.refuses(2, "audit shop", {"not written on two sides"});
}

TEST_F(AuditTest, ALostSlotIsNotProven) {
    caught_up(0);
    carving_.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()");
    carving_.refuses(3, "audit shop --until-caught-up", {"not proven", "is gone"});
    carving_.refuses(0, "audit shop --until-caught-up", {"is not audited"}); // anew, and it says since when
    // A slot that keeps too much is dropped rather than the disk filled.
    test::Process audit{carving_.command("audit shop --max-retained-wal 1MB")};
    ASSERT_TRUE(test::wait_until([&] { return audit.text("err").find("auditing service") != std::string::npos; }));
    auto holder = carving_.connect();
    pg::Transaction open{holder};
    holder.run("SELECT txid_current(); INSERT INTO public.payments VALUES ('2024-02-02', 5555, 1)");
    for (int n = 0; n < 30; ++n)
        carving_.sql("CREATE TABLE public.junk AS SELECT repeat('x', 500) FROM generate_series(1, 2000); DROP TABLE public.junk; CHECKPOINT");
    auto const ended = audit.wait();
    EXPECT_EQ(ended.exit, 3) << ended.out << ended.err;
    EXPECT_NE((ended.out + ended.err).find("was dropped"), std::string::npos) << ended.out << ended.err;
    EXPECT_EQ(carving_.value("SELECT count(*) FROM pg_replication_slots WHERE database = current_database()"), "0");
}

TEST_F(AuditTest, GoesOnOverACutoverAndBack) {
    carving_.expect(0, "verify shop");
    caught_up(0);
    test::Process audit{carving_.command("--format json audit shop")};
    ASSERT_TRUE(test::wait_until([&] { return audit.text("err").find("auditing service") != std::string::npos; }));
    carving_.expect(0, "cutover shop --yes");
    carving_.sql("UPDATE shop.orders SET total = total + 1 WHERE id < 30");
    carving_.sql("BEGIN; SET LOCAL session_replication_role = replica; INSERT INTO shop.orders VALUES (5000, 1); COMMIT");
    EXPECT_TRUE(test::wait_until([&] { return audit.text("out").find("5000") != std::string::npos; })) << audit.text("err");
    audit.signal(SIGTERM);
    auto const told = parse(audit.wait().out);
    ASSERT_EQ(told.differences.size(), 1U);
    EXPECT_EQ(told.differences[0].at("samples").at(0).at("source"), "shop.orders") << "who has the authority is the source";
    EXPECT_EQ(told.differences[0].at("samples").at(0).at("kind"), "missing");
    carving_.expect(0, "repair shop --yes");
    carving_.expect(0, "rollback shop --yes");
    carving_.sql("UPDATE public.orders SET total = total + 1 WHERE id < 30");
    EXPECT_TRUE(caught_up(0).differences.empty());
}

TEST_F(AuditTest, AHugeTransaction) {
    caught_up(0);
    test::Process audit{carving_.command("--format json audit shop")};
    int transactions = 0;
    auto const judged = [&](std::string const& statements) {
        carving_.sql(statements);
        ++transactions;
        EXPECT_TRUE(test::wait_until([&] { return carving_.value("SELECT transactions FROM pgcarve.audit") == std::to_string(transactions); }, base::Millis{120'000}))
            << audit.text("err");
    };
    judged("INSERT INTO public.orders (id, customer, total) SELECT g, g % 5, g FROM generate_series(10001, 90000) g");
    judged("UPDATE public.orders SET customer = customer WHERE id BETWEEN 10001 AND 20000"); // nothing changes
    judged("BEGIN; UPDATE public.orders SET total = total + 1 WHERE id > 10000; SET LOCAL session_replication_role = replica;"
           "UPDATE public.orders SET total = -1 WHERE id IN (20000, 40000, 60000); COMMIT");
    audit.signal(SIGTERM);
    auto const ended = audit.wait();
    EXPECT_EQ(ended.exit, 1) << ended.err;
    auto const told = parse(ended.out);
    ASSERT_EQ(told.differences.size(), 1U);
    EXPECT_EQ(told.differences[0].at("rows"), 3);
    EXPECT_EQ(told.summary.at("undecided"), 0);
}

// The application writes both sides by itself.
class ApplicationTest : public AuditTest {
protected:
    ApplicationTest() : AuditTest{"application"} {}
};

TEST_F(ApplicationTest, FindsTheCodePathThatForgotOneSide) {
    caught_up(0);
    auto const two = [&](std::string const& statement) {
        std::string out;
        for (std::string const in : {"public", "shop"}) {
            auto one = statement;
            for (auto at = one.find("{}"); at != std::string::npos; at = one.find("{}"))
                one.replace(at, 2, in);
            out += one + ";";
        }
        return out;
    };
    // In step.
    carving_.sql("BEGIN;" + two("INSERT INTO {}.orders (id, customer, total) VALUES (900, 1, 5)") + two("UPDATE {}.orders SET state = 'paid' WHERE id < 20") + "COMMIT");
    carving_.sql("BEGIN;" + two("DELETE FROM {}.orders WHERE id = 50") + two("UPDATE {}.payments SET amount = 1 WHERE id = 4") + "COMMIT");
    carving_.sql("BEGIN;" + two("TRUNCATE {}.payments") + "COMMIT");
    carving_.sql("UPDATE public.orders SET total = total, doc = doc WHERE id BETWEEN 30 AND 40"); // one side alone, but nothing changes
    EXPECT_TRUE(caught_up(0).differences.empty());
    test::Process audit{carving_.command("--format json audit shop")};
    ASSERT_TRUE(test::wait_until([&] { return audit.text("err").find("auditing service") != std::string::npos; }));
    // One side forgotten; a wrong value; one side in another transaction; one half rolled back; one side truncated.
    carving_.sql("UPDATE public.orders SET total = 12345 WHERE id = 21");
    carving_.sql("BEGIN; UPDATE public.orders SET total = 1.0 WHERE id = 22; UPDATE shop.orders SET total = 1.00 WHERE id = 22; COMMIT");
    carving_.sql("UPDATE public.orders SET customer = 77 WHERE id = 23");
    EXPECT_TRUE(test::wait_until([&] { return carving_.value("SELECT count(*) FROM pgcarve.audit_difference") == "3"; }));
    carving_.sql("UPDATE shop.orders SET customer = 77 WHERE id = 23");
    carving_.sql("BEGIN; UPDATE public.orders SET customer = 78 WHERE id = 24; SAVEPOINT a; UPDATE shop.orders SET customer = 78 WHERE id = 24; ROLLBACK TO a; COMMIT");
    carving_.sql("INSERT INTO shop.orders (id, customer) VALUES (901, 1)");
    carving_.sql("TRUNCATE public.\"Order \"\"Lines\"\"\"");
    EXPECT_TRUE(test::wait_until([&] { return carving_.value("SELECT count(*) FROM pgcarve.audit_difference") == "6"; }));
    EXPECT_TRUE(test::wait_until([&] { return audit.text("out").find("equal_again") != std::string::npos; }));
    audit.signal(SIGTERM);
    auto const ended = audit.wait();
    EXPECT_EQ(ended.exit, 1) << ended.err;
    auto const told = parse(ended.out);
    std::vector<std::string> found;
    for (auto const& one : told.differences)
        found.push_back(one.at("samples").at(0).at("kind").get<std::string>() + one.at("samples").at(0).at("key").dump() + one.at("samples").at(0).at("columns").dump());
    EXPECT_EQ(found, (std::vector<std::string>{R"(different{"id":"21"}["total"])", R"(different{"id":"22"}["total"])", R"(different{"id":"23"}["customer"])",
                                               R"(different{"id":"24"}["customer"])", R"(extra{"id":"901"}[])", R"(extra{}[])"}));
    ASSERT_EQ(told.equal.size(), 1U) << "the other transaction made it equal again";
    EXPECT_EQ(told.equal[0].at("lsn"), told.differences[2].at("lsn"));
}

// Several clients at full speed, with and without a mirror: no word, whatever the interleaving, updates that change nothing included.
void run_traffic(Carving const& carving, bool application) {
    test::Process audit{carving.command("--format json audit shop")};
    ASSERT_TRUE(test::wait_until([&] { return audit.text("err").find("auditing service") != std::string::npos; }));
    std::atomic<int> transactions{0};
    std::vector<std::thread> clients;
    for (int client = 0; client < 3; ++client) {
        clients.emplace_back([&, client] {
            auto session = carving.connect();
            session.run("SET synchronous_commit = off");
            for (int n = 0; n < 400; ++n) {
                int const id = 1 + (n * 7 + client * 13) % 40; // hot rows
                std::vector<std::string> work{fmt::format("UPDATE $.orders SET total = {} WHERE id = {}", n % 2, id),
                                              fmt::format("UPDATE $.orders SET customer = {} WHERE id = {}", client, 60 + client),
                                              fmt::format("INSERT INTO $.payments VALUES ('2024-03-03', {}, 1)", 100000 + client * 1000 + n)};
                try {
                    pg::Transaction transaction{session};
                    for (auto const& statement : work) {
                        for (std::string const side : {"public", "shop"}) {
                            auto one = statement;
                            one.replace(one.find('$'), 1, side);
                            if (side == "public" || application)
                                session.run(one);
                        }
                    }
                    transaction.commit();
                    ++transactions;
                } catch (pg::SqlError const& e) {
                    EXPECT_EQ(e.sqlstate(), pg::sqlstate::deadlock_detected);
                }
            }
        });
    }
    for (auto& client : clients)
        client.join();
    EXPECT_TRUE(test::wait_until([&] { return std::stoll(carving.value("SELECT transactions FROM pgcarve.audit")) >= transactions; })) << audit.text("err");
    audit.signal(SIGTERM);
    auto const ended = audit.wait();
    EXPECT_EQ(ended.exit, 0) << ended.out << ended.err;
}

TEST_F(AuditTest, IsSilentUnderTraffic) {
    caught_up(0);
    run_traffic(carving_, false);
}

TEST_F(ApplicationTest, IsSilentUnderTraffic) {
    caught_up(0);
    run_traffic(carving_, true);
}

TEST_F(AuditTest, Refusals) {
    carving_.sql("ALTER TABLE public.orders REPLICA IDENTITY NOTHING");
    carving_.refuses(5, "audit shop --until-caught-up", {"every UPDATE and DELETE of the application would fail", "REPLICA IDENTITY DEFAULT"});
    expect_nothing_left();
    carving_.sql("UPDATE public.orders SET total = 1 WHERE id = 1");
}

} // namespace
