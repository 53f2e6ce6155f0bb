// Goal: pgcarve may die at any step of any verb. At every such moment each write that was acknowledged to a client is on
// both sides and exactly one side takes writes; running the verb again ends where an undisturbed run ends.
// Method: the real binary is killed (SIGKILL) at its failpoints, beside a client that writes. Each verb starts from a
// database cloned of a template, so that a point costs one kill and one rerun. Besides, each verb is run through by
// killing it after every single step, which passes all steps; the points that are tried one by one are a sample
// around it, all of them with PGCARVE_TEST_ALL=1.
#include <algorithm>

#include "scenario/carving.hpp"

namespace {

using namespace pgcarve;
using test::Carving;

std::vector<std::string> const tables{"orders", "lines", "payments", "notes", "counters", "stock"};

std::string const services = "[service.shop]\nschema = \"shop\"\ntables = [\"orders\", \"lines\", \"payments\", \"notes\", \"counters\", \"stock\"]\n";

test::Writer::Work work() {
    return {{"INSERT INTO {}.orders (customer, attributes, tags) VALUES (1 + # % 20, '{\"turn\": #}', ARRAY['turn #'])",
             "INSERT INTO {}.lines SELECT max(id), 1, 2.5 FROM {}.orders WHERE attributes @> '{\"turn\": #}'",
             "INSERT INTO {}.payments (day, order_id, amount) SELECT '2024-12-30'::date + # % 4, max(id), # FROM {}.orders WHERE attributes @> '{\"turn\": #}'",
             "INSERT INTO {}.notes (order_id, body) VALUES (1 + # % 250, '\\x00ff')",
             "UPDATE {}.orders SET state = 'paid' WHERE id = 1 + # % 250",
             "UPDATE {}.stock SET n = n - 1 WHERE warehouse = 1 + # % 3 AND article = 'article ' || (1 + # % 20)",
             "UPDATE {}.counters SET n = n + 1 WHERE name = 'orders'",
             "DELETE FROM {}.lines WHERE order_id = 1 + # % 250 AND line = 3"},
            "SELECT count(DISTINCT attributes -> 'turn') FROM {}.orders WHERE (attributes ->> 'turn')::int = ANY ('{#}')"};
}

test::Server& server() { return test::Server::shared(); }

std::string fresh_name() {
    static int count = 0;
    return fmt::format("sweep{}", ++count);
}

// A copy of the template; nobody may be connected to that.
std::string clone(std::string const& from) {
    auto const name = fresh_name();
    auto admin = server().connect();
    admin.run(fmt::format("CREATE DATABASE {} TEMPLATE {}", name, from));
    return name;
}

void drop(std::string const& name) { server().connect().run(fmt::format("DROP DATABASE {} WITH (FORCE)", name)); }

std::string end_state(Carving const& carving) {
    auto session = carving.connect();
    return test::catalog_text(session) +
           Carving::value(session, "SELECT format('phase %s authority %s hold %s', phase, authority, hold_until IS NOT NULL) FROM pgcarve.service") +
           Carving::value(session, "SELECT format(E'\\nopen attempts %s\\nleases %s\\n', (SELECT count(*) FROM pgcarve.attempt WHERE state = 'open'),"
                                   " (SELECT count(*) FROM pgcarve.lease))");
}

// Whether a plain client's write passes: "yes", "refused", or "none" when there is no such table.
std::string takes_writes(pg::Session& session, std::string const& schema, std::string const& table) {
    if (Carving::value(session, fmt::format("SELECT to_regclass('{}.{}') IS NULL", schema, table)) == "true")
        return "none";
    pg::Transaction transaction{session};
    try {
        session.run(fmt::format("INSERT INTO {}.{} SELECT * FROM {}.{} LIMIT 0", schema, table, schema, table));
        if (table == "counters")
            session.run(fmt::format("INSERT INTO {}.counters SELECT 'probe ' || coalesce(max(n), 0), 0 FROM {}.counters", schema, schema));
        else
            session.run(fmt::format("INSERT INTO {0}.payments (day, order_id, amount) VALUES ('2024-05-05', 7, 1)", schema));
        transaction.abort();
        return "yes";
    } catch (pg::SqlError const& e) {
        if (e.sqlstate() != pg::sqlstate::moved)
            throw;
        return "refused";
    }
}

// The tables whose copy is there.
std::vector<std::string> existing(pg::Session& session) {
    std::vector<std::string> found;
    for (auto const& table : tables) {
        if (Carving::value(session, fmt::format("SELECT to_regclass('shop.{}') IS NOT NULL", table)) == "true")
            found.push_back(table);
    }
    return found;
}

void check_moment(Carving const& carving, test::Writer& writer, std::string const& verb) {
    auto session = carving.connect();
    auto const phase = Carving::value(session, "SELECT phase FROM pgcarve.service");
    bool const cancelling = Carving::value(session, "SELECT count(*) FROM pgcarve.attempt WHERE verb = 'cancel'") != "0";
    bool const on_service = phase == "schema_live" || phase == "completed";
    EXPECT_EQ(writer.lost(session, on_service ? "shop" : "public"), 0);
    if ((phase == "dual_writing" && !cancelling) || phase == "schema_live") {
        EXPECT_EQ(Carving::differing(session, tables, "shop"), "");
    } else if (phase == "backfilling" && !cancelling) { // no ghost, nothing stale: rows are missing at most
        EXPECT_EQ(Carving::differing(session, existing(session), "shop").find("only service"), std::string::npos);
    }
    for (std::string const table : {"counters", "payments"}) {
        auto const old_side = takes_writes(session, "public", table);
        auto const new_side = takes_writes(session, "shop", table);
        EXPECT_EQ(on_service ? new_side : old_side, "yes") << verb << " " << table;
        // A copy that has no mirror yet, or has lost it to `cancel`, is nobody's follower: its fence comes and goes with the mirror.
        bool const follows = Carving::value(session, fmt::format("SELECT count(*) FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid"
                                                                 " WHERE t.tgrelid = to_regclass('shop.{}') AND p.pronamespace = 'pgcarve'::regnamespace",
                                                                 table)) != "0";
        if (follows || (phase != "backfilling" && !cancelling)) {
            EXPECT_NE(on_service ? old_side : new_side, "yes") << verb << " " << table << ": both sides take writes";
        }
    }
}

struct Stage {
    std::string name;              // of the case
    std::string from;              // template
    std::string verb;              // "split shop --yes"
    std::string ends = "";         // phase afterwards
    bool thorough = true;          // also point by point
};

// Names of the points that an undisturbed run passes, in order: each is found by dying there.
struct Sweep {
    Stage const& stage;
    std::string expected{};
    std::vector<std::string> points{};

    void undisturbed() {
        Carving const carving{server(), clone(stage.from), services};
        carving.expect(0, stage.verb);
        EXPECT_EQ(carving.phase(), stage.ends);
        expected = end_state(carving);
        drop(carving.database());
    }

    // Dies after each step that it gets done, until nothing is left: passes every point once.
    void chain() {
        Carving const carving{server(), clone(stage.from), services};
        test::Writer writer{server(), carving.database(), "shop", work()};
        writer.more(3);
        int deaths = 0;
        std::string progress;
        int point = 2; // 1 is before a step, 2 behind it or inside it
        for (int turn = 1; turn <= 400; ++turn) {
            auto const output = carving.run(stage.verb, fmt::format("#{}", point));
            carving.wait_for_sessions_to_end();
            if (output.exit != 128 + SIGKILL) {
                EXPECT_EQ(output.exit, 0) << output.out << output.err;
                break;
            }
            ++deaths;
            auto const at = output.err.rfind("failpoint ");
            auto const name = output.err.substr(at, output.err.find(" (", at) - at).substr(10);
            auto const now = carving.value("SELECT count(*) || ' ' || max(id) FROM pgcarve.journal WHERE state <> 'note' OR step = 'end'");
            point = now == progress ? point + 1 : 2;
            progress = now;
            points.push_back(name);
            SCOPED_TRACE(fmt::format("{}: killed at {} in a chain", stage.name, points.back()));
            check_moment(carving, writer, stage.verb);
            if (testing::Test::HasFailure())
                return;
        }
        EXPECT_GT(deaths, 1) << stage.name;
        finish(carving, writer);
    }

    // One kill at the N-th point and one rerun; false when the run survived.
    bool one(int point) {
        SCOPED_TRACE(fmt::format("{}: failpoint #{}", stage.name, point));
        Carving const carving{server(), clone(stage.from), services};
        test::Writer writer{server(), carving.database(), "shop", work()};
        writer.more(2);
        auto const output = carving.run(stage.verb, fmt::format("#{}", point));
        carving.wait_for_sessions_to_end();
        bool const killed = output.exit == 128 + SIGKILL;
        if (killed) {
            SCOPED_TRACE(output.err);
            check_moment(carving, writer, stage.verb);
            writer.more(2);
            carving.expect(0, stage.verb);
        } else {
            EXPECT_EQ(output.exit, 0) << output.out << output.err;
        }
        finish(carving, writer);
        return killed;
    }

    void finish(Carving const& carving, test::Writer& writer) {
        writer.more(2);
        check_moment(carving, writer, stage.verb);
        writer.stop();
        EXPECT_EQ(carving.phase(), stage.ends);
        EXPECT_EQ(test::line_difference(expected, end_state(carving)), "") << stage.name;
        drop(carving.database());
    }
};

// Which points are tried one by one: about a dozen evenly, and those around the switch of authority.
bool chosen(int point, int last, int around) {
    if (std::getenv("PGCARVE_TEST_ALL") != nullptr)
        return true;
    if (around > 0)
        return std::abs(point - around) <= 2;
    return point % std::max(1, last / 5) == 1;
}

class KillSweep : public testing::Test {
protected:
    // A database after each stage, made once.
    static void SetUpTestSuite() {
        auto admin = server().connect();
        admin.run("CREATE DATABASE stage_planned");
        server().load("stage_planned", std::filesystem::path{PGCARVE_SOURCE_DIR} / "tests/scenario/shop.sql");
        Carving{server(), "stage_planned", services}.expect(0, "init --yes");
        next("stage_planned", "stage_half_split", {"split shop --yes"}, "split/backfill:public.orders/before");
        next("stage_planned", "stage_dual", {"split shop --yes", "verify shop"});
        next("stage_dual", "stage_half_cutover", {"cutover shop --yes"}, "cutover/switch/locked");
        next("stage_dual", "stage_live", {"cutover shop --yes", "verify shop"});
        next("stage_live", "stage_back", {"rollback shop --yes", "verify shop"});
        next("stage_back", "stage_again", {"cutover shop --yes", "verify shop"});
    }
    static void next(std::string const& from, std::string const& to, std::vector<std::string> const& verbs, std::string const& failpoint = {}) {
        server().connect().run(fmt::format("CREATE DATABASE {} TEMPLATE {}", to, from));
        Carving const carving{server(), to, services};
        for (auto const& verb : verbs) {
            auto const output = carving.run(verb, failpoint);
            ASSERT_EQ(output.exit, failpoint.empty() ? 0 : 128 + SIGKILL) << to << ": " << verb << "\n" << output.out << output.err;
        }
        carving.wait_for_sessions_to_end();
    }

    static void sweep(Stage const& stage) {
        Sweep sweep{stage};
        sweep.undisturbed();
        sweep.chain();
        if (HasFailure() || !stage.thorough)
            return;
        int const last = 2 * static_cast<int>(sweep.points.size()) + 4;
        auto const at = std::ranges::find_if(sweep.points, [](std::string const& name) {
            return name.find("/switch") != std::string::npos || name.find("/retire") != std::string::npos;
        });
        // Three points lie within the switch, so those around it are found by name as well.
        int around = 2;
        for (auto before = sweep.points.begin(); before != at; ++before)
            around += before->ends_with("/unrecorded") ? 1 : 2;
        around = at == sweep.points.end() ? 0 : around;
        for (int point = 1; point <= 400; ++point) {
            if (!chosen(point, last, around))  {
                if (point > last)
                    break;
                continue;
            }
            if (!sweep.one(point) || HasFailure())
                break;
        }
    }
};

TEST_F(KillSweep, Split) { sweep({"split", "stage_planned", "split shop --yes", "dual_writing"}); }
TEST_F(KillSweep, Cutover) { sweep({"cutover", "stage_dual", "cutover shop --yes", "schema_live"}); }
TEST_F(KillSweep, Rollback) { sweep({"rollback", "stage_live", "rollback shop --yes", "dual_writing"}); }
TEST_F(KillSweep, CutoverAgain) { sweep({"second cutover", "stage_back", "cutover shop --yes", "schema_live", false}); }
TEST_F(KillSweep, Complete) { sweep({"complete", "stage_again", "complete shop --yes", "completed"}); }
TEST_F(KillSweep, Cancel) { sweep({"cancel", "stage_dual", "cancel shop --yes", "planned"}); }
TEST_F(KillSweep, CancelOfAHalfDoneSplit) { sweep({"cancel of a split", "stage_half_split", "cancel shop --yes", "planned", false}); }
TEST_F(KillSweep, CancelOfAHalfDoneCutover) { sweep({"cancel of a cutover", "stage_half_cutover", "cancel shop --yes", "planned", false}); }

} // namespace
