// Goal: while clients write as fast as they can, an audit says nothing of transactions that wrote both sides alike, decides every
// one of them, and still finds the one that forgot a side. Method: pgbench's own transaction, with the mirror and as an application
// that writes both sides by itself; so many transactions, not so long.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "carving.hpp"

namespace {

using namespace pgcarve;
using nlohmann::json;
using test::Carving;

constexpr int clients = 4;
constexpr int transactions = 1'500; // of each
constexpr base::Millis patience{600'000};

test::Server& server() {
    static test::Server one{{.settings = {"wal_level = logical", "max_replication_slots = 10", "max_wal_senders = 10"}}};
    return one;
}

class AuditPgbench : public testing::TestWithParam<std::string> {
protected:
    AuditPgbench()
        : carving_{server(), server().create_database(),
                   fmt::format("[service.bank]\nschema = \"bank\"\ndual_write = \"{}\"\ntables = [\"pgbench_accounts\", \"pgbench_tellers\","
                               " \"pgbench_branches\", \"pgbench_history\"]\n",
                               GetParam())} {}

    [[nodiscard]] bool application() const { return GetParam() == "application"; }

    // pgbench's transaction; an application writes every row on the other side, too. Account 1 is left alone.
    [[nodiscard]] std::string script() const {
        std::string script = "\\set aid random(2, 100000)\n\\set tid random(1, 10)\n\\set delta random(-5000, 5000)\nBEGIN;\n";
        auto const add = [&](std::string statement) {
            for (std::string const schema : {"public", "bank"}) {
                if (schema == "public" || application())
                    script += fmt::format(fmt::runtime(statement), schema) + ";\n";
            }
        };
        add("UPDATE {}.pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid");
        script += "SELECT abalance FROM public.pgbench_accounts WHERE aid = :aid;\n";
        add("UPDATE {}.pgbench_tellers SET tbalance = tbalance + :delta WHERE tid = :tid");
        add("UPDATE {}.pgbench_branches SET bbalance = bbalance + :delta WHERE bid = 1");
        script += "SELECT nextval('public.pgbench_history_id_seq') AS id \\gset\n";
        add("INSERT INTO {}.pgbench_history (id, tid, bid, aid, delta, mtime) VALUES (:id, :tid, 1, :aid, :delta, CURRENT_TIMESTAMP)");
        // In the middle of it, one code path forgets the other side.
        return script + fmt::format("END;\n\\if :id = {}\nBEGIN;\nSET LOCAL session_replication_role = replica;\n"
                                    "UPDATE public.pgbench_accounts SET filler = 'forgotten' WHERE aid = 1;\nEND;\n\\endif\n",
                                    clients * transactions / 2);
    }

    Carving carving_;
};

TEST_P(AuditPgbench, IsSilentAtFullRateAndFindsTheOneThatForgotASide) {
    auto const bin = test::bin_of_version(server().version());
    auto const pgbench = bin + "/pgbench";
    if (bin.empty() || !std::filesystem::exists(pgbench))
        GTEST_SKIP() << "no pgbench of PostgreSQL " << server().version() << " here";
    auto const to = fmt::format("-h {} -U postgres {}", server().folder().string(), carving_.database());
    auto const made = test::run_command(fmt::format("{} -i -q -s 1 {}", pgbench, to));
    ASSERT_EQ(made.exit, 0) << made.err;
    carving_.sql("ALTER TABLE public.pgbench_history ADD COLUMN id bigserial PRIMARY KEY");
    carving_.expect(0, "init --yes");
    carving_.expect(0, "split bank --yes");
    carving_.expect(0, "audit bank --until-caught-up");
    test::Process audit{carving_.command("--format json audit bank")};
    ASSERT_TRUE(test::wait_until([&] { return audit.text("err").find("auditing service") != std::string::npos; }));

    auto const file = server().folder() / (carving_.database() + ".pgbench.sql");
    std::ofstream{file} << script();
    test::Process load{fmt::format("{} -n -c {} -j 2 -t {} -f {} {}", pgbench, clients, transactions, file.string(), to)};
    auto session = carving_.connect();
    auto const count = [&](char const* query) { return session.one(sql::Sql{}.server_text(query)).integer("n"); };
    ASSERT_TRUE(test::wait_until([&] { return load.ended(); }, patience));
    EXPECT_EQ(load.wait().exit, 0) << load.text("err");
    EXPECT_EQ(count("SELECT count(*) AS n FROM public.pgbench_history"), clients * transactions);

    EXPECT_TRUE(test::wait_until([&] { return count("SELECT transactions AS n FROM pgcarve.audit") > clients * transactions; }, patience)) << audit.text("err");
    audit.signal(SIGTERM);
    auto const ended = audit.wait();
    EXPECT_EQ(ended.exit, 1) << ended.out << ended.err;
    std::vector<json> differences;
    json summary;
    std::istringstream lines{ended.out};
    for (std::string line; std::getline(lines, line);) {
        auto const one = json::parse(line);
        if (one.at("event") == "difference")
            differences.push_back(one);
        else
            summary = one;
    }
    ASSERT_EQ(differences.size(), 1U) << ended.out;
    EXPECT_EQ(differences[0].at("rows"), 1);
    EXPECT_EQ(differences[0].at("samples").at(0).at("key"), (json{{"aid", "1"}}));
    EXPECT_EQ(differences[0].at("samples").at(0).at("columns"), (json{"filler"}));
    EXPECT_EQ(summary.at("undecided"), 0) << "while it runs it decides everything";
}

INSTANTIATE_TEST_SUITE_P(DualWrite, AuditPgbench, testing::Values("trigger", "application"), [](auto const& given) { return given.param; });

} // namespace
