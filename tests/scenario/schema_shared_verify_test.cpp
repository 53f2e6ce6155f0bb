// Goal: within one database, too, a verification that was killed is taken up where it stopped, and several processes share one;
// neither calls anything equal that is not. Method: a service whose rows are mirrored, and a gate at which pieces wait.
#include <nlohmann/json.hpp>

#include "scenario/carving.hpp"
#include "scenario/verdicts.hpp"

namespace {

using namespace pgcarve;
using nlohmann::json;
using test::Carving;
using test::differences;

constexpr int tables = 10;

class Pieces {
public:
    Pieces() : carving_{test::Server::shared(), test::Server::shared().create_database(), service()} {
        std::string statements;
        for (int i = 0; i < tables; ++i)
            statements += fmt::format("CREATE TABLE public.t{0:02} (id bigint PRIMARY KEY, note text); INSERT INTO public.t{0:02} SELECT g, md5(g::text) FROM"
                                      " generate_series(1, 100) g;",
                                      i);
        carving_.sql(statements);
        carving_.expect(0, "init --yes");
        carving_.expect(0, "split shop --yes");
        carving_.sql("CREATE SEQUENCE public.open; CREATE FUNCTION public.gate() RETURNS boolean LANGUAGE sql AS 'SELECT true'");
    }

    static constexpr auto gated = "--format json verify shop --jobs 1 --where 'public.gate()' ";

    void shut_for(std::string const& pattern) const {
        carving_.sql(fmt::format("SELECT setval('public.open', 1, false); CREATE OR REPLACE FUNCTION public.gate() RETURNS boolean LANGUAGE plpgsql"
                                 " SET search_path = pg_catalog AS $$ BEGIN WHILE current_query() LIKE '%FULL JOIN%' AND current_query() LIKE '{}' AND"
                                 " (SELECT last_value FROM public.open) = 1 LOOP PERFORM pg_sleep(0.01); END LOOP; RETURN true; END $$",
                                 pattern));
    }
    void open() const { carving_.sql("SELECT setval('public.open', 2)"); }

    // Ends with the six tables before t06 proven, and t06 in the hands of a process that is no more.
    void kill_in_the_middle() const {
        shut_for("%t06%");
        test::Process verify{carving_.command(gated)};
        EXPECT_TRUE(test::wait_until([&] { return proven() == "6" && holders() == "1"; }, base::Millis{60'000})) << proven() << verify.text("err");
        verify.signal(SIGKILL);
        (void)verify.wait();
        open();
    }
    [[nodiscard]] std::string proven() const { return of_run("count(proven_at)"); }
    [[nodiscard]] std::string holders() const { return of_run("count(DISTINCT holder) FILTER (WHERE proven_at IS NULL)"); }
    [[nodiscard]] std::string of_run(std::string const& what) const {
        return carving_.value(fmt::format("SELECT {} FROM pgcarve.verify_range WHERE run = (SELECT max(id) FROM pgcarve.verify_run WHERE subject LIKE '%gate%')", what));
    }
    [[nodiscard]] std::string times() const { return of_run("string_agg(compared_at::text, ' ' ORDER BY n) FILTER (WHERE n < 6)"); }

    [[nodiscard]] json verdict(int exit, std::string const& options = {}) const {
        return json::parse(carving_.expect(exit, gated + options).out)["services"][0];
    }
    // By the back door.
    void corrupt(std::string const& statement) const { carving_.sql("SET pgcarve.mirror = 'on'; " + statement); }
    [[nodiscard]] Carving const& carving() const { return carving_; }

private:
    static std::string service() {
        std::string names;
        for (int i = 0; i < tables; ++i)
            names += fmt::format("{}\"t{:02}\"", i > 0 ? ", " : "", i);
        return fmt::format("[service.shop]\nschema = \"shop\"\ntables = [{}]\nstrategy = \"copy\"\nwindow = \"28d\"\n", names);
    }
    Carving carving_;
};

TEST(SchemaSharedVerify, IsTakenUpWhereItWasKilled) {
    Pieces const pieces;
    pieces.kill_in_the_middle();
    auto const compared = pieces.times();
    // Written in between, on both sides.
    pieces.carving().sql("UPDATE public.t01 SET note = 'newer' WHERE id < 50; DELETE FROM public.t02 WHERE id = 3; INSERT INTO public.t03 VALUES (1000, 'new')");
    auto const clean = pieces.verdict(0);
    EXPECT_TRUE(clean["compared_from"].is_string());
    EXPECT_EQ(clean["rows"], tables * 100);
    EXPECT_EQ(pieces.times(), compared);
    // That one has its verdict: the next begins anew.
    EXPECT_TRUE(pieces.verdict(0)["compared_from"].is_null());

    // On one side, in pieces that are proven: the verdict holds for its own moment.
    pieces.kill_in_the_middle();
    pieces.corrupt("UPDATE shop.t03 SET note = 'wrong' WHERE id = 5");
    EXPECT_EQ(differences(pieces.verdict(1)), "public.t03 0/0/1 ");
    pieces.carving().expect(0, "repair shop --yes");
    pieces.kill_in_the_middle();
    pieces.corrupt("DELETE FROM shop.t04 WHERE id = 9; INSERT INTO shop.t05 VALUES (2000, 'back')");
    EXPECT_EQ(differences(pieces.verdict(1)), "public.t04 1/0/0 public.t05 0/1/0 ");
    pieces.carving().expect(0, "repair shop --yes");

    // Differences that it had found are looked at again: they may be mended by now.
    pieces.corrupt("UPDATE shop.t01 SET note = 'wrong' WHERE id = 55");
    pieces.kill_in_the_middle();
    pieces.corrupt("UPDATE shop.t01 SET note = md5('55') WHERE id = 55");
    EXPECT_EQ(differences(pieces.verdict(0)), "");

    // Not taken up: what is too old, what somebody does not want, what compares something else, and what another cluster's
    // transactions would have to tell.
    pieces.kill_in_the_middle();
    EXPECT_TRUE(pieces.verdict(0, "--fresh")["compared_from"].is_null());
    pieces.kill_in_the_middle();
    EXPECT_TRUE(pieces.verdict(0, "--resume-within 0s")["compared_from"].is_null());
    pieces.kill_in_the_middle();
    EXPECT_EQ(json::parse(pieces.carving().expect(0, "--format json verify shop").out)["services"][0]["compared_from"], nullptr);
    pieces.kill_in_the_middle();
    pieces.carving().sql("UPDATE pgcarve.verify_range SET horizon = '4611686018427387904'::xid8 WHERE proven_at IS NOT NULL");
    pieces.corrupt("UPDATE shop.t00 SET note = 'wrong' WHERE id = 5");
    EXPECT_EQ(differences(pieces.verdict(1)), "public.t00 0/0/1 ");
}

TEST(SchemaSharedVerify, IsSharedByProcessesOfWhichOneIsKilled) {
    Pieces const pieces;
    auto const before = pieces.carving().value("SELECT count(*) FROM pgcarve.verification");
    for (bool const clean : {false, true}) {
        if (clean)
            pieces.carving().expect(0, "repair shop --yes");
        else
            pieces.corrupt("UPDATE shop.t06 SET note = 'wrong' WHERE id = 5");
        pieces.shut_for("%");
        std::vector<std::unique_ptr<test::Process>> processes;
        for (int i = 0; i < 3; ++i)
            processes.push_back(std::make_unique<test::Process>(pieces.carving().command(Pieces::gated)));
        EXPECT_TRUE(test::wait_until([&] { return pieces.holders() == "3"; }, base::Millis{60'000})) << pieces.holders() << processes[2]->text("err");
        processes[0]->signal(SIGKILL);
        (void)processes[0]->wait();
        pieces.carving().sql("UPDATE public.t01 SET note = 'newer'; INSERT INTO public.t02 SELECT g, 'new' FROM generate_series(2000, 2010) g ON CONFLICT DO NOTHING");
        pieces.open();
        for (std::size_t i = 1; i < 3; ++i) {
            auto const output = processes[i]->wait();
            EXPECT_EQ(output.exit, clean ? 0 : 1) << output.err;
            EXPECT_EQ(differences(json::parse(output.out)["services"][0]), clean ? "" : "public.t06 0/0/1 ");
        }
        EXPECT_EQ(pieces.proven(), std::to_string(tables));
        EXPECT_EQ(pieces.of_run("count(DISTINCT holder)"), "2");
    }
    // Clean, it counts once however many took part; with differences, each says what it saw.
    EXPECT_EQ(pieces.carving().value("SELECT count(*) FROM pgcarve.verification WHERE verdict = 'clean' AND NOT whole"), "1");
    EXPECT_NE(pieces.carving().value("SELECT count(*) FROM pgcarve.verification"), before);
}

TEST(SchemaSharedVerify, IncrementalLooksAtWhatWasWritten) {
    Pieces const pieces;
    auto const& carving = pieces.carving();
    carving.sql("INSERT INTO public.t00 SELECT g, 'v' FROM generate_series(200, 30000) g");
    auto const verify = [&](int exit) { return json::parse(carving.expect(exit, "--format json verify shop --incremental").out)["services"][0]; };
    EXPECT_EQ(verify(0)["mode"], "full"); // nothing to go on from
    carving.sql("UPDATE public.t00 SET note = 'newer' WHERE id < 50; DELETE FROM public.t01 WHERE id = 2");
    auto const again = verify(0);
    EXPECT_EQ(again["mode"], "incremental");
    EXPECT_LT(again["rows"].get<int>(), 20'000);
    // Behind the mirror's back, on either side.
    pieces.corrupt("UPDATE shop.t00 SET note = 'wrong' WHERE id = 29000; DELETE FROM shop.t02 WHERE id = 8;"
                   " SET session_replication_role = replica; DELETE FROM public.t02 WHERE id = 7");
    auto const wrong = verify(1);
    EXPECT_EQ(differences(wrong), "public.t00 0/0/1 public.t02 1/1/0 ");
    EXPECT_EQ(verify(1)["mode"], "full"); // not from one that found differences
    carving.expect(0, "repair shop --yes");
    EXPECT_EQ(verify(0)["mode"], "full");
    EXPECT_EQ(verify(0)["mode"], "incremental");
    // Numbers of another cluster's transactions say nothing.
    carving.sql("UPDATE pgcarve.verification SET cluster = cluster + 1");
    EXPECT_EQ(verify(0)["mode"], "full");
}

} // namespace
