// Goal: the sync rules of lint are right about a stream to another database, as lint_sync_test.cpp shows for a mirror.
// Method: what lint lets pass runs under one sync that goes on through all of it; what it refuses has a stream of its own,
// which is run on after the change. The application writes, and both sides are compared column by column.
#include "scenario/ddl_cases.hpp"

namespace {

using namespace pgcarve;
using test::Carving;
using test::DdlCase;

constexpr auto partitioned_columns = "id bigint PRIMARY KEY, name text NOT NULL, qty int, u int";

// In `ddl` what is done at the source, in `own_ddl` what is done at the target.
std::vector<DdlCase> const kept{
    {"add column at the target", "", {}, {}, {}, false, "ALTER TABLE $T ADD COLUMN kind text"},
    {"add column with a constant at the target", "", {}, {}, {}, false, "ALTER TABLE $T ADD COLUMN kind text NOT NULL DEFAULT 'x'"},
    {"index at the target", "", {}, {}, {}, false, "CREATE INDEX ON $T (qty)"},
    {"default at the target", "", {}, {}, {}, false, "ALTER TABLE $T ALTER COLUMN qty SET DEFAULT 7"},
    {"drop not null at the target", "", {}, {}, {}, false, "ALTER TABLE $T ALTER COLUMN name DROP NOT NULL"},
    {"drop check at the target", "", {}, {}, {}, false, "ALTER TABLE $T DROP CONSTRAINT small"},
    {"disabled triggers at the target", "", {}, {}, {}, false, "ALTER TABLE $T DISABLE TRIGGER USER"},
    {"replica identity", "ALTER TABLE $S REPLICA IDENTITY FULL"},
    {"disable triggers", "ALTER TABLE $S DISABLE TRIGGER ALL"},
    {"write as a replica", "SET session_replication_role = replica; UPDATE $S SET name = 'silent' WHERE id = 5"},
    {"check at the source", "ALTER TABLE $S ADD CONSTRAINT positive CHECK (qty > 0)"},
    {"unique at the source", "ALTER TABLE $S ADD CONSTRAINT two UNIQUE (qty)", "INSERT INTO $S (id, name, qty) VALUES (101, 'n', 101)"},
    {"set not null", "ALTER TABLE $S ALTER COLUMN qty SET NOT NULL"},
    {"index", "CREATE INDEX ON $S (qty)"},
    {"default", "ALTER TABLE $S ALTER COLUMN qty SET DEFAULT 7", "INSERT INTO $S (id, name) VALUES (101, 'n')"},
    {"options and statistics", "ALTER TABLE $S SET (fillfactor = 90); ALTER TABLE $S ALTER COLUMN name SET STATISTICS 100"},
    {"truncate", "TRUNCATE $S"},
    {"bulk update", "UPDATE $S SET note = 'bulk'"},
    {"trigger at the source", "CREATE FUNCTION public.upper_name() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.name := upper(NEW.name); RETURN NEW; END'; "
                              "CREATE TRIGGER up BEFORE INSERT OR UPDATE ON $S FOR EACH ROW EXECUTE FUNCTION public.upper_name()"},
    {"another publication", "CREATE PUBLICATION others FOR TABLE $S; DROP PUBLICATION others"},
    {"view", "CREATE VIEW public.seen AS SELECT id FROM $S"},
};

std::vector<DdlCase> const refused{
    {"add column", "ALTER TABLE $S ADD COLUMN kind text", "INSERT INTO $S (id, name, kind) VALUES (101, 'n', 'k')"},
    {"add column with a constant", "ALTER TABLE $S ADD COLUMN kind text DEFAULT 'x'"},
    {"add generated column", "ALTER TABLE $S ADD COLUMN twice int GENERATED ALWAYS AS (qty * 2) STORED"},
    {"add a required column at the target", "", {}, {}, {}, false, "ALTER TABLE $T ADD COLUMN kind text NOT NULL DEFAULT 'x'; ALTER TABLE $T ALTER COLUMN kind DROP DEFAULT; "
                                                                   "ALTER TABLE $T ALTER COLUMN kind SET NOT NULL"},
    {"rename column", "ALTER TABLE $S RENAME COLUMN note TO remark"},
    {"rename key column", "ALTER TABLE $S RENAME COLUMN id TO key", "INSERT INTO $S (key, name) VALUES (101, 'new')"},
    {"rename the target's column", "", {}, {}, {}, false, "ALTER TABLE $T RENAME COLUMN note TO remark"},
    {"rename table", "ALTER TABLE $S RENAME TO $s_renamed", "INSERT INTO $S_renamed (id, name) VALUES (101, 'new')"},
    {"rename the target", "", {}, {}, {}, false, "ALTER TABLE $T RENAME TO $s_renamed"},
    {"move to another schema", "CREATE SCHEMA elsewhere; ALTER TABLE $S SET SCHEMA elsewhere", "INSERT INTO elsewhere.$s (id, name) VALUES (101, 'new')"},
    {"drop column", "ALTER TABLE $S DROP COLUMN note"},
    {"drop column, cascade", "ALTER TABLE $S DROP COLUMN note CASCADE"},
    {"drop the target's column", "", {}, {}, {}, false, "ALTER TABLE $T DROP COLUMN note"},
    {"widen type", "ALTER TABLE $S ALTER COLUMN note TYPE varchar(100)"},
    {"change type", "ALTER TABLE $S ALTER COLUMN qty TYPE bigint"},
    {"change the target's type", "", {}, {}, {}, false, "ALTER TABLE $T ALTER COLUMN note TYPE text"},
    {"become identity", "ALTER TABLE $S ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (START 200)", "INSERT INTO $S (name) VALUES ('new')",
     "rows arrive; but after a cutover the target would not make these values itself"},
    {"new value of an enumeration", "ALTER TYPE public.mood_$s ADD VALUE 'bad'", "INSERT INTO $S (id, name, mood) VALUES (101, 'n', 'bad')", {},
     "id bigint PRIMARY KEY, name text NOT NULL, qty int, u int, mood public.mood_$s"},
    {"new value of an enumeration, target first", "ALTER TYPE public.mood_$s ADD VALUE 'bad'", "INSERT INTO $S (id, name, mood) VALUES (101, 'n', 'bad')",
     "what was done in the other database cannot be seen in these files",
     "id bigint PRIMARY KEY, name text NOT NULL, qty int, u int, mood public.mood_$s", false, "ALTER TYPE public.mood_$s ADD VALUE 'bad'"},
    {"drop primary key", "ALTER TABLE $S DROP CONSTRAINT $s_pkey"},
    {"drop the target's primary key", "", {}, "rows arrive; but each is found by reading the whole table, and nothing keeps two of one key apart", {}, false, "ALTER TABLE $T DROP CONSTRAINT $s_pkey"},
    {"nulls in the key", "ALTER TABLE $S ALTER COLUMN id DROP NOT NULL"},
    {"unlogged", "ALTER TABLE $S SET UNLOGGED"},
    {"no replica identity", "ALTER TABLE $S REPLICA IDENTITY NOTHING"},
    {"replica identity without the key", "ALTER TABLE $S REPLICA IDENTITY USING INDEX $s_u_key", {}, {}, "id bigint PRIMARY KEY, name text NOT NULL, qty int, u int NOT NULL UNIQUE"},
    {"drop a unique index", "DROP INDEX public.$s_qty", "INSERT INTO $S (id, name, qty) VALUES (101, 'n', 5)", {}, "id bigint PRIMARY KEY, name text NOT NULL, qty int, u int"},
    {"drop table", "DROP TABLE $S", "SELECT 1"},
    {"drop and make anew", "DROP TABLE $S CASCADE; CREATE TABLE $S (id bigint PRIMARY KEY, name text NOT NULL, qty int CONSTRAINT small CHECK (qty < 1000), note varchar(20), u int UNIQUE)",
     "INSERT INTO $S VALUES (1, 'other')"},
    {"leave the publication", "ALTER PUBLICATION pgcarve_$P DROP TABLE $S"},
    {"drop the publication", "DROP PUBLICATION pgcarve_$P"},
    {"volatile default", "ALTER TABLE $S ADD COLUMN token uuid DEFAULT gen_random_uuid()"},
    {"check at the target", "", "INSERT INTO $S (id, name) VALUES (101, 'a very long name')", {}, {}, false, "ALTER TABLE $T ADD CONSTRAINT short CHECK (length(name) < 10) NOT VALID"},
    {"unique at the target", "", "INSERT INTO $S (id, name, qty) VALUES (101, 'n', 5)", {}, {}, false, "ALTER TABLE $T ADD CONSTRAINT two UNIQUE (qty)"},
    {"unique index at the target", "", "INSERT INTO $S (id, name, qty) VALUES (101, 'n', 5)", {}, {}, false, "CREATE UNIQUE INDEX ON $T (qty)"},
    {"not null at the target", "", "INSERT INTO $S (id, name) VALUES (101, 'n')", {}, {}, false, "ALTER TABLE $T ALTER COLUMN qty SET NOT NULL"},
    {"trigger at the target", "", {}, {}, {}, false,
     "CREATE FUNCTION public.spoil() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.name := ''spoilt''; RETURN NEW; END'; "
     "CREATE TRIGGER spoil BEFORE INSERT OR UPDATE ON $T FOR EACH ROW EXECUTE FUNCTION public.spoil()"},
    {"enable the target's triggers", "", {}, "the stream's own writes fire none of them; but they stay off until the cutover so that nothing else does", {}, false,
     "ALTER TABLE $T ENABLE TRIGGER USER"},
    {"rule at the target", "", {}, {}, {}, false, "CREATE RULE r AS ON INSERT TO $T DO INSTEAD NOTHING"},
    {"write to the target", "", {}, {}, {}, false, "UPDATE $T SET name = 'foreign' WHERE id = 7"},
    {"truncate the target", "", {}, {}, {}, false, "TRUNCATE $T"},
    {"drop not null", "ALTER TABLE $S ALTER COLUMN name DROP NOT NULL", "INSERT INTO $S (id, name) VALUES (101, NULL)"},
    {"drop not null, target first", "ALTER TABLE $S ALTER COLUMN name DROP NOT NULL", "INSERT INTO $S (id, name) VALUES (101, NULL)",
     "what was done in the other database cannot be seen in these files", {}, false, "ALTER TABLE $T ALTER COLUMN name DROP NOT NULL"},
    {"drop check", "ALTER TABLE $S DROP CONSTRAINT small", "INSERT INTO $S (id, name, qty) VALUES (101, 'n', 5000)"},
    {"drop unique", "ALTER TABLE $S DROP CONSTRAINT $s_u_key", "INSERT INTO $S (id, name, u) VALUES (101, 'n', 5)"},
    {"new partition", "CREATE TABLE $S_b PARTITION OF $S FOR VALUES FROM (1000) TO (2000)", "INSERT INTO $S (id, name, u) VALUES (1500, 'n', 1500)", {}, partitioned_columns, true},
    {"detach a partition", "ALTER TABLE $S DETACH PARTITION $S_a", "INSERT INTO $S_a (id, name, u) VALUES (500, 'n', 500)", {}, partitioned_columns, true},
};

sql::QName source_of(std::string const& table) { return {"public", table}; }

constexpr std::size_t at_once = 4; // syncs that run side by side, each with a target database that no other of them writes to

// The shared database with the tables of these cases; each in a service of its own, or all in one.
class Streams {
public:
    Streams(std::vector<DdlCase> const& cases, std::string prefix, bool apart)
        : cases_{cases}
        , prefix_{std::move(prefix)}
        , apart_{apart}
        , shared_{test::logical_server().create_database()}
        , own_{test::logical_server().create_database()} {
        while (apart_ && own_.size() < at_once)
            own_.push_back(test::logical_server().create_database());
        std::string services;
        std::string tables;
        for (std::size_t i = 0; i < cases_.size(); ++i) {
            auto one = cases_[i];
            if (one.columns.empty())
                one.columns = DdlCase{}.columns;
            one.columns = text(i, one.columns);
            auto const mood = one.columns.find("mood_") == std::string::npos ? std::string{} : text(i, "CREATE TYPE public.mood_$s AS ENUM ('good');\n");
            auto const index = one.ddl.find("_qty") == std::string::npos ? std::string{} : text(i, "CREATE UNIQUE INDEX $s_qty ON $S (qty);\n");
            schema_ += mood + test::created(one, source_of(table(i))) + index;
            own_schema_ += mood + test::created(one, target(i)); // what lint is told of the other database
            tables += fmt::format("{}\"{}\"", tables.empty() ? "" : ", ", table(i));
            if (apart_)
                services += section(i, "\"" + table(i) + "\"");
        }
        EXPECT_EQ(test::ran(shared_, schema_), "");
        carving_.emplace(test::logical_server(), shared_, apart_ ? services : section(0, tables));
        carving_->expect(0, "init --yes");
    }

    [[nodiscard]] std::string table(std::size_t i) const { return fmt::format("{}{}", prefix_, i); }
    [[nodiscard]] std::string service(std::size_t i) const { return apart_ ? fmt::format("s{}", i) : "shop"; }
    [[nodiscard]] sql::QName target(std::size_t i) const { return {"store_" + service(i), table(i)}; }
    [[nodiscard]] std::string const& own(std::size_t i) const { return own_[i % own_.size()]; }
    [[nodiscard]] Carving const& carving() const { return *carving_; }
    [[nodiscard]] std::string text(std::size_t i, std::string const& sql) const { return test::filled(sql, source_of(table(i)), target(i), service(i)); }

    // What stands in the way of the change, or of the application's writes after it.
    [[nodiscard]] std::string change(std::size_t i) const {
        auto const& one = cases_[i];
        for (auto const& [database, sql] : {std::pair{own(i), one.own_ddl}, std::pair{shared_, one.ddl}}) {
            if (auto const broken = sql.empty() ? std::string{} : test::ran(database, text(i, sql)); !broken.empty())
                return broken;
        }
        return test::ran(shared_, text(i, one.write.empty() ? test::usual_writes : one.write));
    }
    [[nodiscard]] bool equal(std::size_t i) const {
        auto const only_there = cases_[i].ddl.empty() && cases_[i].name.starts_with("add column") ? "kind" : ""; // which nothing fills
        return test::rows_of(shared_, source_of(table(i))) == test::rows_of(own(i), target(i), only_there);
    }
    [[nodiscard]] test::Judged judge(model::SyncState const& state, std::size_t i) const {
        auto const& one = cases_[i];
        return one.ddl.empty() ? test::judge(state, text(i, one.own_ddl), own_schema_, service(i)) : test::judge(state, text(i, one.ddl), schema_);
    }
    [[nodiscard]] model::SyncState state() const { return lint::parse_sync_state(carving_->expect(0, "status --format json").out); }

private:
    [[nodiscard]] std::string section(std::size_t i, std::string const& tables) const {
        return fmt::format("[service.{0}]\nschema = \"{0}\"\ntables = [{1}]\n[service.{0}.database]\ndsn = \"{2}\"\nschema = \"store_{0}\"\n", service(i), tables,
                           test::logical_server().dsn(own(i)));
    }

    std::vector<DdlCase> const& cases_;
    std::string prefix_;
    bool apart_;
    std::string shared_;
    std::vector<std::string> own_;
    std::string schema_;
    std::string own_schema_;
    std::optional<Carving> carving_;
};

TEST(LintStream, WhatPassesRunsUnderOneSync) {
    Streams const streams{kept, "k", false};
    streams.carving().expect(0, "sync shop --yes --until-caught-up");
    auto const state = streams.state();
    ASSERT_FALSE(state.tables.empty());
    test::Process sync{streams.carving().command("sync shop --yes")};
    // It follows when this arrives, so what is changed from here on is changed under it.
    streams.carving().sql(streams.text(0, "INSERT INTO $S (id, name) VALUES (50, 'first')"));
    ASSERT_TRUE(test::wait_until([&] { return streams.equal(0) || sync.ended(); }, base::Millis{60'000}));
    std::set<std::string> proven;
    std::vector<std::string> broken;
    for (std::size_t i = 0; i < kept.size(); ++i)
        broken.push_back(streams.change(i));
    for (std::size_t i = 0; i < kept.size(); ++i) {
        if (broken[i].empty() && !test::wait_until([&] { return streams.equal(i) || sync.ended(); }, base::Millis{60'000}))
            broken[i] = "rows differ";
        if (sync.ended())
            broken[i] += "the stream stopped: " + sync.text("err");
        auto const judged = streams.judge(state, i);
        EXPECT_EQ(judged.text, "") << kept[i].name;
        test::expect_right(kept[i], judged, broken[i], proven);
        if (sync.ended())
            break;
    }
    if (!sync.ended())
        sync.signal(SIGTERM);
    EXPECT_EQ(sync.wait().exit, 0);
}

TEST(LintStream, WhatIsRefusedBreaks) {
    Streams const streams{refused, "r", true};
    auto const each = [&](auto const& work) {
        std::vector<std::jthread> workers;
        for (std::size_t first = 0; first < at_once; ++first)
            workers.emplace_back([&work, first] {
                for (auto i = first; i < refused.size(); i += at_once)
                    work(i);
            });
    };
    each([&](std::size_t i) { streams.carving().expect(0, "sync " + streams.service(i) + " --yes --until-caught-up"); });
    auto const state = streams.state();
    ASSERT_GE(state.tables.size(), refused.size());
    std::vector<std::string> broken(refused.size());
    for (std::size_t i = 0; i < refused.size(); ++i)
        broken[i] = streams.change(i);
    each([&](std::size_t i) {
        if (!broken[i].empty())
            return;
        auto const sync = streams.carving().run("sync " + streams.service(i) + " --yes --until-caught-up");
        if (sync.exit != 0)
            broken[i] = "the stream stops: " + sync.err;
        else if (!streams.equal(i))
            broken[i] = "rows differ";
    });
    std::set<std::string> proven;
    for (std::size_t i = 0; i < refused.size(); ++i) {
        auto const judged = streams.judge(state, i);
        EXPECT_NE(judged.text, "") << refused[i].name << ": lint lets it pass, and " << broken[i];
        test::expect_right(refused[i], judged, broken[i], proven);
    }
    EXPECT_EQ(proven, (std::set<std::string>{"S01", "S02", "S03", "S04", "S05", "S06", "S07", "S08", "S09", "S10", "S11", "S12"}));
    // What keeps all of them in step.
    EXPECT_NE(test::judge(state, "DROP SCHEMA pgcarve CASCADE", "").text, "");
    streams.carving().sql("DROP SCHEMA pgcarve CASCADE");
    EXPECT_NE(streams.carving().run("sync s0 --yes --until-caught-up").exit, 0);
}

} // namespace
