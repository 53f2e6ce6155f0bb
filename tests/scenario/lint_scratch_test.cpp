// Goal: `pgcarve lint --scratch` proves what a server shows, takes back what it does not, fails closed where it refuses,
// and leaves nothing behind; `--git-base`, `--dsn`, `assess --save` and `--inventory` settle what a text cannot.
// Method: the real binary on small change sets, with a server of its own and with the test's.
#include <nlohmann/json.hpp>

#include "scenario/carving.hpp"
#include "scenario/folder.hpp"

namespace {

using namespace pgcarve;
namespace fs = std::filesystem;

class LintScratch : public test::InFolder {
protected:
    [[nodiscard]] test::Output lint(std::string const& arguments) const { return shell(PGCARVE_BINARY " lint " + arguments); }
    [[nodiscard]] nlohmann::json found(std::string const& arguments) const {
        auto const output = lint("--output json " + arguments);
        EXPECT_TRUE(nlohmann::json::accept(output.out)) << output.out << output.err;
        return nlohmann::json::parse(output.out, nullptr, false);
    }
    // "" when the rule found nothing.
    static std::string proof(nlohmann::json const& report, std::string const& rule) {
        for (auto const& finding : report["findings"]) {
            if (finding["rule"] == rule)
                return finding["proof"];
        }
        return {};
    }
    static std::string on_server() { return " --scratch-dsn '" + test::Server::shared().dsn() + "' "; }
    static std::string databases() {
        auto session = test::Server::shared().connect();
        return test::Carving::value(session, "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database WHERE datname LIKE 'pgcarve%'");
    }
};

// What the text hides, a server sees.
constexpr auto base = "CREATE TABLE orders (id bigint PRIMARY KEY, note varchar(20), total int, placed timestamp);\n"
                      "DO $$ BEGIN EXECUTE 'ALTER TABLE orders ALTER COLUMN total SET NOT NULL, ADD COLUMN code ' || 'varchar(5)'; END $$;\n";

TEST_F(LintScratch, ProvesTakesBackAndTells) {
    write("base.sql", base);
    write("1.sql", "SET lock_timeout = '1s';\n"
                   "ALTER TABLE orders ALTER COLUMN total SET NOT NULL;\n"           // it is already
                   "ALTER TABLE orders ALTER COLUMN note SET NOT NULL;\n"            // reads all rows
                   "ALTER TABLE orders ALTER COLUMN code TYPE varchar(9);\n"         // widens
                   "ALTER TABLE orders ALTER COLUMN placed TYPE timestamptz;\n"      // rewrites unless in UTC
                   "CREATE INDEX CONCURRENTLY i ON orders (note);\n"
                   "DO $$ BEGIN EXECUTE 'ALTER TABLE orders ALTER COLUMN total ' || 'TYPE bigint'; END $$;\n");
    auto const heuristic = found("--schema base.sql 1.sql");
    EXPECT_EQ(heuristic["coverage"]["proved"], 0);
    auto const report = found("--schema base.sql 1.sql" + on_server());
    std::string lines;
    for (auto const& finding : report["findings"])
        lines += fmt::format("{}:{}:{} ", finding["line"].get<int>(), finding["rule"].get<std::string>(), finding["proof"].get<std::string>());
    EXPECT_EQ(proof(report, "L05"), "proved") << lines;
    EXPECT_EQ(proof(report, "L06"), "proved") << lines;
    EXPECT_EQ(proof(report, "L28"), "proved") << lines; // the dynamic one
    EXPECT_EQ(lines.find("2:L05"), std::string::npos) << lines;
    EXPECT_EQ(lines.find("4:L06"), std::string::npos) << lines;
    EXPECT_EQ(report["coverage"]["proved"], 7) << report["coverage"].dump();
    EXPECT_EQ(databases(), "NULL");
}

TEST_F(LintScratch, LeavesTheFilesOwnTransactionAsItIs) {
    write("base.sql", base);
    write("1.sql", "BEGIN;\nSET TRANSACTION ISOLATION LEVEL REPEATABLE READ;\nTRUNCATE orders;\nCOMMIT;\n");
    auto const report = found("--schema base.sql 1.sql" + on_server());
    EXPECT_EQ(report["coverage"]["proved"], 4) << report.dump();
    EXPECT_EQ(proof(report, "L28"), "") << "the indexes that TRUNCATE makes anew: " << report.dump();
}

TEST_F(LintScratch, FailsClosed) {
    write("base.sql", base);
    write("1.sql", "ALTER TABLE nowhere ADD COLUMN a int;\n");
    auto const refused = lint("--schema base.sql 1.sql" + on_server());
    EXPECT_EQ(refused.exit, 3) << refused.out << refused.err;
    EXPECT_NE(refused.out.find("nowhere"), std::string::npos);
    write("2.sql", "CREATE TABLE fresh (id int);\n");
    EXPECT_EQ(lint("2.sql" + on_server()).exit, 0);
    write("broken.sql", "CREATE TABLE x (a nosuchtype);\n");
    EXPECT_EQ(lint("--schema broken.sql 2.sql" + on_server()).exit, 3);
    EXPECT_EQ(lint("2.sql --scratch-dsn 'host=/nonexistent'").exit, 4);
    EXPECT_EQ(shell("PGCARVE_PG_BIN=/nonexistent " PGCARVE_BINARY " lint --scratch 2.sql").exit, 3);
    EXPECT_EQ(lint("--scratch --scratch-dsn x 2.sql").exit, 2);
    EXPECT_EQ(databases(), "NULL");
}

TEST_F(LintScratch, AServerOfItsOwn) {
    write("base.sql", base);
    write("1.sql", "BEGIN; GRANT SELECT ON orders TO reader; ALTER TABLE orders ADD COLUMN token uuid DEFAULT gen_random_uuid(); COMMIT;\n");
    fs::create_directories(folder_ / "tmp");
    fs::permissions(folder_, fs::perms::all);
    fs::permissions(folder_ / "tmp", fs::perms::all);
    auto const output = shell("TMPDIR='" + (folder_ / "tmp").string() + "' " PGCARVE_BINARY " lint --output json --scratch --schema base.sql 1.sql");
    EXPECT_EQ(output.exit, 1) << output.out << output.err;
    auto const report = nlohmann::json::parse(output.out, nullptr, false);
    ASSERT_TRUE(report.is_object()) << output.out << output.err;
    EXPECT_EQ(proof(report, "L01"), "proved");
    EXPECT_EQ(report["coverage"]["not_analysed"], 0) << report.dump();
    EXPECT_TRUE(fs::is_empty(folder_ / "tmp")) << "the server's files are gone";
}

TEST_F(LintScratch, GitBase) {
    write("m/1.sql", base);
    write("m/2.sql", "CREATE TABLE customers (id bigint);\n");
    EXPECT_EQ(shell("git init -q -b main . && git -c user.name=t -c user.email=t@t add . && git -c user.name=t -c user.email=t@t commit -q -m base").exit, 0);
    write("m/3.sql", "SET lock_timeout = '1s'; ALTER TABLE customers ADD COLUMN a int;\n");
    EXPECT_EQ(lint("--strict --git-base main m").exit, 0);
    auto const report = found("--git-base main m");
    EXPECT_EQ(report["coverage"]["statements"], 2) << report.dump();
    write("m/4.sql", "DROP TABLE customers;\n");
    EXPECT_EQ(lint("--git-base main m").exit, 1) << "it is no new table: main has it";
    EXPECT_EQ(lint("m").exit, 0) << "without the base everything is new";
    write("m/2.sql", "CREATE TABLE customers (id int);\n");
    EXPECT_EQ(found("--git-base main m")["coverage"]["statements"], 4) << "a file that was changed is judged";
    EXPECT_EQ(lint("--git-base nowhere m").exit, 2);
    EXPECT_EQ(lint("--git-base --help m").exit == 2 || lint("--git-base=--all m").exit == 2, true);
    EXPECT_EQ(shell("mkdir -p /tmp/pgcarve-no-git && cd /tmp/pgcarve-no-git && " PGCARVE_BINARY " lint --git-base main " + (folder_ / "m").string()).exit, 2);
    write("m/2.sql", "CREATE TABLE customers (id bigint);\n");
    EXPECT_EQ(lint("--git-base main m" + on_server()).exit, 1);
}

TEST_F(LintScratch, CatalogAndInventory) {
    auto& server = test::Server::shared();
    auto const database = server.create_database();
    server.connect(database).run(
        "CREATE TABLE public.orders (id bigint PRIMARY KEY, note varchar(20), total int NOT NULL, customer_id bigint);"
        "CREATE TABLE public.customers (id bigint PRIMARY KEY);"
        "CREATE TABLE public.order_notes (id bigint PRIMARY KEY, order_id bigint REFERENCES public.orders);"
        "ALTER TABLE public.orders ADD CONSTRAINT c FOREIGN KEY (customer_id) REFERENCES public.customers (id);"
        "CREATE VIEW public.both AS SELECT o.id FROM public.orders AS o JOIN public.customers AS c ON c.id = o.customer_id");
    write("pgcarve.toml", "[shared]\ndsn = \"" + server.dsn(database) + "\"\n[service.checkout]\ntables = [\"orders\"]\n[service.crm]\ntables = [\"customers\"]\n");
    write("1.sql", "SET lock_timeout = '1s'; ALTER TABLE orders ALTER COLUMN note TYPE varchar(30); ALTER TABLE orders ALTER COLUMN total SET NOT NULL;\n");
    EXPECT_EQ(lint("1.sql").exit, 1) << "nothing is known of the table";
    EXPECT_EQ(lint("--dsn '" + server.dsn(database) + "' 1.sql").exit, 0);
    auto const assessed = shell(PGCARVE_BINARY " --format json assess --save inventory.json");
    EXPECT_EQ(assessed.exit, 0) << assessed.err;
    auto const json = nlohmann::json::parse(assessed.out, nullptr, false);
    ASSERT_EQ(json["crossings"].size(), 3U) << json["crossings"].dump(2);
    for (auto const& crossing : json["crossings"]) {
        if (crossing["kind"] == "foreign_key" && crossing["owner_from"] == "checkout") {
            EXPECT_EQ(crossing["owner_to"], "crm");
        }
    }
    ASSERT_EQ(json["proposals"].size(), 1U) << json["proposals"].dump(2);
    EXPECT_EQ(json["proposals"][0]["table"], "public.order_notes");
    EXPECT_EQ(json["proposals"][0]["service"], "checkout");
    EXPECT_NE(shell(PGCARVE_BINARY " assess").out.find("both"), std::string::npos);
    EXPECT_EQ(lint("--inventory inventory.json 1.sql").exit, 0) << lint("--inventory inventory.json 1.sql").out;
    write("2.sql", "SET lock_timeout = '1s'; ALTER TABLE orders ALTER COLUMN note TYPE varchar(10);\n");
    EXPECT_EQ(lint("--inventory inventory.json 2.sql").exit, 1);
    EXPECT_EQ(lint("--dsn '" + server.dsn(database) + "'" + on_server() + "2.sql").exit, 1);
    for (std::string const wrong : {"", "{}", "[1]", "{\"schema_version\":1,\"server_version\":150000,\"tables\":[{}]}"}) {
        write("wrong.json", wrong);
        EXPECT_EQ(lint("--inventory wrong.json 1.sql").exit, 2) << wrong;
        EXPECT_EQ(lint("--sync-state wrong.json 1.sql").exit, 2) << wrong;
    }
}

// The mirror and the stream themselves, made on the scratch server and tried.
TEST_F(LintScratch, SyncsAreTried) {
    write("base.sql", "CREATE TABLE public.orders (id bigint PRIMARY KEY, name text NOT NULL, qty int);\n"
                      "CREATE TABLE public.customers (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email varchar(40) UNIQUE);\n");
    auto const side = [](std::string const& database, std::string const& schema, std::string const& name) {
        return fmt::format(R"({{"database":"{}","schema":"{}","name":"{}"}})", database, schema, name);
    };
    write("state.json", fmt::format(R"({{"schema_version":1,"services":[
        {{"service":"checkout","phase":"dual_writing","tables":[{{"by":"mirror","source":{},"target":{},"key":["id"]}}]}},
        {{"service":"crm","phase":"syncing","tables":[{{"by":"stream","source":{},"target":{},"key":["id"]}}]}}]}})",
                                    side("", "public", "orders"), side("", "checkout", "orders"), side("", "public", "customers"), side("crm", "crm", "customers")));
    write("1.sql", "SET lock_timeout = '1s';\nALTER TABLE orders ADD COLUMN kind text;\nALTER TABLE customers ADD COLUMN kind text;\n");
    auto const broken = found("--schema base.sql --sync-state state.json 1.sql" + on_server());
    int proved = 0;
    for (auto const& finding : broken["findings"])
        proved += finding["rule"] == "S01" && finding["proof"] == "proved" ? 1 : 0;
    EXPECT_EQ(proved, 2) << broken.dump(2);
    // Hidden from the text, seen by the rows.
    write("2.sql", "SET lock_timeout = '1s';\nDO $$ BEGIN EXECUTE 'ALTER TABLE ' || 'orders ADD COLUMN kind text'; PERFORM FROM orders; END $$;\n");
    EXPECT_EQ(proof(found("--schema base.sql --sync-state state.json 2.sql" + on_server()), "S13"), "proved");
    write("3.sql", "SET lock_timeout = '1s';\nALTER TABLE orders ALTER COLUMN qty SET DEFAULT 1;\nALTER TABLE customers ADD CONSTRAINT c CHECK (id > 0) NOT VALID;\n");
    auto const good = lint("--schema base.sql --sync-state state.json 3.sql" + on_server());
    EXPECT_EQ(good.exit, 0) << good.out << good.err;
    EXPECT_EQ(databases(), "NULL");
}

} // namespace
