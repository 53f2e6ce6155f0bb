// Goal: pgcarve may die at any step of the database hop. At every such moment each acknowledged write is on the side that
// has the authority and no two sides take writes; running the verb again finishes or undoes it. In the end the rows of
// both servers are equal, and after `cancel` or `complete` neither has anything that was not there before.
// Method: the real binary is killed (SIGKILL) inside and behind every step that it gets done, beside clients that follow the
// tables, through a whole life: sync, heal, cutover, rollback, cutover again, and either way out of it. The steps are those
// of the attempts in the journal, the places inside them those of the source files: none may have been left out.
#include <algorithm>
#include <regex>

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

    // What has been got done: steps by the journals of both servers, and the ranges that a copy or a heal is made of.
    [[nodiscard]] std::string progress() const {
        auto session = test::service_server().connect(hop_.own());
        bool const there = Carving::value(session, "SELECT to_regclass('pgcarve.step') IS NOT NULL") == "true";
        return hop_.carving().value("SELECT count(*) || ' ' || max(id) FROM pgcarve.journal WHERE state <> 'note' OR step = 'end'") + " " +
               (there ? Carving::value(session, "SELECT format('%s %s %s', (SELECT count(*) FROM pgcarve.step), (SELECT max(id) FROM pgcarve.step), (SELECT max(id) FROM pgcarve.chunk))") : "");
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
                EXPECT_TRUE(where.find("/switch") != std::string::npos || where.find("close/") != std::string::npos) << where << " " << table;
            } else if (open != "rollback") {
                EXPECT_EQ(writer, phase == "syncing" ? "shared" : "own") << where << " " << table;
            }
        }
    }

    // Dies inside and after each step that it gets done, until nothing is left.
    void sweep(std::string const& verb, std::string const& ends) {
        std::vector<std::string> points;
        std::string at = progress();
        auto const attempts = hop_.carving().value("SELECT coalesce(max(id), 0) FROM pgcarve.attempt");
        int point = 1; // before the first step; later on 1 is where the last run died, 2 inside the next step or behind it
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
                return;
            auto const now = progress();
            point = now == at ? point + 1 : 2;
            at = now;
        }
        EXPECT_EQ(hop_.carving().phase(), ends) << verb;
        EXPECT_EQ(hop_.carving().value("SELECT count(*) FROM pgcarve.attempt WHERE state = 'open'"), "0");
        // Each step of what this left in the journal, but for the parts that an attempt of code alone does not journal.
        auto session = hop_.carving().connect();
        for (auto const row : session.query(sql::Sql{"SELECT DISTINCT verb, step FROM pgcarve.journal WHERE state = 'done' AND attempt > "}.server_text(attempts))) {
            auto const prefix = fmt::format("{}/{}/", row.text("verb"), row.text("step"));
            EXPECT_TRUE(std::ranges::any_of(points, [&](std::string const& one) { return one.starts_with(prefix) && !one.ends_with("/before"); }))
                << verb << " was not killed in " << prefix;
        }
        died_at_.insert(points.begin(), points.end());
    }

    // At one place, which a sweep passes by when it dies shortly before.
    void die(std::string const& verb, std::string const& place) {
        auto const output = hop_.carving().run(verb, place);
        EXPECT_EQ(output.exit, 128 + SIGKILL) << output.out << output.err;
        hop_.wait_for_sessions_to_end();
        check_moment(place);
        died_at_.insert(place);
    }

    void expect_nothing_lost(Client& client, Client::Side const& side) const { EXPECT_EQ(client.lost(side), 0); }

    // The places to die at that the source files of the hop name: as texts that a point holds.
    [[nodiscard]] static std::set<std::string> places() {
        // Of the other hop, of audits, of loose keys, and of the record's bound: kill_sweep_test.cpp, audit_test.cpp, crossings_test.cpp and
        // touched_bound_test.cpp have these.
        static std::set<std::string> const elsewhere{"audit.cpp", "split.cpp", "switch.cpp", "loose.cpp", "context.cpp", "touched_bound.cpp"};
        std::set<std::string> all;
        std::regex const hit{R"re(failpoints\.hit\((?:[^"\n]*)"([^"\n]+)")re"};
        for (auto const& file : std::filesystem::recursive_directory_iterator{PGCARVE_SOURCE_DIR "/core/run"}) {
            if (!file.is_regular_file() || elsewhere.contains(file.path().filename()))
                continue;
            std::ifstream in{file.path()};
            std::string const text{std::istreambuf_iterator<char>{in}, {}};
            for (std::sregex_iterator at{text.begin(), text.end(), hit}; at != std::sregex_iterator{}; ++at) {
                auto place = (*at)[1].str();
                place.erase(0, place.rfind("{}") == std::string::npos ? 0 : place.rfind("{}") + 2);
                if (!place.ends_with("/before")) // behind the step before
                    all.insert(place);
            }
        }
        return all;
    }

    static inline std::set<std::string> died_at_; // in all tests
    static inline int lives_ = 0;
    Hop hop_;
    std::string before_;
};

TEST_F(DatabaseKillSweep, ThereAndBackAndCancelled) {
    Client one{hop_.sides(), 1};
    Client two{hop_.sides(), 2};
    one.more(3);
    sweep("sync shop --yes --until-caught-up", "syncing");
    sweep("sync shop --heal --yes", "syncing");
    sweep("sync shop --yes --until-caught-up", "syncing"); // mends, range by range
    sweep(std::string{"cutover shop --yes"} + test::agreed, "database_live");
    one.more(3);
    two.more(3);
    expect_nothing_lost(one, hop_.own_side());
    sweep("sync shop --yes --until-caught-up", "database_live");
    sweep("rollback shop --yes", "syncing");
    one.more(3);
    expect_nothing_lost(one, hop_.shared_side());
    expect_nothing_lost(two, hop_.shared_side());
    one.stop();
    two.stop();
    hop_.carving().expect(0, "sync shop --yes --until-caught-up");
    hop_.expect_equal();
    sweep("cancel shop --yes", "planned");
    EXPECT_EQ(test::line_difference(before_, hop_.objects()), "");
    ++lives_;
}

TEST_F(DatabaseKillSweep, TwiceThereAndCompleted) {
    Client one{hop_.sides(), 1};
    one.more(3);
    hop_.carving().expect(0, "sync shop --yes --until-caught-up");
    die(std::string{"cutover shop --yes"} + test::agreed, "cutover/switch/committed");
    hop_.carving().expect(0, std::string{"cutover shop --yes"} + test::agreed);
    die("rollback shop --yes", "rollback/switch/committed");
    hop_.carving().expect(0, "rollback shop --yes");
    sweep(std::string{"cutover shop --yes"} + test::agreed, "database_live");
    one.more(3);
    expect_nothing_lost(one, hop_.own_side());
    hop_.carving().expect(0, "sync shop --yes --until-caught-up");
    sweep("complete shop --yes", "completed");
    one.more(3);
    one.stop();
    expect_nothing_lost(one, hop_.own_side());
    sweep("complete shop --purge --yes", "completed");
    // The old tables and what hung on them have gone, the new ones stand; nothing of pgcarve's is left on either side.
    EXPECT_EQ(test::line_difference(before_, hop_.objects()).find("pgcarve"), std::string::npos) << test::line_difference(before_, hop_.objects());
    auto own = test::service_server().connect(hop_.own());
    EXPECT_EQ(Carving::value(own, "SELECT to_regnamespace('pgcarve') IS NULL"), "true");
    auto shared = hop_.carving().connect();
    EXPECT_EQ(Carving::value(shared, "SELECT to_regclass('public.orders') IS NULL AND to_regclass('public.tickets') IS NOT NULL"), "true");
    ++lives_;
}

TEST_F(DatabaseKillSweep, NoPlaceWasLeftOut) {
    if (lives_ < 2)
        GTEST_SKIP() << "counts what the other tests of this program have died at; run it whole";
    for (auto const& place : places()) {
        EXPECT_TRUE(std::ranges::any_of(died_at_, [&](std::string const& point) { return point.find(place) != std::string::npos; }))
            << "nothing was killed at " << place;
    }
}

} // namespace
