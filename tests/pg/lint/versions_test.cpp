// Goal: where servers of different versions differ, --pg-version changes what lint says, and says what they do.
// Method: the examples of the rules that depend on the version run on a server of each version that is here.
#include <gtest/gtest.h>

#include "pg/lint/examples.hpp"
#include "support/server.hpp"

namespace {

using namespace pgcarve;

std::string schema() { return "SET search_path = public;\n" + test::example_schema(); }

// "" when it ran. Nothing of it is left.
std::string refused(test::Server& server, std::string const& prepared, std::string const& sql) {
    try {
        if (sql.find("CONCURRENTLY") != std::string::npos) { // which refuses a transaction
            auto const database = server.create_database();
            auto session = server.connect(database);
            session.run(schema());
            session.run(sql);
            return {};
        }
        auto session = server.connect(prepared);
        session.run("SET search_path = public");
        pg::Transaction transaction{session};
        session.run(sql);
        transaction.abort();
    } catch (pg::SqlError const& error) {
        return error.what();
    }
    return {};
}

TEST(Versions, TheServersDoWhatTheRulesSay) {
    int here = 0;
    for (int version = 13; version <= 18; ++version) {
        if (test::bin_of_version(version).empty())
            continue;
        ++here;
        auto& server = test::server_of_version(version);
        auto const prepared = server.create_database();
        server.connect(prepared).run(schema());
        for (std::string const id : {"L29", "L30"}) {
            auto const& about = lint::find_rule(id)->about;
            for (auto const* const examples : {&about.violating, &about.accepted}) {
                for (auto const& sql : *examples) {
                    auto const why = refused(server, prepared, sql);
                    EXPECT_EQ(test::found_in_example(sql, version).contains(id), !why.empty()) << id << ", PostgreSQL " << version << ": " << sql << "\n" << why;
                }
            }
        }
    }
    if (here < 2)
        GTEST_SKIP() << "one version of PostgreSQL only: run scripts/servers";
}

} // namespace
