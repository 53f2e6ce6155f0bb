// Goal: a foreign key between two databases, kept by pgcarve, comes to what the real one comes to: nothing is left over, nothing is
// done twice, and a row whose parent is there is never touched.
// Method: two databases; the generated triggers at the parent, LooseKeys at the child; the same statements against a pair of
// tables with a real foreign key tell what is right. Children in the service's database, and parents there.
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <thread>

#include <fmt/format.h>

#include "base/interrupt.hpp"
#include "catalog/reader.hpp"
#include "control/migrations.hpp"
#include "control/plan_json.hpp"
#include "plan/database.hpp"
#include "plan/loose.hpp"
#include "run/stream/loose.hpp"
#include "support/server.hpp"

namespace {

using namespace pgcarve;
using sql::Sql;

test::Server& server() { return test::Server::shared(); }

std::string value(pg::Session& session, std::string const& query) {
    return session.one(Sql{"SELECT ("}.server_text(query).add(")::text AS v")).maybe("v").value_or("NULL");
}

void run_all(pg::Session& session, std::vector<std::string> const& statements) {
    for (auto const& statement : statements)
        session.run(statement);
}

// A service "shop" which owns public.<moved> in the shared database and lives as store.<moved> in another one.
class Two {
public:
    Two(std::string const& tables, std::string const& moved)
        : shared_name_{server().create_database()}, other_name_{server().create_database()}, shared{server().connect(shared_name_)},
          other{server().connect(other_name_)} {
        control::migrate(shared, control::embedded_migrations());
        shared.run(tables);
        other.run("CREATE SCHEMA store; CREATE SCHEMA pgcarve");
        map_.dsn = server().dsn(shared_name_);
        model::Service service;
        service.name = "shop";
        service.database = model::Database{server().dsn(other_name_), "store", {}};
        map_.services.emplace("shop", service);
        setup_.database = model::DatabaseSetup{"store", "pgcarve_shop", {{{"public", moved}, {"store", moved}, {"id"}, true, false, {}}}};
        setup_.tables = setup_.database->tables;
    }

    // As the cutover does it: triggers, then the key goes. `there`: the moved table in the other database.
    void sever(std::string const& there, model::CrossingDecision decision = model::CrossingDecision::loose) {
        other.run(there);
        auto const catalog = catalog::read_catalog(shared);
        for (auto& crossing : plan::crossing_keys(setup_, catalog)) {
            crossing.key.decision = decision;
            setup_.database->severed.push_back(crossing.key);
        }
        auto const keys = plan::loose_keys(setup_, setup_.database->severed);
        for (auto const& step : plan::loose_install_steps("shop", keys, catalog, catalog::read_catalog(other)))
            run_all(step.id.starts_with("other:") ? other : shared, step.sql);
        for (auto const& key : setup_.database->severed)
            shared.run(fmt::format("ALTER TABLE {} DROP CONSTRAINT {}", key.child.quoted(), sql::quote_ident(key.name)));
        Sql sql{"INSERT INTO pgcarve.service (name, phase, authority, setup) VALUES ('shop', 'database_live', 'database', "};
        shared.query(sql.bind(control::to_json(setup_).dump()).add("::jsonb)"));
    }

    void drain(int turns = 50, base::Millis budget = base::Millis{5'000}) {
        base::Interrupt interrupt;
        run::Context context{map_, interrupt, "test", {}, run::Failpoints{}};
        context.events.warn = [this](std::string const& text) { warnings.push_back(text); };
        run::LooseKeys loose{context, "shop"};
        for (int turn = 0; turn < turns; ++turn) {
            loose.drain(shared, budget);
            if (loose.idle())
                break;
        }
    }
    std::optional<model::LooseStatus> status() {
        base::Interrupt interrupt;
        run::Context context{map_, interrupt, "test", {}, run::Failpoints{}};
        return run::loose_status(context, shared, *control::Store{shared}.service("shop"));
    }
    [[nodiscard]] std::string queued(pg::Session& session) { return value(session, "SELECT count(*) FROM pgcarve.loose_queue"); }
    void uninstall() {
        auto const keys = plan::loose_keys(setup_, setup_.database->severed);
        for (auto const& step : plan::loose_remove_steps("shop", keys, catalog::read_catalog(shared), catalog::read_catalog(other)))
            run_all(step.id.starts_with("other:") ? other : shared, step.sql);
    }

private:
    std::string shared_name_;
    std::string other_name_;
    model::BoundaryMap map_;
    model::Setup setup_;

public:
    pg::Session shared;
    pg::Session other;
    std::vector<std::string> warnings;
};

constexpr char const* parents = "CREATE TABLE public.customers (id int PRIMARY KEY, code text, UNIQUE (code)); INSERT INTO public.customers SELECT n, 'c' || n FROM generate_series(1, 500) n;";

std::string children(std::string const& schema, std::string const& key, std::string const& reference) {
    return fmt::format("CREATE TABLE {0}.orders (id int PRIMARY KEY, customer {1} {2}, note text);"
                       "INSERT INTO {0}.orders SELECT n, CASE WHEN n % 11 <> 0 THEN 1 + n % 500 END, 'o' || n FROM generate_series(1, 3000) n;",
                       schema, key, reference);
}

constexpr char const* what_happens =
    "DELETE FROM public.customers WHERE id % 7 = 0;"
    "DELETE FROM public.customers WHERE id = 3;"
    "BEGIN; DELETE FROM public.customers WHERE id BETWEEN 100 AND 150; ROLLBACK;"
    "DELETE FROM public.customers WHERE id > 480";

// The real key's result.
std::string expected(std::string const& reference, std::string const& happens) {
    auto session = server().connect(server().create_database());
    session.run(parents + children("public", "int", reference));
    session.run(happens);
    return value(session, "SELECT md5(string_agg(o::text, ' ' ORDER BY id)) FROM public.orders o");
}

TEST(LooseKeysTest, DoesWhatTheRealKeyDoesForAChildThatMoved) {
    for (std::string const action : {"ON DELETE CASCADE", "ON DELETE SET NULL", "DEFAULT 5 REFERENCES public.customers ON DELETE SET DEFAULT"}) {
        auto const reference = action.starts_with("DEFAULT") ? action : "REFERENCES public.customers " + action;
        Two two{parents + children("public", "int", reference), "orders"};
        two.sever(children("store", "int", action.starts_with("DEFAULT") ? "DEFAULT 5" : ""));
        two.shared.run(what_happens);
        EXPECT_NE(two.queued(two.shared), "0");
        two.drain();
        EXPECT_EQ(two.queued(two.shared), "0");
        EXPECT_EQ(value(two.other, "SELECT md5(string_agg(o::text, ' ' ORDER BY id)) FROM store.orders o"), expected(reference, what_happens)) << action;
        EXPECT_TRUE(two.warnings.empty()) << two.warnings.front();
    }
}

TEST(LooseKeysTest, FollowsChangesOfTheKeyInTheirOrder) {
    std::string const reference = "REFERENCES public.customers ON UPDATE CASCADE ON DELETE CASCADE";
    std::string const happens = "UPDATE public.customers SET id = id + 10000 WHERE id % 3 = 0; UPDATE public.customers SET id = id + 10000 WHERE id > 10000 AND id < 10100;"
                                "DELETE FROM public.customers WHERE id > 20000 AND id % 2 = 0; UPDATE public.customers SET id = 700 WHERE id = 1;"
                                "UPDATE public.customers SET id = 1 WHERE id = 2; UPDATE public.customers SET code = code || 'x'";
    Two two{parents + children("public", "int", reference), "orders"};
    two.sever(children("store", "int", ""));
    two.shared.run(happens);
    two.drain();
    // 1 is there again, and nobody can tell whose its rows are: they stay.
    EXPECT_EQ(value(two.other, "SELECT count(*) FROM store.orders WHERE customer = 700"), "0");
    EXPECT_EQ(value(two.other, "SELECT count(*) FROM store.orders WHERE customer = 2"), "0");
    auto session = server().connect(server().create_database());
    session.run(parents + children("public", "int", reference));
    session.run(happens);
    auto const others = "SELECT md5(string_agg(o::text, ' ' ORDER BY id)) FROM {}.orders o WHERE customer IS NULL OR customer NOT IN (1, 700)";
    EXPECT_EQ(value(two.other, fmt::format(fmt::runtime(others), "store")), value(session, fmt::format(fmt::runtime(others), "public")));
    EXPECT_EQ(two.queued(two.shared), "0");
}

TEST(LooseKeysTest, ParentsThatMoved) {
    Two two{"CREATE TABLE public.orders (id int PRIMARY KEY); INSERT INTO public.orders SELECT generate_series(1, 100);"
            "CREATE TABLE public.invoices (no int PRIMARY KEY, \"Order\" bigint REFERENCES public.orders ON DELETE CASCADE);"
            "INSERT INTO public.invoices SELECT n, 1 + n % 100 FROM generate_series(1, 1000) n",
            "orders"};
    two.sever("CREATE TABLE store.orders (id int PRIMARY KEY); INSERT INTO store.orders SELECT generate_series(1, 100)");
    two.other.run("DELETE FROM store.orders WHERE id <= 10");
    two.other.run("BEGIN; SET LOCAL pgcarve.mirror = 'on'; DELETE FROM store.orders WHERE id = 50; COMMIT"); // a stream's: noted elsewhere
    two.drain();
    EXPECT_EQ(value(two.shared, "SELECT count(*) FROM public.invoices WHERE \"Order\" <= 10"), "0");
    EXPECT_EQ(value(two.shared, "SELECT count(*) FROM public.invoices"), "900");
    EXPECT_EQ(two.queued(two.other), "0");
    two.uninstall();
    EXPECT_EQ(value(two.other, "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'pgcarve%'"), "0");
    EXPECT_EQ(value(two.other, "SELECT count(*) FROM pg_proc WHERE pronamespace = 'pgcarve'::regnamespace"), "0");
}

TEST(LooseKeysTest, PartitionsTruncateAndCompositeKeysOfHostileNames) {
    std::string const parent = "CREATE TYPE public.\"Kind's\" AS ENUM ('a', 'b''\"c', 'd,{}');"
                               "CREATE TABLE public.\"Par\"\"ent's\" (\"k 1\" public.\"Kind's\", \"k%s\" text, day date, PRIMARY KEY (\"k 1\", \"k%s\", day)) PARTITION BY LIST (\"k 1\");"
                               "CREATE TABLE public.pa PARTITION OF public.\"Par\"\"ent's\" FOR VALUES IN ('a');"
                               "CREATE TABLE public.pb PARTITION OF public.\"Par\"\"ent's\" FOR VALUES IN ('b''\"c') PARTITION BY RANGE (day);"
                               "CREATE TABLE public.pb1 PARTITION OF public.pb DEFAULT;"
                               "INSERT INTO public.\"Par\"\"ent's\" SELECT k, E'x\\\\{\"' || n, '2024-01-01'::date + n FROM unnest(ARRAY['a', 'b''\"c']::public.\"Kind's\"[]) k, generate_series(1, 50) n;";
    std::string const child = "CREATE TABLE public.orders (id serial PRIMARY KEY, a public.\"Kind's\", b text, c date,"
                              " FOREIGN KEY (a, b, c) REFERENCES public.\"Par\"\"ent's\" MATCH FULL ON UPDATE CASCADE ON DELETE CASCADE);"
                              "INSERT INTO public.orders (a, b, c) SELECT p.* FROM public.\"Par\"\"ent's\" p, generate_series(1, 3); INSERT INTO public.orders DEFAULT VALUES";
    Two two{parent + child, "orders"};
    two.sever("CREATE TYPE public.\"Kind's\" AS ENUM ('a', 'b''\"c', 'd,{}'); CREATE TABLE store.orders (id serial PRIMARY KEY, a public.\"Kind's\", b text, c date)");
    for (auto const row : two.shared.query(Sql{"SELECT id::text, a::text, b, c::text FROM public.orders"})) {
        Sql sql{"INSERT INTO store.orders SELECT "};
        two.other.query(sql.bind(row.maybe(0)).add("::int, ").bind(row.maybe(1)).add("::public.\"Kind's\", ").bind(row.maybe(2)).add(", ").bind(row.maybe(3)).add("::date"));
    }
    two.shared.run("CREATE TABLE public.pd PARTITION OF public.\"Par\"\"ent's\" FOR VALUES IN ('d,{}')"); // came later
    two.shared.run("DELETE FROM public.pa WHERE day < '2024-01-11'");                                      // a partition by its name
    two.shared.run("UPDATE public.\"Par\"\"ent's\" SET \"k 1\" = 'd,{}' WHERE \"k 1\" = 'a' AND day < '2024-01-21'"); // to another partition
    two.shared.run("TRUNCATE public.pb1");
    two.shared.run("DELETE FROM public.pd WHERE day = '2024-01-15'");
    two.drain();
    EXPECT_EQ(value(two.other, "SELECT count(*) FROM store.orders WHERE a = 'b''\"c'"), "0");
    EXPECT_EQ(value(two.other, "SELECT count(*) FROM store.orders WHERE a = 'd,{}'"), "27");
    EXPECT_EQ(value(two.other, "SELECT count(*) FROM store.orders WHERE a = 'a'"), "93");
    EXPECT_EQ(value(two.other, "SELECT count(*) FROM store.orders WHERE a IS NULL"), "1");
    EXPECT_EQ(two.queued(two.shared), "0");
    EXPECT_TRUE(two.warnings.empty()) << two.warnings.front();
    two.shared.run("TRUNCATE public.\"Par\"\"ent's\"");
    two.drain();
    EXPECT_EQ(value(two.other, "SELECT count(*) FROM store.orders"), "1");
}

TEST(LooseKeysTest, AKeyWithoutActionLeavesOrphansAndSaysSo) {
    Two two{parents + children("public", "int", "REFERENCES public.customers"), "orders"};
    two.sever(children("store", "int", ""));
    two.shared.run("DELETE FROM public.customers WHERE id IN (1, 2)");
    two.drain();
    auto const status = two.status();
    EXPECT_EQ(status->refused, 2);
    EXPECT_NE(status->problem->find("refer to {"), std::string::npos) << *status->problem;
    EXPECT_EQ(value(two.other, "SELECT count(*) FROM store.orders"), "3000");
    // The parent comes back, or the rows go: the entry goes as well.
    two.shared.run("INSERT INTO public.customers VALUES (1, 'c1'); UPDATE pgcarve.loose_queue SET next_try = '-infinity'");
    two.other.run("UPDATE store.orders SET customer = NULL WHERE customer = 2");
    two.drain();
    EXPECT_EQ(two.queued(two.shared), "0");
}

TEST(LooseKeysTest, WhatTheChildRefusesIsToldAndDoesNotStopTheRest) {
    Two two{parents + children("public", "int", "REFERENCES public.customers ON DELETE CASCADE"), "orders"};
    two.sever(children("store", "int", "") + "CREATE TABLE store.lines (id int REFERENCES store.orders); INSERT INTO store.lines SELECT id FROM store.orders WHERE customer = 4 LIMIT 1");
    two.shared.run("DELETE FROM public.customers WHERE id IN (3, 4, 5)");
    auto holder = server().connect(value(two.other, "SELECT current_database()"));
    pg::Transaction transaction{holder};
    holder.run("SELECT FROM store.orders WHERE customer = 5 FOR UPDATE");
    two.drain();
    EXPECT_EQ(value(two.other, "SELECT count(*) FROM store.orders WHERE customer = 3"), "0");
    EXPECT_NE(value(two.other, "SELECT count(*) FROM store.orders WHERE customer = 4"), "0");
    EXPECT_EQ(value(two.shared, "SELECT string_agg(old::text, ' ' ORDER BY id) FROM pgcarve.loose_queue"), "{4} {5}");
    EXPECT_EQ(two.status()->refused, 1);
    transaction.abort();
    two.other.run("DROP TABLE store.lines");
    two.shared.run("UPDATE pgcarve.loose_queue SET next_try = '-infinity'");
    two.drain();
    EXPECT_EQ(two.queued(two.shared), "0");
    EXPECT_EQ(value(two.other, "SELECT count(*) FROM store.orders WHERE customer IN (3, 4, 5)"), "0");
}

// Parents that go and come again with new children, while the queue is worked off: no child of a parent that is there is lost.
TEST(LooseKeysTest, NeverTouchesRowsOfAParentThatIsThere) {
    Two two{parents + children("public", "int", "REFERENCES public.customers ON DELETE CASCADE"), "orders"};
    two.sever("CREATE TABLE store.orders (id bigserial PRIMARY KEY, customer int, note text)");
    std::atomic<bool> finished{false};
    std::map<int, int> alive; // children of customers that are there at the end
    std::thread writer{[&, shared = server().connect(value(two.shared, "SELECT current_database()")),
                        other = server().connect(value(two.other, "SELECT current_database()"))]() mutable {
        for (int turn = 0; turn < 600; ++turn) {
            int const id = 1 + turn % 7;
            shared.run(fmt::format("DELETE FROM public.customers WHERE id = {}", id));
            alive[id] = 0;
            if (turn % 3 == 2)
                continue;
            shared.run(fmt::format("INSERT INTO public.customers VALUES ({0}, 'c{0}')", id));
            other.run(fmt::format("INSERT INTO store.orders (customer, note) SELECT {}, '{}' FROM generate_series(1, 3)", id, turn));
            alive[id] = 3;
        }
        finished = true;
    }};
    while (!finished)
        two.drain(1, base::Millis{250}); // the writer may be faster
    writer.join();
    two.shared.run("UPDATE pgcarve.loose_queue SET next_try = '-infinity'");
    two.drain();
    EXPECT_EQ(two.queued(two.shared), "0");
    for (auto const& [id, count] : alive) {
        auto const there = std::stoi(value(two.other, fmt::format("SELECT count(*) FROM store.orders WHERE customer = {}", id)));
        if (count == 0)
            EXPECT_EQ(there, 0) << id;
        else
            EXPECT_GE(there, count) << id;
    }
}

TEST(LooseKeysTest, CountsOrphans) {
    auto session = server().connect(server().create_database());
    session.run("CREATE TABLE public.p (a int, b int, PRIMARY KEY (a, b)); INSERT INTO public.p SELECT n, n FROM generate_series(1, 10) n;"
                "CREATE TABLE public.s (id int PRIMARY KEY, a int, b int); CREATE TABLE public.f (LIKE public.s);"
                "INSERT INTO public.s VALUES (1, 1, 1), (2, 1, 2), (3, NULL, 99), (4, 99, NULL), (5, NULL, NULL), (6, 11, 11); INSERT INTO public.f SELECT * FROM public.s;"
                "ALTER TABLE public.s ADD CONSTRAINT \"simple\" FOREIGN KEY (a, b) REFERENCES public.p NOT VALID;"
                "ALTER TABLE public.f ADD CONSTRAINT \"full\" FOREIGN KEY (a, b) REFERENCES public.p MATCH FULL NOT VALID");
    auto const catalog = catalog::read_catalog(session);
    std::vector<model::SeveredKey> keys;
    for (auto const& table : catalog.tables) {
        for (auto const& constraint : table.constraints) {
            if (constraint.type == 'f')
                keys.push_back(plan::severed_key(table.name, constraint, false));
        }
    }
    ASSERT_EQ(keys.size(), 2U);
    auto const counts = run::count_orphans(session, keys, base::Millis{10'000});
    ASSERT_TRUE(counts);
    for (auto const& one : *counts)
        EXPECT_EQ(one.rows, one.key.starts_with("public.f") ? 4 : 2) << one.key;
}

} // namespace
