// Goal: a verification that was killed is taken up where it stopped, several processes share one, and neither calls
// anything equal that is not.
#include <nlohmann/json.hpp>

#include "scenario/hopping.hpp"
#include "scenario/verdicts.hpp"

namespace {

using namespace pgcarve;
using nlohmann::json;
using test::Carving;
using test::differences;

constexpr int tables = 12;

// A service of many small tables, so that a verification has as many pieces; and a gate in the target, at which pieces wait
// whose query speaks of what the gate is shut for.
class Pieces {
public:
    Pieces() : own_{test::service_server().create_database()}, carving_{test::shared_server(), test::shared_server().create_database(), services(own_)} {
        // The largest piece comes first, as the statistics have it: all are the same size here, and stay so.
        for (auto const* const server : {&test::service_server(), &test::shared_server()}) {
            auto session = server->connect();
            session.run("ALTER SYSTEM SET autovacuum = off");
            session.run("SELECT pg_reload_conf()");
        }
        std::string statements = "CREATE FUNCTION public.gate() RETURNS boolean LANGUAGE sql AS 'SELECT true';";
        for (int i = 0; i < tables; ++i)
            statements += fmt::format("CREATE TABLE public.t{0:02} (id bigint PRIMARY KEY, note text); INSERT INTO public.t{0:02} SELECT g, md5(g::text) FROM"
                                      " generate_series(1, 100) g;",
                                      i);
        carving_.sql(statements);
        carving_.expect(0, "init --yes");
        carving_.expect(0, "sync shop --yes --until-caught-up");
        there().run("CREATE SEQUENCE public.open; CREATE FUNCTION public.gate() RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog AS $$ BEGIN"
                    " WHILE current_query() LIKE '%hash_array%' AND current_query() LIKE '%t07%' AND (SELECT last_value FROM public.open) = 1 LOOP"
                    " PERFORM pg_sleep(0.01); END LOOP; RETURN true; END $$");
    }

    static constexpr auto gated = "--format json verify shop --jobs 1 --where 'public.gate()' ";

    void shut_for(std::string const& pattern) const {
        there().run(fmt::format("SELECT setval('public.open', 1, false); CREATE OR REPLACE FUNCTION public.gate() RETURNS boolean LANGUAGE plpgsql"
                                " SET search_path = pg_catalog AS $$ BEGIN WHILE current_query() LIKE '%hash_array%' AND current_query() LIKE '{}' AND"
                                " (SELECT last_value FROM public.open) = 1 LOOP PERFORM pg_sleep(0.01); END LOOP; RETURN true; END $$",
                                pattern));
    }
    void open() const { there().run("SELECT setval('public.open', 2)"); }

    // Ends with the seven tables before t07 proven, and t07 in the hands of a process that is no more. An empty table is a small
    // piece, and comes last.
    void kill_in_the_middle(std::string const& before = "7") const {
        shut_for("%t07%");
        test::Process verify{carving_.command(gated)};
        EXPECT_TRUE(test::wait_until([&] { return proven() == before && holders() == "1"; }, base::Millis{60'000})) << proven() << verify.text("err");
        verify.signal(SIGKILL);
        (void)verify.wait();
        open();
    }
    [[nodiscard]] std::string proven() const { return of_run("count(proven_at)"); }
    [[nodiscard]] std::string holders() const { return of_run("count(DISTINCT holder) FILTER (WHERE proven_at IS NULL)"); }
    [[nodiscard]] std::string of_run(std::string const& what) const {
        return carving_.value(fmt::format("SELECT {} FROM pgcarve.verify_range WHERE run = (SELECT max(id) FROM pgcarve.verify_run WHERE subject LIKE '%gate%')", what));
    }

    [[nodiscard]] json verdict(int exit, std::string const& options = {}) const {
        return json::parse(carving_.expect(exit, gated + options).out)["services"][0];
    }
    [[nodiscard]] pg::Session there() const { return test::service_server().connect(own_); }
    // By the back door, at the target.
    void corrupt(std::string const& statement) const { there().run("SET pgcarve.mirror = 'on'; " + statement); }
    [[nodiscard]] Carving const& carving() const { return carving_; }

private:
    static std::string services(std::string const& own) {
        std::string names;
        for (int i = 0; i < tables; ++i)
            names += fmt::format("{}\"t{:02}\"", i > 0 ? ", " : "", i);
        return fmt::format("[service.shop]\nschema = \"shop\"\ntables = [{}]\n[service.shop.database]\ndsn = \"{}\"\nschema = \"store\"\n", names,
                           test::service_server().dsn(own));
    }

    std::string own_;
    Carving carving_;
};

TEST(SharedVerify, IsTakenUpWhereItWasKilled) {
    Pieces const pieces;
    pieces.kill_in_the_middle();
    auto const compared = pieces.of_run("string_agg(compared_at::text, ' ' ORDER BY n) FILTER (WHERE n < 7)");
    auto const clean = pieces.verdict(0);
    EXPECT_TRUE(clean["compared_from"].is_string());
    EXPECT_EQ(clean["rows"], tables * 100);
    EXPECT_EQ(pieces.of_run("string_agg(compared_at::text, ' ' ORDER BY n) FILTER (WHERE n < 7)"), compared);
    // That one has its verdict: the next begins anew.
    EXPECT_TRUE(pieces.verdict(0)["compared_from"].is_null());

    // What was written since is looked at again, in pieces that are proven too.
    pieces.kill_in_the_middle();
    pieces.carving().sql("UPDATE public.t03 SET note = 'new' WHERE id = 5; INSERT INTO public.t04 VALUES (1000, 'new'); DELETE FROM public.t05 WHERE id = 7");
    pieces.carving().expect(0, "sync shop --yes --until-caught-up");
    pieces.corrupt("UPDATE store.t03 SET note = 'wrong' WHERE id = 5; DELETE FROM store.t04 WHERE id = 1000; INSERT INTO store.t05 VALUES (7, 'back')");
    auto const wrong = pieces.verdict(1);
    EXPECT_TRUE(wrong["compared_from"].is_string());
    EXPECT_EQ(differences(wrong), "public.t03 0/0/1 public.t04 1/0/0 public.t05 0/1/0 ");
    pieces.carving().expect(0, "repair shop --yes");
    EXPECT_TRUE(pieces.verdict(0)["compared_from"].is_null());

    // Differences that it had found are looked at again: they may be mended by now.
    pieces.corrupt("UPDATE store.t01 SET note = 'wrong' WHERE id = 5");
    pieces.kill_in_the_middle();
    pieces.corrupt("UPDATE store.t01 SET note = md5('5') WHERE id = 5");
    EXPECT_EQ(differences(pieces.verdict(0)), "");

    // Of a table that was truncated since, nothing is proven.
    pieces.kill_in_the_middle();
    pieces.carving().sql("TRUNCATE public.t02");
    pieces.carving().expect(0, "sync shop --yes --until-caught-up");
    pieces.corrupt("INSERT INTO store.t02 VALUES (1, 'wrong')");
    EXPECT_EQ(differences(pieces.verdict(1)), "public.t02 0/1/0 ");
    pieces.carving().expect(0, "repair shop --yes");

    // Not taken up: what is too old, what somebody does not want, and what compares something else.
    pieces.kill_in_the_middle("6");
    EXPECT_TRUE(pieces.verdict(0, "--fresh")["compared_from"].is_null());
    pieces.kill_in_the_middle("6");
    EXPECT_TRUE(pieces.verdict(0, "--resume-within 0s")["compared_from"].is_null());
    pieces.kill_in_the_middle("6");
    EXPECT_EQ(json::parse(pieces.carving().expect(0, "--format json verify shop").out)["services"][0]["compared_from"], nullptr);
    // Nor what was proven before the record of what was touched begins.
    pieces.kill_in_the_middle("6");
    pieces.there().run("DELETE FROM pgcarve.touched; UPDATE pgcarve.stream SET touched_from = position");
    pieces.carving().sql("UPDATE public.t03 SET note = 'newer' WHERE id = 6");
    pieces.carving().expect(0, "sync shop --yes --until-caught-up");
    pieces.there().run("DELETE FROM pgcarve.touched; UPDATE pgcarve.stream SET touched_from = position");
    pieces.corrupt("UPDATE store.t03 SET note = 'wrong' WHERE id = 6");
    EXPECT_EQ(differences(pieces.verdict(1)), "public.t03 0/0/1 ");
}

TEST(SharedVerify, IsSharedByProcessesOfWhichOneIsKilled) {
    Pieces const pieces;
    pieces.corrupt("UPDATE store.t06 SET note = 'wrong' WHERE id = 5");
    pieces.shut_for("%");
    auto const recorded = pieces.carving().value("SELECT count(*) FROM pgcarve.verification");
    std::vector<std::unique_ptr<test::Process>> processes;
    for (int i = 0; i < 3; ++i)
        processes.push_back(std::make_unique<test::Process>(pieces.carving().command(Pieces::gated)));
    EXPECT_TRUE(test::wait_until([&] { return pieces.holders() == "3"; }, base::Millis{60'000})) << pieces.holders() << processes[2]->text("err");
    // Their server processes know their own numbers: whose is which does not matter.
    processes[0]->signal(SIGKILL);
    (void)processes[0]->wait();
    pieces.open();
    for (int i = 1; i < 3; ++i) {
        auto const output = processes[static_cast<std::size_t>(i)]->wait();
        EXPECT_EQ(output.exit, 1) << output.err;
        auto const verdict = json::parse(output.out)["services"][0];
        EXPECT_EQ(differences(verdict), "public.t06 0/0/1 ");
        EXPECT_EQ(verdict["rows"], tables * 100);
    }
    EXPECT_EQ(pieces.of_run("count(DISTINCT holder)"), "2");
    EXPECT_EQ(pieces.proven(), std::to_string(tables));

    // Clean, it counts once however many took part.
    pieces.carving().expect(0, "repair shop --yes");
    auto const before = pieces.carving().value("SELECT count(*) FROM pgcarve.verification");
    pieces.shut_for("%");
    processes.clear();
    for (int i = 0; i < 3; ++i)
        processes.push_back(std::make_unique<test::Process>(pieces.carving().command(Pieces::gated)));
    EXPECT_TRUE(test::wait_until([&] { return pieces.holders() == "3"; }, base::Millis{60'000})) << pieces.holders();
    // Rows are written beside it all, in pieces that are compared at different moments.
    pieces.carving().sql("UPDATE public.t01 SET note = 'newer'; INSERT INTO public.t02 SELECT g, 'new' FROM generate_series(2000, 2100) g");
    pieces.open();
    for (auto& process : processes)
        EXPECT_EQ(process->wait().exit, 0) << process->text("err") << process->text("out");
    EXPECT_EQ(std::stoi(pieces.carving().value("SELECT count(*) FROM pgcarve.verification")), std::stoi(before) + 1);
    EXPECT_NE(recorded, before);
}

} // namespace
