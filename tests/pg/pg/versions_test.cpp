// Goal: a server of every supported version is talked to. Method: each is started, and asked on every kind of connection.
#include <gtest/gtest.h>

#include "pg/bulk.hpp"
#include "pg/replication.hpp"
#include "support/server.hpp"

namespace {

using namespace pgcarve;

class Versions : public testing::TestWithParam<int> {};

TEST_P(Versions, AreTalkedTo) {
    PGCARVE_NEEDS_VERSION(GetParam());
    auto& server = test::server_of_version(GetParam());
    EXPECT_EQ(server.version(), GetParam());
    EXPECT_EQ(pg::Bulk({.dsn = server.dsn(), .purpose = "test"}).server_version() / 10'000, GetParam());
    pg::Replication replication{{.dsn = server.dsn(), .purpose = "test"}};
    EXPECT_FALSE(replication.identify().system_id.empty());
    auto const slot = replication.create_slot("s");
    EXPECT_NE(slot.consistent_point, base::Lsn{});
    server.connect().run("SELECT pg_drop_replication_slot('s')");
}

INSTANTIATE_TEST_SUITE_P(Supported, Versions, testing::Values(13, 14, 15, 16, 17, 18), testing::PrintToStringParamName{});

} // namespace
