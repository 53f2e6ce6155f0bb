// Goal: every change of a definition that a signature or a mapping could notice changes the state, and the everyday work of
// a server does not.
#include <gtest/gtest.h>

#include "catalog/state.hpp"
#include "support/server.hpp"

namespace {

using namespace pgcarve;

TEST(CatalogState, ChangesWithEveryDefinitionAndWithNothingElse) {
    auto& server = test::Server::shared();
    auto session = server.connect(server.create_database());
    session.run("SET search_path = public");
    session.run("CREATE TYPE mood AS ENUM ('sad'); CREATE DOMAIN amount AS numeric; CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';"
                "CREATE TABLE t (id bigint PRIMARY KEY, a int, b int GENERATED ALWAYS AS (twice(a)) STORED, m mood, d amount);"
                "CREATE TABLE p (id bigint PRIMARY KEY) PARTITION BY RANGE (id)");
    auto state = catalog::catalog_state(session);
    for (auto const* const work : {"INSERT INTO t (id, a) SELECT g, g FROM generate_series(1, 5000) AS g", "ANALYZE t", "VACUUM t", "VACUUM FREEZE t", "DELETE FROM t",
                                   "VACUUM t", "BEGIN; ALTER TABLE t ADD COLUMN x int; ROLLBACK"}) {
        session.run(work);
        EXPECT_EQ(catalog::catalog_state(session), state) << work;
    }
    for (auto const* const change : {"ALTER TABLE t ADD COLUMN c int", "ALTER TABLE t DROP COLUMN c", "ALTER TABLE t RENAME a TO aa",
                                     "ALTER TABLE t ALTER aa SET DEFAULT 1", "ALTER TABLE t ALTER aa SET NOT NULL", "ALTER TABLE t ADD CHECK (aa > 0)",
                                     "CREATE UNIQUE INDEX u ON t (aa)", "DROP INDEX u", "ALTER TABLE t RENAME TO tt", "ALTER TABLE tt RENAME TO t",
                                     "ALTER TYPE mood ADD VALUE 'glad'", "ALTER TYPE mood RENAME VALUE 'sad' TO 'sorry'", "ALTER FUNCTION twice(int) RENAME TO doubled",
                                     "ALTER DOMAIN amount ADD CHECK (VALUE > 0)", "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)",
                                     "ALTER TABLE p DETACH PARTITION p1", "CREATE SCHEMA s", "ALTER SCHEMA s RENAME TO ss", "ALTER TABLE t SET SCHEMA ss"}) {
        try {
            session.run(change);
        } catch (pg::SqlError const& e) {
            ADD_FAILURE() << change << ": " << e.what();
        }
        auto const now = catalog::catalog_state(session);
        EXPECT_NE(now, state) << change;
        state = now;
    }
}

} // namespace
