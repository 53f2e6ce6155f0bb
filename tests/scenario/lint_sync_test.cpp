// Goal: the sync rules of lint are right about what really runs: what they let pass keeps both sides equal and the
// application's writes working, and what they refuse demonstrably does not, or is named here as refused all the same.
// Method: a live mirror made by the real binary; every kind of DDL is run against tables of its own,
// the application writes, both sides are compared column by column. Lint judges the same text with the state file that
// `pgcarve status --format json` printed.
#include "scenario/ddl_cases.hpp"

namespace {

using namespace pgcarve;
using test::Carving;

std::vector<test::DdlCase> const mirrored{
    {"add column", "ALTER TABLE $S ADD COLUMN kind text", "INSERT INTO $S (id, name, kind) VALUES (101, 'n', 'k')"},
    {"add column with a constant", "ALTER TABLE $S ADD COLUMN kind text DEFAULT 'x'"},
    {"add column at the target", "ALTER TABLE $T ADD COLUMN kind text", {}},
    {"add a required column at the target", "ALTER TABLE $T ADD COLUMN kind text NOT NULL"},
    {"rename column", "ALTER TABLE $S RENAME COLUMN note TO remark"},
    {"rename key column", "ALTER TABLE $S RENAME COLUMN id TO key", "INSERT INTO $S (key, name) VALUES (101, 'new')"},
    {"rename the target's column", "ALTER TABLE $T RENAME COLUMN note TO remark"},
    {"rename table", "ALTER TABLE $S RENAME TO $s_renamed", "INSERT INTO $S_renamed (id, name) VALUES (101, 'new')"},
    {"rename the target", "ALTER TABLE $T RENAME TO $s_renamed"},
    {"move to another schema", "CREATE SCHEMA IF NOT EXISTS elsewhere; ALTER TABLE $S SET SCHEMA elsewhere", "INSERT INTO elsewhere.$s (id, name) VALUES (101, 'new')"},
    {"drop column", "ALTER TABLE $S DROP COLUMN note"},
    {"drop column, cascade", "ALTER TABLE $S DROP COLUMN note CASCADE"},
    {"drop the target's column", "ALTER TABLE $T DROP COLUMN note CASCADE"},
    {"widen type", "ALTER TABLE $S ALTER COLUMN note TYPE varchar(100)"},
    {"change type", "ALTER TABLE $S ALTER COLUMN qty TYPE bigint"},
    {"become identity", "ALTER TABLE $S ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY", "INSERT INTO $S (name) VALUES ('new')"},
    {"drop primary key", "ALTER TABLE $S DROP CONSTRAINT $s_pkey", "INSERT INTO $S (id, name) VALUES (2, 'twice'), (2, 'thrice')"},
    {"drop the target's primary key", "ALTER TABLE $T DROP CONSTRAINT $s_pkey"},
    {"nulls in the key", "ALTER TABLE $S ALTER COLUMN id DROP NOT NULL"},
    {"unlogged", "ALTER TABLE $S SET UNLOGGED"},
    {"replica identity", "ALTER TABLE $S REPLICA IDENTITY FULL"},
    {"no replica identity", "ALTER TABLE $S REPLICA IDENTITY NOTHING"},
    {"drop table", "DROP TABLE $S"},
    {"drop and make anew", "DROP TABLE $S CASCADE; CREATE TABLE $S (id bigint PRIMARY KEY, name text)", "INSERT INTO $S VALUES (1, 'other')"},
    {"disable triggers", "ALTER TABLE $S DISABLE TRIGGER ALL"},
    {"disable user triggers", "ALTER TABLE $S DISABLE TRIGGER USER"},
    {"enable the target's triggers", "ALTER TABLE $T ENABLE TRIGGER USER"},
    {"write as a replica", "SET session_replication_role = replica; UPDATE $S SET name = 'silent' WHERE id = 5"},
    {"volatile default", "ALTER TABLE $S ADD COLUMN token uuid DEFAULT gen_random_uuid()"},
    {"check at the source", "ALTER TABLE $S ADD CONSTRAINT positive CHECK (qty > 0)"},
    {"check at the target", "ALTER TABLE $T ADD CONSTRAINT short CHECK (length(name) < 10) NOT VALID", "INSERT INTO $S (id, name) VALUES (101, 'a very long name')"},
    {"unique at the target", "ALTER TABLE $T ADD CONSTRAINT two UNIQUE (qty)", "INSERT INTO $S (id, name, qty) VALUES (101, 'n', 5)"},
    {"unique index at the target", "CREATE UNIQUE INDEX ON $T (qty)", "INSERT INTO $S (id, name, qty) VALUES (101, 'n', 5)"},
    {"not null at the target", "ALTER TABLE $T ALTER COLUMN qty SET NOT NULL", "INSERT INTO $S (id, name) VALUES (101, 'n')"},
    {"trigger at the target", "CREATE FUNCTION public.spoil() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.name := ''spoilt''; RETURN NEW; END'; "
                              "CREATE TRIGGER spoil BEFORE INSERT OR UPDATE ON $T FOR EACH ROW EXECUTE FUNCTION public.spoil()"},
    {"write to the target", "UPDATE $T SET name = 'foreign' WHERE id = 7"},
    {"truncate the target", "TRUNCATE $T"},
    {"set not null", "ALTER TABLE $S ALTER COLUMN qty SET NOT NULL"},
    {"drop not null", "ALTER TABLE $S ALTER COLUMN name DROP NOT NULL", "INSERT INTO $S (id, name) VALUES (101, NULL)"},
    {"drop not null, target first", "ALTER TABLE $T ALTER COLUMN name DROP NOT NULL; ALTER TABLE $S ALTER COLUMN name DROP NOT NULL", "INSERT INTO $S (id, name) VALUES (101, NULL)"},
    {"drop check", "ALTER TABLE $S DROP CONSTRAINT small", "INSERT INTO $S (id, name, qty) VALUES (101, 'n', 5000)"},
    {"drop check, target first", "ALTER TABLE $T DROP CONSTRAINT small; ALTER TABLE $S DROP CONSTRAINT small", "INSERT INTO $S (id, name, qty) VALUES (101, 'n', 5000)"},
    {"drop unique", "ALTER TABLE $S DROP CONSTRAINT $s_u_key", "INSERT INTO $S (id, name, u) VALUES (101, 'n', 5)"},
    {"index", "CREATE INDEX ON $S (qty)"},
    {"index at the target", "CREATE INDEX ON $T (qty)"},
    {"default", "ALTER TABLE $S ALTER COLUMN qty SET DEFAULT 7", "INSERT INTO $S (id, name) VALUES (101, 'n')"},
    {"options and statistics", "ALTER TABLE $S SET (fillfactor = 90); ALTER TABLE $S ALTER COLUMN name SET STATISTICS 100"},
    {"truncate", "TRUNCATE $S"},
    {"bulk update", "UPDATE $S SET note = 'bulk'"},
    {"trigger at the source", "CREATE FUNCTION public.upper_name() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.name := upper(NEW.name); RETURN NEW; END'; "
                              "CREATE TRIGGER up BEFORE INSERT OR UPDATE ON $S FOR EACH ROW EXECUTE FUNCTION public.upper_name()"},
    {"new partition", "CREATE TABLE public.$s_b PARTITION OF $S FOR VALUES FROM (1000) TO (2000)", "INSERT INTO $S (id, name, u) VALUES (1500, 'n', 1500)",
     "its rows arrive; but status tells of drift until split has made the partition at the other side too",
     "id bigint PRIMARY KEY, name text NOT NULL, qty int, u int", true},
    {"detach a partition", "ALTER TABLE $S DETACH PARTITION public.$s_a", "INSERT INTO public.$s_a (id, name, u) VALUES (500, 'n', 500)", {},
     "id bigint PRIMARY KEY, name text NOT NULL, qty int, u int", true},
};

TEST(LintSync, Mirror) {
    auto& server = test::logical_server();
    auto const database = server.create_database();
    std::string schema;
    std::string tables;
    for (std::size_t i = 0; i < mirrored.size(); ++i) {
        schema += test::created(mirrored[i], {"public", fmt::format("t{}", i)});
        tables += fmt::format("{}\"t{}\"", i == 0 ? "" : ", ", i);
    }
    ASSERT_EQ(test::ran(database, schema), "");
    Carving carving{server, database, fmt::format("[service.shop]\nschema = \"shop\"\ntables = [{}]\n", tables)};
    carving.expect(0, "init --yes");
    carving.expect(0, "split shop --yes");
    auto const state = lint::parse_sync_state(carving.expect(0, "status --format json").out);
    ASSERT_FALSE(state.tables.empty());
    std::set<std::string> proven;
    for (std::size_t i = 0; i < mirrored.size(); ++i) {
        auto const& one = mirrored[i];
        sql::QName const source{"public", fmt::format("t{}", i)};
        sql::QName const target{"shop", source.name};
        auto const ddl = test::filled(one.ddl, source, target);
        auto broken = test::ran(database, ddl);
        if (broken.empty())
            broken = test::ran(database, test::filled(one.write.empty() ? test::usual_writes : one.write, source, target));
        // A column that only the target has, and that nothing fills, is not a difference of rows.
        std::string const without = one.name == "add column at the target" ? "kind" : "";
        if (broken.empty() && test::rows_of(database, source, without) != test::rows_of(database, target, without))
            broken = "rows differ";
        test::expect_right(one, test::judge(state, ddl, schema), broken, proven);
    }
    EXPECT_EQ(proven, (std::set<std::string>{"S01", "S02", "S03", "S04", "S05", "S06", "S07", "S09", "S10", "S11", "S12"}));
}

} // namespace
