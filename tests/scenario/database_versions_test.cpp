// Goal: authority moves between servers of different versions and back, beside clients, and nothing is lost. Method: the real
// binary, servers of the oldest versions as the source and of later ones as the target; skipped where they are not installed.
#include "scenario/hopping.hpp"

namespace {

using namespace pgcarve;
using test::Carving;
using test::Client;
using test::Hop;

struct Pairing {
    int from;
    int to;
};

class DatabaseVersions : public testing::TestWithParam<Pairing> {};

TEST_P(DatabaseVersions, ThereAndBackAndThere) {
    PGCARVE_NEEDS_VERSION(GetParam().from);
    PGCARVE_NEEDS_VERSION(GetParam().to);
    auto& from = test::server_of_version(GetParam().from);
    auto& to = test::server_of_version(GetParam().to);
    auto const own = to.create_database();
    auto services = Hop::services("");
    auto const dsn = services.find("dsn = \"") + 7;
    services.replace(dsn, services.find('"', dsn) - dsn, to.dsn(own));
    Carving const carving{from, from.create_database(), services, "max_write_block = \"20s\"\n"};
    std::vector<Client::Side> const sides{{&from, carving.database(), "public"}, {&to, own, "store"}};
    carving.sql(test::hop_schema);
    carving.expect(0, "init --yes");
    carving.expect(0, "sync shop --yes --until-caught-up");
    Client client{sides, 1};
    client.more(3);
    carving.expect(0, "verify shop --nice-ratio 0");
    carving.expect(0, std::string{"cutover shop --yes"} + test::agreed);
    client.more(5);
    EXPECT_EQ(client.lost(sides[1]), 0);
    EXPECT_EQ(Hop::takes_writes(sides[0]), "refused");
    carving.expect(0, "verify shop --nice-ratio 0");
    carving.expect(0, "rollback shop --yes");
    client.more(5);
    EXPECT_EQ(client.lost(sides[0]), 0);
    EXPECT_EQ(Hop::takes_writes(sides[1]), "refused");
    carving.expect(0, std::string{"cutover shop --yes"} + test::agreed);
    client.more(3);
    client.stop();
    carving.expect(0, "sync shop --yes --until-caught-up");
    for (auto const& table : test::hop_tables)
        EXPECT_EQ(Hop::content(sides[0], table), Hop::content(sides[1], table)) << table;
    carving.expect(0, "complete shop --yes");
    EXPECT_EQ(client.lost(sides[1]), 0);
}

INSTANTIATE_TEST_SUITE_P(Pairings, DatabaseVersions, testing::Values(Pairing{13, 18}, Pairing{14, 16}),
                         [](auto const& given) { return fmt::format("{}to{}", given.param.from, given.param.to); });

} // namespace
