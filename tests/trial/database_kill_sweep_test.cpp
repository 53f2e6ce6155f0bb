// Goal: pgcarve may die at any step of the database hop. At every such moment each acknowledged write is on the side that
// has the authority and no two sides take writes; running the verb again finishes or undoes it. In the end the rows of
// both servers are equal, and after `cancel` or `complete` neither has anything that was not there before.
// Method: the real binary is killed (SIGKILL) behind every step that it gets done, beside clients that follow the tables,
// through a whole life: sync, cutover, rollback, cutover again, and either way out of it.
#include "scenario/hopping.hpp"

namespace {

using namespace pgcarve;
using test::Carving;
using test::Client;
using test::Hop;

class DatabaseKillSweep : public testing::Test {
protected:
    DatabaseKillSweep() {
        hop_.carving().sql(test::hop_schema);
        hop_.carving().expect(0, "init --yes");
        before_ = hop_.objects();
    }

    [[nodiscard]] std::string progress() const {
        return hop_.carving().value("SELECT count(*) || ' ' || max(id) FROM pgcarve.journal WHERE state <> 'note' OR step = 'end'");
    }

    // Which side takes writes: "shared", "own", "neither" (between the two commits of a switch), "both" (never).
    [[nodiscard]] std::string writers(std::string const& table) const {
        bool const shared = Hop::takes_writes(hop_.shared_side(), table) == "yes";
        bool const own = Hop::takes_writes(hop_.own_side(), table) == "yes";
        return shared && own ? "both" : shared ? "shared" : own ? "own" : "neither";
    }

    void check_moment(std::string const& where) const {
        auto const phase = hop_.carving().phase();
        if (phase != "syncing" && phase != "database_live")
            return; // while the other database is made it is nobody's yet
        auto const open = hop_.carving().value("SELECT coalesce((SELECT verb FROM pgcarve.attempt WHERE state = 'open'), '')");
        if (open == "cancel")
            return;
        for (std::string const table : {"payments", "Größen"}) {
            auto const writer = writers(table);
            EXPECT_NE(writer, "both") << where << " " << table;
            if (writer == "neither") { // only on the way over
                EXPECT_NE(where.find("/switch"), std::string::npos) << where << " " << table;
            } else if (open != "rollback") {
                EXPECT_EQ(writer, phase == "syncing" ? "shared" : "own") << where << " " << table;
            }
        }
    }

    // Dies after each step that it gets done, until nothing is left. Returns the points.
    std::vector<std::string> sweep(std::string const& verb, std::string const& ends, std::size_t at_least) {
        std::vector<std::string> points;
        std::string at = progress();
        int point = 2; // 1 is before a step, 2 behind it or inside it
        for (int turn = 1; turn <= 200; ++turn) {
            auto const output = hop_.carving().run(verb, fmt::format("#{}", point));
            hop_.wait_for_sessions_to_end();
            if (output.exit != 128 + SIGKILL) {
                EXPECT_EQ(output.exit, 0) << verb << "\n" << output.out << output.err;
                break;
            }
            auto const name = output.err.rfind("failpoint ");
            points.push_back(output.err.substr(name + 10, output.err.find(" (", name) - name - 10));
            SCOPED_TRACE(fmt::format("{}: killed at {}", verb, points.back()));
            check_moment(points.back());
            if (HasFailure())
                return points;
            auto const now = progress();
            point = now == at ? point + 1 : 2;
            at = now;
        }
        EXPECT_GE(points.size(), at_least) << verb;
        EXPECT_EQ(hop_.carving().phase(), ends) << verb;
        EXPECT_EQ(hop_.carving().value("SELECT count(*) FROM pgcarve.attempt WHERE state = 'open'"), "0");
        return points;
    }

    void expect_nothing_lost(Client& client, Client::Side const& side) const { EXPECT_EQ(client.lost(side), 0); }

    // Every line that was not there before.
    [[nodiscard]] std::string leftovers() const {
        auto const all = test::line_difference(before_, hop_.objects());
        return all;
    }

    Hop hop_;
    std::string before_;
};

TEST_F(DatabaseKillSweep, ThereAndBackAndCancelled) {
    Client one{hop_.sides(), 1};
    Client two{hop_.sides(), 2};
    one.more(3);
    sweep("sync shop --yes --until-caught-up", "syncing", 10);
    sweep(std::string{"cutover shop --yes"} + test::agreed, "database_live", 10);
    one.more(3);
    two.more(3);
    expect_nothing_lost(one, hop_.own_side());
    sweep("sync shop --yes --until-caught-up", "database_live", 0);
    sweep("rollback shop --yes", "syncing", 8);
    one.more(3);
    expect_nothing_lost(one, hop_.shared_side());
    expect_nothing_lost(two, hop_.shared_side());
    one.stop();
    two.stop();
    hop_.carving().expect(0, "sync shop --yes --until-caught-up");
    hop_.expect_equal();
    sweep("cancel shop --yes", "planned", 3);
    EXPECT_EQ(leftovers(), "");
}

TEST_F(DatabaseKillSweep, TwiceThereAndCompleted) {
    Client one{hop_.sides(), 1};
    one.more(3);
    hop_.carving().expect(0, "sync shop --yes --until-caught-up");
    hop_.carving().expect(0, std::string{"cutover shop --yes"} + test::agreed);
    hop_.carving().expect(0, "rollback shop --yes");
    sweep(std::string{"cutover shop --yes"} + test::agreed, "database_live", 10);
    one.more(3);
    expect_nothing_lost(one, hop_.own_side());
    hop_.carving().expect(0, "sync shop --yes --until-caught-up");
    sweep("complete shop --yes", "completed", 5);
    one.more(3);
    one.stop();
    expect_nothing_lost(one, hop_.own_side());
    sweep("complete shop --purge --yes", "completed", 1);
    // The old tables and what hung on them have gone, the new ones stand; nothing of pgcarve's is left on either side.
    for (auto const& side : hop_.sides()) {
        auto session = side.server->connect(side.database);
        EXPECT_EQ(Carving::value(session, "SELECT count(*) FROM pg_publication"), "0");
        EXPECT_EQ(Carving::value(session, "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()"), "0");
        EXPECT_EQ(Carving::value(session, "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'pgcarve%'"), "0");
        EXPECT_EQ(Carving::value(session, "SELECT count(*) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'pgcarve'"
                                          " AND p.proname <> 'refuse_change'"),
                  "0");
    }
    auto own = test::service_server().connect(hop_.own());
    EXPECT_EQ(Carving::value(own, "SELECT to_regnamespace('pgcarve') IS NULL"), "true");
    auto shared = hop_.carving().connect();
    EXPECT_EQ(Carving::value(shared, "SELECT to_regclass('public.orders') IS NULL AND to_regclass('public.tickets') IS NOT NULL"), "true");
    EXPECT_EQ(Carving::value(shared, "SELECT (SELECT count(*) FROM pgcarve.stream) + (SELECT count(*) FROM pgcarve.chunk)"), "0");
}

} // namespace
