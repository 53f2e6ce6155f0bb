// Goal: after `cancel`, whenever it is typed, both servers hold exactly what they held before; after `complete` and its purge
// nothing of pgcarve's is left but the history in the control schema. Method: everything that two catalogs list, compared
// before and after, for a service with all that a hop can have: a role, loose keys, reference tables, an undone cutover,
// tables set aside, a throttle.
#include "scenario/hopping.hpp"

namespace {

using namespace pgcarve;
using test::Carving;
using test::Hop;

class DatabaseLeftovers : public testing::Test {
protected:
    DatabaseLeftovers() {
        hop_.carving().sql(test::hop_schema);
        auto services = Hop::services(hop_.own());
        auto const put = [&](std::string const& from, std::string const& to) { services.replace(services.find(from), from.size(), to); };
        put("customers\" = \"drop\"", "customers\" = \"replicate\"");
        put("orders\" = \"drop\"", "orders\" = \"loose\"");
        put("tables = [", fmt::format("role = \"{}\"\ncreate_role = true\ntables = [", role_));
        hop_.carving().configure(services);
        hop_.carving().expect(0, "init --yes");
        shared_ = Hop::objects(hop_.shared_side());
        own_ = Hop::objects(hop_.own_side());
    }
    ~DatabaseLeftovers() override {
        try { // the servers are shared by the tests of this program
            auto own = test::service_server().connect(hop_.own());
            own.run(fmt::format("DROP OWNED BY {0}", role_));
            own.run(fmt::format("DROP ROLE {0}", role_));
        } catch (base::Error const&) { // NOLINT(bugprone-empty-catch)
            // It has gone with the hop.
        }
    }

    void expect_as_before() const {
        EXPECT_EQ(hop_.carving().phase(), "planned");
        EXPECT_EQ(test::line_difference(shared_, Hop::objects(hop_.shared_side())), "");
        EXPECT_EQ(test::line_difference(own_, Hop::objects(hop_.own_side())), "");
        EXPECT_EQ(hop_.carving().value("SELECT count(*) FROM pgcarve.attempt WHERE state = 'open'"), "0");
    }

    Hop hop_;
    std::string role_ = "shop_app_" + hop_.own();
    std::string shared_;
    std::string own_;
};

TEST_F(DatabaseLeftovers, CancelledAtAnyTime) {
    auto const& carving = hop_.carving();
    for (auto const* const point : {"sync/phase:copying/after", "sync/publication/after", "sync/slot/unrecorded", "sync/position/after", "sync/range", "sync/slot:reference/after", "sync/target:locks/after"}) {
        SCOPED_TRACE(point);
        EXPECT_EQ(carving.run("sync shop --yes --until-caught-up", point).exit, 128 + SIGKILL);
        hop_.wait_for_sessions_to_end();
        carving.expect(0, "cancel shop --yes");
        expect_as_before();
    }
    carving.expect(0, "sync shop --yes --until-caught-up");
    carving.expect(0, "cancel shop --yes");
    expect_as_before();
}

TEST_F(DatabaseLeftovers, CancelledAfterAllSortsOfTrouble) {
    auto const& carving = hop_.carving();
    carving.expect(0, "sync shop --yes --until-caught-up");
    carving.expect(0, "sync shop --set-aside payments --yes");
    carving.expect(0, "sync shop --heal --yes");
    carving.expect(0, "sync shop --yes --until-caught-up");
    carving.expect(0, "sync shop --set-aside orders --yes");
    carving.expect(0, "sync shop --bring-back orders --yes");
    carving.expect(0, "sync shop --yes --until-caught-up");
    carving.expect(0, "sync shop --throttle 'whatever'");
    auto const cutover = std::string{"cutover shop --yes"} + test::agreed;
    // One that is undone, one that was interrupted, one that took place and was taken back.
    EXPECT_EQ(carving.run(cutover, "cutover/switch/locked").exit, 128 + SIGKILL);
    hop_.wait_for_sessions_to_end();
    carving.expect(0, cutover);
    carving.expect(0, "rollback shop --yes");
    EXPECT_EQ(carving.run(cutover, "cutover/switch/recorded").exit, 128 + SIGKILL);
    hop_.wait_for_sessions_to_end();
    carving.expect(0, "cancel shop --yes");
    expect_as_before();
}

TEST_F(DatabaseLeftovers, Completed) {
    auto const& carving = hop_.carving();
    carving.expect(0, "sync shop --yes --until-caught-up");
    auto const cutover = std::string{"cutover shop --yes"} + test::agreed;
    carving.expect(0, cutover);
    carving.expect(0, "rollback shop --yes");
    carving.expect(0, cutover);
    carving.expect(0, "complete shop --yes");
    carving.expect(0, "complete shop --purge --yes");
    auto const shared = test::line_difference(shared_, Hop::objects(hop_.shared_side()));
    auto const own = test::line_difference(own_, Hop::objects(hop_.own_side()));
    EXPECT_EQ(shared.find("+ "), std::string::npos) << shared; // only less than before
    EXPECT_EQ(shared.find("pgcarve"), std::string::npos) << shared;
    EXPECT_EQ(own.find("- "), std::string::npos) << own; // only more: the service's own
    EXPECT_EQ(own.find("pgcarve"), std::string::npos) << own;
    EXPECT_EQ(own.find("slot "), std::string::npos) << own;
    EXPECT_NE(own.find("+ role " + role_), std::string::npos) << own;
}

} // namespace
