// Goal: what the database hop severs goes on: deletes and key changes reach the other database in both directions, reference tables
// stay fed and read-only on both sides of the cutover, a rollback makes the real keys again, and nothing is left behind.
// Method: the real binary, two databases, `sync` killed again and again while it carries the deletes over.
#include "scenario/hopping.hpp"

namespace {

using namespace pgcarve;
using test::Carving;

constexpr char const* schema =
    "CREATE TABLE public.countries (code text PRIMARY KEY, name text);"
    "CREATE TABLE public.currencies (code text PRIMARY KEY);"
    "CREATE TABLE public.customers (id int PRIMARY KEY, name text);"
    "CREATE TABLE public.orders (id int PRIMARY KEY, customer int REFERENCES public.customers ON UPDATE CASCADE ON DELETE CASCADE,"
    " country text REFERENCES public.countries ON DELETE SET NULL);"
    "CREATE TABLE public.lines (order_id int REFERENCES public.orders ON DELETE CASCADE, line int, PRIMARY KEY (order_id, line));"
    "CREATE TABLE public.invoices (id int PRIMARY KEY, order_id int REFERENCES public.orders ON DELETE SET NULL);"
    "INSERT INTO public.countries VALUES ('de', 'Germany'), ('fr', 'France'), ('xx', 'nowhere'); INSERT INTO public.currencies VALUES ('EUR');"
    "INSERT INTO public.customers SELECT n, 'c' || n FROM generate_series(1, 200) n;"
    "INSERT INTO public.orders SELECT n, 1 + n % 200, (ARRAY['de', 'fr', 'xx'])[1 + n % 3] FROM generate_series(1, 2000) n;"
    "INSERT INTO public.lines SELECT o, l FROM generate_series(1, 2000) o, generate_series(1, 2) l;"
    "INSERT INTO public.invoices SELECT n, n FROM generate_series(1, 500) n";

test::Server& server() { return test::Server::shared(); }

class CrossingsTest : public testing::Test {
protected:
    CrossingsTest() : source_{server().create_database()}, target_{server().create_database()}, carving_{server(), source_, services("")} {
        carving_.sql(schema);
        carving_.expect(0, "init --yes");
    }

    [[nodiscard]] std::string services(std::string const& keys) const {
        return fmt::format("[service.shop]\nschema = \"shop\"\ntables = [\"orders\", \"lines\"]\n[service.shop.database]\ndsn = \"{}\"\nschema = \"store\"\n"
                           "[service.shop.foreign_keys]\n{}",
                           server().dsn(target_), keys);
    }
    void decide() const {
        carving_.configure(services("\"orders.customer -> customers\" = \"loose\"\n\"orders.country -> countries\" = \"replicate\"\n\"invoices.order_id -> orders\" = \"loose\"\n"),
                           "[reference]\ntables = [\"currencies\"]\n");
    }
    [[nodiscard]] std::string there(std::string const& query) const {
        auto session = server().connect(target_);
        return Carving::value(session, query);
    }
    void sql_there(std::string const& statements) const { server().connect(target_).run(statements); }
    void become_live() const {
        decide();
        carving_.expect(0, "sync shop --yes --until-caught-up");
        carving_.expect(0, std::string{"cutover shop --yes"} + test::agreed);
        EXPECT_EQ(carving_.phase(), "database_live");
    }
    [[nodiscard]] std::string target_objects() const {
        auto session = server().connect(target_);
        return test::catalog_text(session) + there("SELECT string_agg(nspname, ' ' ORDER BY 1) FROM pg_namespace WHERE nspname !~ '^pg_'");
    }
    void wait_for(std::function<bool()> const& condition, std::string const& what) const {
        EXPECT_TRUE(test::wait_until(condition, base::Millis{60'000})) << what << "\n" << carving_.run("status shop").out;
    }

    std::string source_;
    std::string target_;
    Carving carving_;
};

TEST_F(CrossingsTest, EveryKeyNeedsADecision) {
    carving_.refuses(0, "sync shop --dry-run --format json", {"orders.customer -> customers", "\"undecided\"", "invoices.order_id -> orders"});
    carving_.configure(services("\"orders.customer -> customers\" = \"keep\"\n"));
    carving_.refuses(5, "sync shop --yes", {"orders.customer -> customers", "two databases cannot hold a foreign key"});
    carving_.configure(services(""));
    carving_.expect(0, "sync shop --yes --until-caught-up");
    carving_.refuses(1, std::string{"cutover shop --yes"} + test::agreed, {"crossings", "and 2 more"});
    decide();
    // Rows without their parent, under a key that was never proven.
    carving_.sql("ALTER TABLE public.orders DROP CONSTRAINT orders_customer_fkey; UPDATE public.orders SET customer = 9999 WHERE id < 4;"
                 "ALTER TABLE public.orders ADD CONSTRAINT orders_customer_fkey FOREIGN KEY (customer) REFERENCES public.customers ON UPDATE CASCADE ON DELETE CASCADE NOT VALID");
    carving_.refuses(1, std::string{"cutover shop --yes"} + test::agreed, {"orphans", "3 row(s)"});
    EXPECT_EQ(carving_.phase(), "syncing");
}

TEST_F(CrossingsTest, DeletesGoOnBetweenTheDatabasesThroughKills) {
    become_live();
    EXPECT_EQ(carving_.value("SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND conrelid = 'public.invoices'::regclass"), "0");
    carving_.sql("DELETE FROM public.customers WHERE id <= 50; UPDATE public.customers SET id = id + 1000 WHERE id BETWEEN 51 AND 60; DELETE FROM public.countries WHERE code = 'xx'");
    sql_there("DELETE FROM store.orders WHERE id <= 100");
    for (int point = 1; point <= 8; ++point) { // before and after batches of the deletes
        (void)carving_.run("sync shop --yes --until-caught-up", fmt::format("loose/batch/{}", point % 2 == 0 ? "before" : "after"));
        carving_.wait_for_sessions_to_end();
    }
    test::Process stream{carving_.command("sync shop --yes")};
    wait_for([&] { return carving_.value("SELECT count(*) FROM pgcarve.loose_queue") == "0" && there("SELECT count(*) FROM pgcarve.loose_queue") == "0"; }, "the queues");
    EXPECT_EQ(there("SELECT count(*) FROM store.orders WHERE customer <= 60"), "0");
    EXPECT_EQ(there("SELECT count(*) FROM store.orders WHERE customer > 1000"), there("SELECT count(*) FROM generate_series(101, 2000) n WHERE 1 + n % 200 BETWEEN 51 AND 60"));
    EXPECT_EQ(there("SELECT count(*) FROM store.orders WHERE country = 'xx'"), "0");
    EXPECT_EQ(there("SELECT count(*) FROM store.orders"), there("SELECT count(*) FROM generate_series(101, 2000) n WHERE 1 + n % 200 > 50"));
    EXPECT_EQ(there("SELECT count(*) FROM store.lines"), there("SELECT 2 * count(*) FROM store.orders"));
    EXPECT_EQ(carving_.value("SELECT count(*) FROM public.invoices WHERE order_id <= 100"), "0");
    EXPECT_EQ(carving_.value("SELECT count(*) FROM public.invoices WHERE order_id IS NULL"), carving_.value("SELECT count(*) FROM generate_series(1, 500) n WHERE n <= 100 OR 1 + n % 200 <= 50"));
    stream.signal(SIGTERM);
    EXPECT_EQ(stream.wait().exit, 0) << stream.text("err");
    carving_.expect(0, "sync shop --yes --until-caught-up");
    EXPECT_EQ(carving_.value("SELECT count(*) || md5(string_agg(o::text, ' ' ORDER BY id)) FROM public.orders o"), there("SELECT count(*) || md5(string_agg(o::text, ' ' ORDER BY id)) FROM store.orders o"));
    carving_.refuses(0, "status shop", {"loose keys", "nothing waits"});
    // Back: the real keys hold again, and none of the rest is there.
    carving_.expect(0, "rollback shop --yes");
    EXPECT_EQ(carving_.value("SELECT string_agg(conname || ' ' || convalidated, ', ' ORDER BY conname) FROM pg_constraint WHERE contype = 'f' AND connamespace = 'public'::regnamespace"),
              "invoices_order_id_fkey true, lines_order_id_fkey true, orders_country_fkey true, orders_customer_fkey true");
    EXPECT_EQ(carving_.value("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'pgcarve_loose%'"), "0");
    carving_.expect(0, "sync shop --yes --until-caught-up");
    carving_.expect(0, "cancel shop --yes");
    EXPECT_EQ(there("SELECT count(*) FROM pg_namespace WHERE nspname IN ('store', 'pgcarve')"), "0");
}

TEST_F(CrossingsTest, ReferenceTablesAreFedOnBothSidesOfTheCutover) {
    auto const before = target_objects();
    auto session = carving_.connect();
    auto const source_before = test::catalog_text(session);
    decide();
    carving_.expect(0, "sync shop --yes --until-caught-up");
    EXPECT_EQ(there("SELECT string_agg(code, ' ' ORDER BY code) FROM store.countries"), "de fr xx");
    EXPECT_EQ(there("SELECT count(*) FROM store.currencies"), "1");
    auto const refused = [&] {
        try {
            sql_there("INSERT INTO store.countries VALUES ('it', 'Italy')");
        } catch (pg::SqlError const& e) {
            return std::string{e.sqlstate()} + " " + e.message();
        }
        return std::string{"let in"};
    };
    EXPECT_NE(refused().find("PGC01"), std::string::npos) << refused();
    carving_.sql("INSERT INTO public.countries VALUES ('it', 'Italy')");
    carving_.expect(0, "sync shop --yes --until-caught-up");
    EXPECT_EQ(there("SELECT name FROM store.countries WHERE code = 'it'"), "Italy");
    test::Process stream{carving_.command("sync shop --yes")};
    carving_.expect(0, std::string{"cutover shop --yes"} + test::agreed);
    EXPECT_NE(refused().find("read-only here"), std::string::npos) << refused();
    carving_.sql("UPDATE public.countries SET name = 'Italia' WHERE code = 'it'; INSERT INTO public.currencies VALUES ('CHF')");
    sql_there("INSERT INTO store.orders VALUES (5001, 1, 'it')");
    wait_for([&] { return there("SELECT name FROM store.countries WHERE code = 'it'") == "Italia" && there("SELECT count(*) FROM store.currencies") == "2"; }, "reference rows");
    wait_for([&] { return carving_.value("SELECT count(*) FROM public.orders WHERE id = 5001") == "1"; }, "the service's own rows");
    carving_.expect(0, "rollback shop --yes");
    carving_.sql("DELETE FROM public.currencies WHERE code = 'CHF'");
    wait_for([&] { return there("SELECT count(*) FROM store.currencies") == "1"; }, "reference rows after the rollback");
    carving_.expect(0, "cancel shop --yes"); // for which both its streams give way
    EXPECT_EQ(stream.wait().exit, 0) << stream.text("err");
    EXPECT_EQ(test::line_difference(before, target_objects()), "");
    EXPECT_EQ(test::line_difference(source_before, test::catalog_text(session)), "");
    EXPECT_EQ(carving_.value("SELECT count(*) FROM pg_replication_slots WHERE database = current_database()"), "0");
    EXPECT_EQ(carving_.value("SELECT count(*) FROM pg_publication"), "0");
}

TEST_F(CrossingsTest, CompleteEndsThem) {
    become_live();
    carving_.sql("DELETE FROM public.customers WHERE id <= 10");
    carving_.expect(0, "complete shop --yes");
    EXPECT_EQ(there("SELECT count(*) FROM store.orders WHERE customer <= 10"), "0"); // what was noted is done
    EXPECT_EQ(carving_.value("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'pgcarve%'"), "0");
    EXPECT_EQ(there("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'pgcarve%'"), "0");
    EXPECT_EQ(carving_.value("SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE 'pgcarve_shop%' AND database = current_database()"), "0");
    EXPECT_EQ(there("SELECT count(*) FROM pg_namespace WHERE nspname = 'pgcarve'"), "0");
    sql_there("INSERT INTO store.countries VALUES ('it', 'Italy')");
}

} // namespace
