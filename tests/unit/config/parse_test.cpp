// Goal: a pgcarve.toml becomes exactly the map it says, and everything wrong in one is told at
// once with file, line and key. Method: whole files in, whole lists of messages out.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "base/error.hpp"
#include "config/parse.hpp"
#include "config/pooler.hpp"
#include "config/sync_limits.hpp"

namespace {

using namespace pgcarve;
using namespace std::chrono_literals;

std::string slurp(std::string const& path) {
    std::ifstream in{path};
    EXPECT_TRUE(in) << path;
    std::ostringstream all;
    all << in.rdbuf();
    return all.str();
}

std::string messages(std::vector<config::Problem> const& problems) {
    std::string out;
    for (auto const& problem : problems)
        out += problem.text() + "\n";
    return out;
}

config::Parsed good(std::string_view toml) {
    auto parsed = config::parse(toml, "t.toml");
    EXPECT_EQ(messages(parsed.problems), "");
    return parsed;
}

std::string problems(std::string_view toml) {
    return messages(config::parse(toml, "t.toml").problems);
}

TEST(Parse, ReadsEveryKey) {
    auto const map = good(R"(
[shared]
dsn = "service=monolith"
schema = "app"
[defaults]
window = "14d"
clean_runs = 3
max_lag = "5s"
max_write_block = "1500ms"
max_verification_age = "12h"
max_transaction_age = "30s"
hold = "2d"
[service.checkout]
schema = "shop"
role = "checkout_app"
create_role = true
tables = ["orders", "sales.order_*", "!order_archive"]
dual_write = "application"
strategy = "copy"
legacy = "view"
window = "7d"
[service.checkout.database]
dsn = "service=checkout_db"
schema = "main"
[service.checkout.foreign_keys]
"orders.customer_id -> customers" = "loose"
"orders orders_country" = "replicate"
[service.plain]
tables = ["plain"]
strategy = "move"
[reference]
tables = ["countries"]
[throttle]
max_replica_lag = "3s"
max_active_sessions = 40
max_lock_waiters = 2
chunk_time = "50ms"
nice = 1
[verify]
nice_ratio = 1.5
[hooks]
on_cutover = "true"
on_rollback = "false"
)")
                         .map;
    EXPECT_EQ(map.file, "t.toml");
    EXPECT_EQ(map.dsn, "service=monolith");
    EXPECT_EQ(map.shared_schema, "app");
    ASSERT_NE(map.service("checkout"), nullptr);
    auto const& checkout = *map.service("checkout");
    EXPECT_EQ(checkout.schema, "shop");
    EXPECT_EQ(checkout.role, "checkout_app");
    EXPECT_TRUE(checkout.create_role);
    ASSERT_EQ(checkout.tables.size(), 3U);
    EXPECT_EQ(checkout.tables[0].schema, "app");
    EXPECT_EQ(checkout.tables[1].where.line, 17);
    EXPECT_EQ(checkout.tables[1].where.key, "service.checkout.tables[1]");
    EXPECT_EQ(checkout.dual_write, model::DualWrite::application);
    EXPECT_EQ(checkout.strategy, model::Strategy::copy);
    EXPECT_EQ(checkout.legacy, model::Legacy::view);
    EXPECT_EQ(checkout.limits.window, base::Millis{7 * 24h});
    EXPECT_EQ(checkout.limits.clean_runs, 3);
    EXPECT_EQ(checkout.limits.max_lag, base::Millis{5s});
    EXPECT_EQ(checkout.limits.max_write_block, 1500ms);
    EXPECT_EQ(checkout.limits.max_verification_age, base::Millis{12h});
    EXPECT_EQ(checkout.limits.max_transaction_age, base::Millis{30s});
    EXPECT_EQ(checkout.limits.hold, base::Millis{48h});
    ASSERT_TRUE(checkout.database);
    EXPECT_EQ(checkout.database->dsn, "service=checkout_db");
    EXPECT_EQ(checkout.database->schema, "main");
    ASSERT_EQ(checkout.foreign_keys.size(), 2U);
    EXPECT_EQ(checkout.foreign_keys[0].decision, model::CrossingDecision::replicate);
    EXPECT_EQ(checkout.foreign_keys[1].decision, model::CrossingDecision::loose);
    EXPECT_EQ(checkout.foreign_keys[1].child, (sql::QName{"app", "orders"}));
    EXPECT_EQ(checkout.foreign_keys[1].where.line, 26);
    auto const& plain = *map.service("plain");
    EXPECT_EQ(plain.schema, "plain");
    EXPECT_EQ(plain.limits.window, base::Millis{14 * 24h});
    EXPECT_EQ(plain.strategy, model::Strategy::move);
    EXPECT_FALSE(plain.database);
    ASSERT_EQ(map.reference.size(), 1U);
    EXPECT_EQ(map.throttle.max_replica_lag, base::Millis{3s});
    EXPECT_EQ(map.throttle.max_active_sessions, 40);
    EXPECT_EQ(map.throttle.max_lock_waiters, 2);
    EXPECT_EQ(map.throttle.chunk_time, 50ms);
    EXPECT_EQ(map.throttle.nice, 1.0);
    EXPECT_EQ(map.verify.nice_ratio, 1.5);
    EXPECT_EQ(map.hooks.on_cutover, "true");
    EXPECT_EQ(map.hooks.on_rollback, "false");
}

TEST(Parse, NothingIsAMapOfDefaults) {
    auto const map = good("").map;
    EXPECT_EQ(map.dsn, "") << "libpq's environment says where";
    EXPECT_EQ(map.shared_schema, "public");
    EXPECT_TRUE(map.services.empty());
}

TEST(Parse, DefaultsApplyWhereverTheyStand) {
    auto const map = good("[service.a]\ntables = ['x']\n[defaults]\nwindow = '3d'\n").map;
    EXPECT_EQ(map.service("a")->limits.window, base::Millis{72h});
}

// Every file tests/unit/config/bad/*.toml has its messages beside it.
TEST(Parse, ReportsEverythingAtOnce) {
    std::string const folder = PGCARVE_SOURCE_DIR "/tests/unit/config/bad/";
    for (std::string const name : {"everything", "types", "names", "syntax"}) {
        auto const parsed = config::parse(slurp(folder + name + ".toml"), name + ".toml");
        auto const expected = slurp(folder + name + ".txt");
        EXPECT_FALSE(expected.empty());
        EXPECT_EQ(messages(parsed.problems), expected) << name;
    }
}

TEST(Parse, TheErrorHoldsEveryProblem) {
    std::vector<config::Problem> warnings;
    try {
        (void)config::parse_or_throw("[shared]\nshema = 'x'\n[default]\n", "t.toml", warnings);
        FAIL();
    } catch (base::Error const& e) {
        EXPECT_EQ(e.exit(), base::Exit::usage);
        EXPECT_EQ(e.code(), "config");
        EXPECT_EQ(e.message(), "t.toml has 2 problems");
        EXPECT_EQ(e.details(),
                  (std::vector<std::string>{"t.toml:2: shared.shema: unknown key; did you mean schema?",
                                            "t.toml:3: default: unknown key; did you mean defaults?"}));
    }
}

TEST(Parse, WarnsAboutASecretWithoutShowingIt) {
    auto const parsed = good("[shared]\ndsn = 'host=h password=hunter2'\n");
    EXPECT_EQ(messages(parsed.warnings), "t.toml:2: shared.dsn: holds a password: keep it out of this file "
                                         "(PGPASSFILE, ~/.pgpass or a service file)\n");
}

TEST(Parse, SurvivesHostileText) {
    EXPECT_NE(problems(std::string("a = \"\0\"", 8)), "");
    EXPECT_NE(problems("\xff\xfe"), "");
    EXPECT_NE(problems("a = " + std::string(100'000, '[')), "");
}

TEST(Template, ParsesAsItStands) {
    auto const parsed = good(config::template_text());
    EXPECT_TRUE(parsed.warnings.empty());
    EXPECT_TRUE(parsed.map.services.empty());
    model::Limits const limits;
    EXPECT_EQ(limits.window, base::Millis{28 * 24h}) << "the template states the defaults";
}

TEST(Template, ParsesWithEveryOptionSwitchedOn) {
    std::istringstream lines{std::string{config::template_text()}};
    std::string all;
    int switched = 0;
    for (std::string line; std::getline(lines, line);) {
        bool const option = line.size() > 1 && line[0] == '#' && line[1] != ' ';
        switched += option ? 1 : 0;
        all += (option ? line.substr(1) : line) + "\n";
    }
    EXPECT_GT(switched, 20);
    auto const parsed = good(all);
    ASSERT_NE(parsed.map.service("checkout"), nullptr);
    EXPECT_EQ(parsed.map.service("checkout")->foreign_keys.size(), 2U);
}

TEST(Lint, ReadsWhatLintTakesForGranted) {
    auto const map = good(R"(
[service.checkout]
tables = ["orders"]
migrations = "services/checkout/**"
[lint]
unowned = ["audit_*", "!audit_x"]
[lint.severity]
L20 = "error"
B08 = "off"
[[lint.accept]]
rule = "B01"
file = "migrations/*.sql"
object = "public.orders*"
owner = "team"
reason = "soon"
until = "2027-01-31"
)")
                          .map;
    EXPECT_EQ(map.services.at("checkout").migrations, "services/checkout/**");
    EXPECT_TRUE(model::patterns_own(map.lint.unowned, {"public", "audit_log"}));
    EXPECT_EQ(map.lint.severity.at("L20"), "error");
    EXPECT_EQ(map.lint.severity.at("B08"), "off");
    ASSERT_EQ(map.lint.accept.size(), 1U);
    EXPECT_EQ(map.lint.accept[0].object, "public.orders*");
    EXPECT_EQ(map.lint.accept[0].until, "2027-01-31");
}

TEST(Lint, EverythingWrongIsTold) {
    EXPECT_EQ(problems(R"([lint]
unowened = ["x"]
[lint.severity]
L20 = "fatal"
[[lint.accept]]
rule = "B01"
file = "x"
owner = "y"
until = "2027-02-30"
why = "z"
)"),
              "t.toml:2: lint.unowened: unknown key; did you mean unowned?\n"
              "t.toml:4: lint.severity.L20: \"fatal\" is unknown: write \"off\", \"warning\" or \"error\"\n"
              "t.toml:5: lint.accept[0].reason: is missing: why it is accepted\n"
              "t.toml:9: lint.accept[0].until: \"2027-02-30\" is not a day: write it as \"2027-01-31\"\n"
              "t.toml:10: lint.accept[0].why: unknown key\n");
    EXPECT_EQ(problems("[lint]\naccept = [1]"), "t.toml:2: lint.accept: must be tables, each under [[lint.accept]]\n");
}

TEST(Lint, PathsMatchByFolder) {
    EXPECT_TRUE(model::path_matches("a/**", "a/b/c.sql"));
    EXPECT_TRUE(model::path_matches("**/c.sql", "c.sql"));
    EXPECT_TRUE(model::path_matches("./a/*.sql", "a/c.sql"));
    EXPECT_FALSE(model::path_matches("a/*.sql", "a/b/c.sql"));
    EXPECT_FALSE(model::path_matches("a/?.sql", "a/bc.sql"));
    EXPECT_TRUE(model::path_matches("**/m/**/x?.sql", "s/m/2026/x1.sql"));
}

TEST(Pooler, OfTheServiceElseOfAll) {
    auto constexpr toml = R"([shared]
dsn = "x"
[pgbouncer]
dsn = "host=all"
database = "app"
[service.a]
schema = "a"
tables = ["a"]
[service.a.pgbouncer]
dsn = "host=own"
database = "a_db"
[service.b]
schema = "b"
tables = ["b"]
)";
    (void)good(toml);
    auto const own = config::pooler_of(toml, "a");
    ASSERT_TRUE(own);
    EXPECT_EQ(own->dsn + " " + own->database, "host=own a_db");
    auto const all = config::pooler_of(toml, "b");
    ASSERT_TRUE(all);
    EXPECT_EQ(all->dsn + " " + all->database, "host=all app");
    EXPECT_FALSE(config::pooler_of("[shared]\ndsn = \"x\"\n", "a"));
    EXPECT_EQ(problems("[shared]\ndsn = \"x\"\n[pgbouncer]\ndsn = \"y\"\nport = 1\n"),
              "t.toml:3: pgbouncer: database is missing\nt.toml:5: pgbouncer.port: unknown key\n");
}

TEST(SyncLimits, AreSizes) {
    std::string const head = "[shared]\ndsn = \"x\"\n[sync]\n";
    EXPECT_EQ(config::sync_limits_of(head).max_touched, 1LL << 30U);
    EXPECT_EQ(config::sync_limits_of(head + "max_touched = \"64kB\"\n").max_touched, 64 << 10);
    EXPECT_EQ(config::sync_limits_of(head + "max_touched = \"0\"\n").max_touched, 0);
    EXPECT_EQ(problems(head + "max_touched = \"1\"\nmax_retained_wal = \"1 GB\"\n"),
              "t.toml:4: sync.max_touched: it is too little: write 64kB or more, such as \"1GB\"; 0 is no limit\n"
              "t.toml:5: sync.max_retained_wal: \"1 GB\" is not a size: write a whole number and a unit (kB, MB, GB, TB), such as \"50GB\"\n");
}

} // namespace
