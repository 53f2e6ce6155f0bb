// Goal: a target database prepared by an ordinary role has the service's tables as the source has them, a second plan is
// empty wherever the first was interrupted, and what stands in the way is refused. Method: two databases of one server;
// pg_dump of both sides is compared as text; each refusal has a target that provokes it.
#include <algorithm>
#include <regex>
#include <sstream>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include "catalog/foundation.hpp"
#include "catalog/reader.hpp"
#include "ddl/target.hpp"
#include "support/server.hpp"

namespace {

using namespace pgcarve;
using Lines = std::vector<std::string>;

std::string joined(Lines const& lines) { return fmt::format("{}", fmt::join(lines, "\n")); }

Lines refusals(std::vector<model::Notice> const& notices) {
    Lines out;
    for (auto const& n : notices) {
        if (n.refuses)
            out.push_back(n.object + ": " + n.text);
    }
    return out;
}

class World {
public:
    std::string from;
    std::string to;
    pg::Session here;
    pg::Session there;
    model::Catalog source;
    model::Foundation foundation;
    ddl::Pairs pairs;
    std::string schema;

    World(Lines const& files, std::string const& role, std::string target_schema)
        : from{test::Server::shared().create_database("app")}, to{test::Server::shared().create_database(role)},
          here{prepare(files)}, there{test::Server::shared().connect(to, role)}, schema{std::move(target_schema)} {
        read_source();
    }

    void read_source() {
        source = catalog::read_catalog(here);
        pairs.clear();
        std::vector<base::Oid> oids;
        for (auto const& t : source.tables) {
            if (t.partition_of)
                continue;
            pairs.push_back(ddl::make_pair(t, schema));
            oids.push_back(t.oid);
            for (auto const* const part : source.partitions(t)) {
                pairs.push_back(ddl::make_pair(*part, schema));
                oids.push_back(part->oid);
            }
        }
        foundation = catalog::read_foundation(here, oids);
    }

    ddl::TargetPlan plan(ddl::FoundationOptions const& options = {}) {
        return ddl::plan_target(source, foundation, catalog::read_catalog(there), catalog::read_foundation_like(there, foundation), pairs, schema,
                                options);
    }

    void run(std::vector<model::Step> const& steps) {
        for (auto const& step : steps) {
            pg::Transaction transaction{there};
            for (auto const& statement : step.sql) {
                try {
                    there.run(statement);
                } catch (base::Error const& e) {
                    throw std::runtime_error{step.id + "\n" + statement + "\n" + e.what()};
                }
            }
            transaction.commit();
        }
    }

    // The plan's steps, one at a time, each from a plan of its own, as after a kill at every step.
    void run_piecewise() {
        for (int i = 0; i < 1000; ++i) {
            auto const p = plan();
            ASSERT_EQ(joined(refusals(p.notices)), "");
            auto const& steps = p.pre_load.empty() ? p.post_load : p.pre_load;
            if (steps.empty())
                return;
            run({steps.front()});
        }
        FAIL() << "the plan never becomes empty";
    }

    Lines ids() {
        auto const p = plan();
        Lines out;
        for (auto const* const steps : {&p.pre_load, &p.post_load}) {
            for (auto const& step : *steps)
                out.push_back(step.id + ": " + joined(step.sql));
        }
        return out;
    }

    // pg_dump of the tables, each statement a line, sorted. Left out: foreign keys, the state of triggers, rights that
    // owners have taken from themselves (REVOKE and GRANT that name `owner`).
    Lines dump(std::string const& database, bool target) {
        auto& server = test::Server::shared();
        std::string tables;
        for (auto const& pair : pairs) {
            auto const name = (target ? pair.target : pair.source).quoted();
            tables += " -t '" + std::regex_replace(name, std::regex{"'"}, R"('\'')") + "'";
        }
        auto const out = test::run_command(fmt::format("pg_dump --schema-only --no-publications -d '{}' {}", server.dsn(database), tables));
        if (out.exit != 0)
            throw std::runtime_error{out.err};
        Lines statements;
        std::string statement;
        std::istringstream in{out.out};
        for (std::string line; std::getline(in, line);) {
            if (line.starts_with("--") || line.starts_with("SET ") || line.starts_with("SELECT pg_catalog.set_config") || line.starts_with("\\"))
                continue;
            statement += line + "\n";
            if (!line.ends_with(";"))
                continue;
            statement = statement.substr(statement.find_first_not_of('\n'));
            bool const out_of_scope = statement.find("FOREIGN KEY") != std::string::npos || statement.find("ABLE TRIGGER") != std::string::npos ||
                                      statement.find("ENABLE ALWAYS TRIGGER") != std::string::npos || statement.ends_with("FROM app;\n") ||
                                      statement.ends_with("TO app;\n") ||
                                      statement.starts_with("COMMENT ON CONSTRAINT to_customers");
            if (target) {
                statement = std::regex_replace(statement, std::regex{"\\bsvc\\."}, "shop.");
                statement = std::regex_replace(statement, std::regex{"'svc\\."}, "'shop.");
            }
            // A cast of an array reads otherwise when it has been read again.
            statement = std::regex_replace(statement, std::regex{R"(\(ARRAY\[([^\]]*)\]\)::text\[\])"}, "ARRAY[$1]");
            statement = std::regex_replace(statement, std::regex{R"(\(('(?:[^']|'')*'::character varying)\)::text)"}, "$1");
            if (!out_of_scope)
                statements.push_back(statement);
            statement.clear();
        }
        std::ranges::sort(statements);
        return statements;
    }

private:
    pg::Session prepare(Lines const& files) {
        auto& server = test::Server::shared();
        auto admin = server.connect(from);
        for (auto const* const role : {"reader", "\"Odd Role\"", "nosy", "carver"})
            admin.run(fmt::format("DO $$ BEGIN CREATE ROLE {} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$", role));
        admin.run("GRANT app TO carver");
        auto own = server.connect(from, "app");
        for (auto const& file : files)
            server.load(from, std::string{PGCARVE_SOURCE_DIR} + "/tests/pg/" + file, "app");
        return own;
    }
};

void hostile(World& world) {
    world.here.run("ALTER TABLE shop.\"Ord.er \"\"x\"\"\" NO FORCE ROW LEVEL SECURITY"); // an ordinary role could not look past it
    world.there.run("ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO nosy");
    world.there.run("ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO nosy");
    world.there.run("CREATE SCHEMA shop");
    if (world.schema != "shop") // it writes to shop.audit_log, which has another name there
        world.there.run("CREATE FUNCTION shop.audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$");
    world.read_source();
}

void expect_equal_dumps(World& world) {
    auto const tool = test::run_command("pg_dump --version | sed 's/[^0-9]*//; s/[.].*//'");
    if (std::stoi(tool.out) < test::Server::shared().version())
        GTEST_SKIP() << "pg_dump is older than the server, which it refuses";
    auto const source = world.dump(world.from, false);
    auto const target = world.dump(world.to, true);
    ASSERT_GT(source.size(), 50U);
    Lines only_here;
    Lines only_there;
    std::ranges::set_difference(source, target, std::back_inserter(only_here));
    std::ranges::set_difference(target, source, std::back_inserter(only_there));
    EXPECT_EQ("source only:\n" + joined(only_here), "source only:\n");
    EXPECT_EQ("target only:\n" + joined(only_there), "target only:\n");
}

TEST(Target, HasWhatTheSourceHas) {
    World world{{"torture.sql", "ddl/target.sql"}, "app", "svc"};
    hostile(world);
    auto const plan = world.plan();
    ASSERT_EQ(joined(refusals(plan.notices)), "");
    EXPECT_TRUE(plan.existing.empty());
    world.run(plan.pre_load);
    world.run(plan.post_load);
    EXPECT_EQ(joined(world.ids()), "");
    EXPECT_EQ(world.plan().existing.size(), world.pairs.size());
    expect_equal_dumps(world);

    auto const target = catalog::read_catalog(world.there);
    for (auto const& pair : world.pairs) {
        for (auto const& trigger : target.find(pair.target)->triggers)
            EXPECT_EQ(trigger.enabled, 'D') << pair.target.display() << " " << trigger.name;
    }
    // And what they stand on: once more the target's catalog, read as a source.
    std::vector<base::Oid> oids;
    for (auto const& pair : world.pairs)
        oids.push_back(target.find(pair.target)->oid);
    auto const again = catalog::read_foundation(world.there, oids);
    EXPECT_EQ(again.functions.size(), world.foundation.functions.size());
    EXPECT_EQ(again.enums.size(), 2U);
    EXPECT_EQ(again.domains.size(), 5U);
    EXPECT_EQ(again.composites.size(), 2U);
    EXPECT_EQ(again.ranges.size(), 2U);
    EXPECT_EQ(again.sequences.size(), 2U);
    EXPECT_EQ(again.configurations.size(), 1U);
    EXPECT_EQ(joined(refusals(ddl::foundation_notices(world.foundation, again, {}))).find("differs"), std::string::npos);
}

TEST(Target, IsReachedFromEveryStep) {
    World world{{"torture.sql", "ddl/target.sql"}, "app", "svc"};
    hostile(world);
    world.run_piecewise();
    expect_equal_dumps(world);
}

TEST(Target, CanBeMadeByAMemberOfTheOwnerAndUnderTheSameName) {
    World world{{"torture.sql", "ddl/target.sql"}, "carver", "shop"};
    hostile(world);
    auto const plan = world.plan();
    ASSERT_EQ(joined(refusals(plan.notices)), "");
    world.run(plan.pre_load);
    world.run(plan.post_load);
    EXPECT_EQ(joined(world.ids()), "");
    EXPECT_EQ(catalog::read_catalog(world.there).find(sql::QName{"shop", "customers"})->owner, "app");
    expect_equal_dumps(world);
}

TEST(Target, TakesAuthority) {
    World world{{"torture.sql", "ddl/target.sql"}, "app", "svc"};
    hostile(world);
    auto const plan = world.plan();
    world.run(plan.pre_load);
    world.run(plan.post_load);
    auto const keys = ddl::foreign_key_steps(world.source, catalog::read_catalog(world.there), world.pairs);
    ASSERT_FALSE(keys.add_each.empty());
    world.run(keys.add_each);
    auto const half = ddl::foreign_key_steps(world.source, catalog::read_catalog(world.there), world.pairs);
    EXPECT_TRUE(half.add_each.empty());
    world.run(half.validate);
    auto const done = ddl::foreign_key_steps(world.source, catalog::read_catalog(world.there), world.pairs);
    EXPECT_TRUE(done.add_each.empty());
    EXPECT_TRUE(done.validate.empty());
    EXPECT_EQ(joined(world.ids()), "") << "keys are no difference";

    for (auto const& statement : ddl::arm_triggers(world.source, world.pairs, true))
        world.there.run(statement);
    auto const armed = catalog::read_catalog(world.there);
    for (auto const& pair : world.pairs) {
        auto const& a = world.source.find(pair.source)->triggers;
        auto const& b = armed.find(pair.target)->triggers;
        ASSERT_EQ(a.size(), b.size());
        for (std::size_t i = 0; i < a.size(); ++i)
            EXPECT_EQ(a[i].enabled, b[i].enabled) << pair.target.display() << " " << a[i].name;
    }
    for (auto const& statement : ddl::disarm_triggers(armed, world.pairs, true))
        world.there.run(statement);
    EXPECT_EQ(joined(world.ids()), "");
}

TEST(Target, SequencesGoOn) {
    World world{{"torture.sql", "ddl/target.sql"}, "app", "svc"};
    hostile(world);
    auto const plan = world.plan();
    world.run(plan.pre_load);
    auto const handovers = ddl::sequence_handovers(world.source, world.foundation, world.pairs);
    EXPECT_EQ(handovers.size(), 7U); // audit_log, customers, Ord.er "x", events, Dinge"!; shared_seq, numbers
    world.here.run("SELECT nextval('shop.\"Dinge\"\"!_id_seq\"')");
    world.here.run("SELECT nextval('shop.\"Dinge\"\"!_id_seq\"')");
    for (auto const& pair : handovers) {
        auto const row = world.here.one(ddl::read_sequence(pair.source));
        ddl::SequenceState const state{row.integer("value"), row.boolean("called"), row.integer("increment"), row.integer("minimum"),
                                       row.integer("maximum")};
        world.there.query(ddl::write_sequence(pair.target, state));
    }
    EXPECT_EQ(world.there.one(sql::Sql{"SELECT nextval('svc.\"Dinge\"\"!_id_seq\"')"}).integer(0), 3);
    EXPECT_EQ(world.there.one(sql::Sql{"SELECT nextval('svc.customer_numbers')"}).integer(0), 100) << "never used: begins where it begins";
    EXPECT_EQ(world.there.one(sql::Sql{"SELECT nextval('\"Büro \"\"1\"\"\".numbers')"}).integer(0), 10);
}

TEST(Target, SaysWhetherATableIsEmpty) {
    World world{{"torture.sql"}, "app", "svc"};
    world.there.run("CREATE SCHEMA svc");
    world.there.run("CREATE TABLE svc.t (a int)");
    EXPECT_TRUE(world.there.one(ddl::is_empty_statement({"svc", "t"})).boolean("empty"));
    world.there.run("INSERT INTO svc.t VALUES (1)");
    EXPECT_FALSE(world.there.one(ddl::is_empty_statement({"svc", "t"})).boolean("empty"));
}

TEST(Target, ANewPartitionFollows) {
    World world{{"torture.sql", "ddl/target.sql"}, "app", "svc"};
    hostile(world);
    auto plan = world.plan();
    world.run(plan.pre_load);
    world.run(plan.post_load);
    world.here.run("CREATE TABLE shop.events_2026 PARTITION OF shop.events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01') PARTITION BY LIST (region)");
    world.here.run("CREATE TABLE shop.events_2026_rest PARTITION OF shop.events_2026 DEFAULT");
    world.read_source();
    plan = world.plan();
    ASSERT_EQ(joined(refusals(plan.notices)), "");
    ASSERT_EQ(plan.pre_load.size(), 1U);
    EXPECT_EQ(plan.pre_load[0].id, "partition:events_2026");
    world.run(plan.pre_load);
    world.run(world.plan().post_load);
    EXPECT_EQ(joined(world.ids()), "");
    expect_equal_dumps(world);
}

// One source of a few objects, and a target that has something else under one of their names.
struct Conflict {
    World world{{}, "app", "svc"};

    Conflict() {
        world.here.run("CREATE SCHEMA shop");
        world.here.run("CREATE TYPE shop.color AS ENUM ('a', 'b')");
        world.here.run("CREATE DOMAIN shop.small AS int CHECK (VALUE < 5)");
        world.here.run("CREATE TYPE shop.pair AS (a int, b text)");
        world.here.run("CREATE TYPE shop.span AS RANGE (SUBTYPE = int8)");
        world.here.run("CREATE COLLATION shop.coll (provider = libc, locale = 'C')");
        world.here.run("CREATE SEQUENCE shop.numbers INCREMENT 3");
        world.here.run("CREATE FUNCTION shop.f(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1'");
        world.here.run("CREATE TEXT SEARCH CONFIGURATION shop.words (PARSER = pg_catalog.\"default\")");
        world.here.run("CREATE TABLE shop.t (id int PRIMARY KEY DEFAULT nextval('shop.numbers'), c shop.color, d shop.small, p shop.pair,"
                       " s shop.span, n text COLLATE shop.coll, g int GENERATED ALWAYS AS (shop.f(3)) STORED, CONSTRAINT positive CHECK (id > 0))");
        world.here.run("CREATE INDEX words ON shop.t USING gin (to_tsvector('shop.words', n))");
        world.read_source();
        world.there.run("CREATE SCHEMA shop");
    }
    // What is refused when the target has run `statements`.
    std::string refused(Lines const& statements, ddl::FoundationOptions const& options = {}) {
        for (auto const& statement : statements)
            world.there.run(statement);
        return joined(refusals(world.plan(options).notices));
    }
    // When everything is there and then `statements` are run.
    std::string after(Lines const& statements) {
        auto const plan = world.plan();
        world.run(plan.pre_load);
        world.run(plan.post_load);
        return refused(statements);
    }
};

TEST(Refusals, OfTheFoundation) {
    EXPECT_EQ(Conflict{}.refused({}), "");
    EXPECT_EQ(Conflict{}.refused({"CREATE TYPE shop.color AS ENUM ('a', 'c')"}),
              "type shop.color: has the labels 'a', 'b' at the source and 'a', 'c' at the target");
    EXPECT_EQ(Conflict{}.refused({"CREATE DOMAIN shop.small AS int CHECK (VALUE < 6)"}),
              "type shop.small: has the check small_check CHECK ((VALUE < 5)) at the source and CHECK ((VALUE < 6)) at the target");
    EXPECT_EQ(Conflict{}.refused({"CREATE DOMAIN shop.small AS bigint NOT NULL"}),
              "type shop.small: has the base type integer at the source and bigint at the target\n"
              "type shop.small: has the NULL rule NULL at the source and NOT NULL at the target\n"
              "type shop.small: has the check small_check CHECK ((VALUE < 5)) at the source and none at the target");
    EXPECT_EQ(Conflict{}.refused({"CREATE TYPE shop.pair AS (a int, b varchar)"}),
              "type shop.pair: has the attributes (a integer, b text) at the source and (a integer, b character varying) at the target");
    EXPECT_NE(Conflict{}.refused({"CREATE TYPE shop.span AS RANGE (SUBTYPE = int4)"}).find("type shop.span: has the definition bigint"), std::string::npos);
    EXPECT_NE(Conflict{}.refused({"CREATE COLLATION shop.coll (provider = icu, locale = 'de')"}).find("collation shop.coll: has the definition provider c"),
              std::string::npos);
    EXPECT_NE(Conflict{}.refused({"CREATE SEQUENCE shop.numbers"}).find("sequence shop.numbers: has the definition bigint start 1 increment 3"),
              std::string::npos);
    EXPECT_EQ(Conflict{}.refused({"CREATE FUNCTION shop.f(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 + 1'"}),
              "function shop.f(integer): differs: line 5: “AS $function$SELECT $1$function$” at the source, “AS $function$SELECT $1 + 1$function$” at the "
              "target");
    EXPECT_NE(Conflict{}.refused({"CREATE TEXT SEARCH CONFIGURATION shop.words (COPY = pg_catalog.simple)"}).find("text search configuration shop.words"),
              std::string::npos);
}

TEST(Refusals, OfATableThatIsThere) {
    EXPECT_EQ(Conflict{}.after({}), "");
    auto const table = [](std::string const& text) { return "svc.t: exists at the target: " + text; };
    EXPECT_EQ(Conflict{}.after({"ALTER TABLE svc.t DROP COLUMN p"}), table("column p shop.pair was added at the source"));
    auto const begins = [&](Lines const& statements, std::string const& text) {
        auto const all = Conflict{}.after(statements);
        EXPECT_NE(all.find(table(text)), std::string::npos) << all;
    };
    begins({"ALTER TABLE svc.t ALTER n TYPE varchar(5) COLLATE \"C\""},
           "column n changed its type from character varying(5) COLLATE pg_catalog.\"C\" to text COLLATE shop.coll at the source");
    EXPECT_EQ(Conflict{}.after({"ALTER TABLE svc.t ALTER c SET NOT NULL"}), table("column c now takes NULL at the source"));
    EXPECT_EQ(Conflict{}.after({"ALTER TABLE svc.t ALTER id SET DEFAULT 5"}),
              table("the default of id is nextval('shop.numbers'::regclass) at the source and 5 there"));
    begins({"ALTER TABLE svc.t DROP CONSTRAINT t_pkey", "ALTER TABLE svc.t ADD CONSTRAINT t_pkey PRIMARY KEY (id, g)"},
           "constraint t_pkey is PRIMARY KEY (id) at the source and PRIMARY KEY (id, g) there");
    EXPECT_EQ(Conflict{}.after({"ALTER TABLE svc.t ADD CHECK (g > 0)"}), table("it has the constraint t_g_check CHECK ((g > 0)), which the source has not"));
    EXPECT_EQ(Conflict{}.after({"CREATE UNIQUE INDEX only_there ON svc.t (c)"}), table("it has the unique index only_there, which the source has not"));
    EXPECT_EQ(Conflict{}.after({"CREATE RULE r AS ON DELETE TO svc.t DO INSTEAD NOTHING"}), table("has the rule r at the target"));
    EXPECT_EQ(Conflict{}.after({"CREATE TRIGGER own BEFORE UPDATE ON svc.t FOR EACH ROW EXECUTE FUNCTION pg_catalog.suppress_redundant_updates_trigger()"}),
              table("it has the trigger own, which the source has not"));
    EXPECT_EQ(Conflict{}.after({"CREATE POLICY p ON svc.t"}), table("it has the policy p, which the source has not"));
    EXPECT_EQ(Conflict{}.after({"ALTER TABLE svc.t SET UNLOGGED"}), table("the persistence is p at the source and u there"));
}

TEST(Refusals, WhatIsMissingIsMadeAgain) {
    Conflict c;
    EXPECT_EQ(c.after({"ALTER TABLE svc.t DROP CONSTRAINT t_pkey", "ALTER TABLE svc.t DROP CONSTRAINT positive", "DROP INDEX svc.words"}), "");
    auto const plan = c.world.plan();
    Lines ids;
    for (auto const* const steps : {&plan.pre_load, &plan.post_load}) {
        for (auto const& step : *steps)
            ids.push_back(step.id);
    }
    EXPECT_EQ(joined(ids), "check:t.positive\nkey:t.t_pkey\nindex:t.words");
    c.world.run(plan.pre_load);
    c.world.run(plan.post_load);
    EXPECT_EQ(joined(c.world.ids()), "");
}

TEST(Refusals, OfNames) {
    EXPECT_EQ(Conflict{}.refused({"CREATE SCHEMA svc", "CREATE VIEW svc.t AS SELECT 1"}),
              "svc.t: is the name of the table svc.t, and taken at the target");
    EXPECT_EQ(Conflict{}.refused({"CREATE SCHEMA svc", "CREATE SEQUENCE svc.words"}),
              "svc.words: is the name of index words of svc.t, and taken at the target");
}

TEST(Refusals, OfRights) {
    Conflict c;
    auto admin = test::Server::shared().connect(c.world.to);
    admin.run("REVOKE CREATE ON DATABASE " + sql::quote_ident(c.world.to) + " FROM app");
    admin.run("CREATE SCHEMA svc");
    admin.run("ALTER DATABASE " + sql::quote_ident(c.world.to) + " OWNER TO postgres");
    EXPECT_EQ(c.refused({}), "schema svc: exists at the target, but app may not create tables in it");
    admin.run("DROP SCHEMA svc");
    EXPECT_EQ(c.refused({}), "schema svc: is missing at the target, where the role may not create schemas");
    admin.run("ALTER SCHEMA shop OWNER TO postgres");
    EXPECT_NE(c.refused({}).find("type shop.color: is missing at the target, where the role may not create in schema shop"), std::string::npos);
    // An extension which only a superuser creates.
    auto source_admin = test::Server::shared().connect(c.world.from);
    source_admin.run("CREATE EXTENSION pageinspect SCHEMA shop");
    source_admin.run("CREATE EXTENSION citext SCHEMA shop");
    c.world.here.run("CREATE TABLE shop.u (id shop.citext PRIMARY KEY, p bytea CHECK ((shop.page_header(p)).lsn IS NOT NULL))");
    c.world.read_source();
    auto const text = c.refused({});
    EXPECT_NE(text.find("extension pageinspect: is missing at the target, and the role may not create it"), std::string::npos) << text;
    EXPECT_NE(text.find("extension citext: is missing at the target, and the role may not create it"), std::string::npos) << text;
}

TEST(Refusals, OfWhatStaysBehind) {
    Conflict c;
    auto& here = c.world.here;
    auto admin = test::Server::shared().connect(c.world.from);
    here.run("CREATE TABLE shop.elsewhere (id int PRIMARY KEY)");
    here.run("CREATE FUNCTION shop.notes() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO elsewhere VALUES (1); RETURN NULL; END $$");
    here.run("CREATE TRIGGER notes AFTER INSERT ON shop.t FOR EACH ROW EXECUTE FUNCTION shop.notes()");
    here.run("CREATE POLICY looks ON shop.t USING (EXISTS (SELECT FROM shop.elsewhere))");
    here.run("CREATE FUNCTION shop.eq(int, int) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT $1 = $2'");
    here.run("CREATE OPERATOR shop.=== (LEFTARG = int, RIGHTARG = int, FUNCTION = shop.eq)");
    here.run("ALTER TABLE shop.t ADD CONSTRAINT by_operator CHECK (id OPERATOR(shop.===) id)");
    admin.run("DO $$ BEGIN CREATE ROLE gone_later; EXCEPTION WHEN duplicate_object THEN NULL; END $$");
    here.run("CREATE POLICY of_role ON shop.t TO gone_later");
    c.world.read_source();
    std::vector<base::Oid> oids;
    std::erase_if(c.world.pairs, [](model::TablePair const& p) { return p.source.name == "elsewhere"; });
    for (auto const& pair : c.world.pairs)
        oids.push_back(c.world.source.find(pair.source)->oid);
    c.world.foundation = catalog::read_foundation(here, oids);
    auto target = catalog::read_catalog(c.world.there);
    std::erase(target.roles, "gone_later");
    auto const there = catalog::read_foundation_like(c.world.there, c.world.foundation);
    auto const text = joined(refusals(ddl::plan_target(c.world.source, c.world.foundation, target, there, c.world.pairs, "svc").notices));
    EXPECT_NE(text.find("function shop.notes(): names shop.elsewhere, which the target will not have"), std::string::npos) << text;
    EXPECT_NE(text.find("table shop.elsewhere: is needed by policy looks on table shop.t"), std::string::npos) << text;
    EXPECT_NE(text.find("operator shop.===(integer,integer): is needed by constraint by_operator"), std::string::npos) << text;
    EXPECT_NE(text.find("svc.t: policy of_role is for the role gone_later, which the target does not have"), std::string::npos) << text;

    // The ways out: a function of one's own at the target, or the option.
    auto const of_notes = [&](ddl::FoundationOptions const& options) {
        auto const now = catalog::read_foundation_like(c.world.there, c.world.foundation);
        return joined(refusals(ddl::plan_target(c.world.source, c.world.foundation, target, now, c.world.pairs, "svc", options).notices))
            .find("shop.notes()");
    };
    EXPECT_EQ(of_notes({.mentions_refuse = false}), std::string::npos);
    c.world.there.run("CREATE FUNCTION shop.notes() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$");
    EXPECT_EQ(of_notes({}), std::string::npos);
}

TEST(Target, RightsOfRolesThatAreMissingAreNamed) {
    Conflict c;
    c.world.here.run("GRANT SELECT ON shop.t TO reader");
    c.world.here.run("GRANT SELECT (d) ON shop.t TO nosy");
    c.world.read_source();
    auto target = catalog::read_catalog(c.world.there);
    std::erase(target.roles, "reader");
    auto const there = catalog::read_foundation_like(c.world.there, c.world.foundation);
    auto const plan = ddl::plan_target(c.world.source, c.world.foundation, target, there, c.world.pairs, "svc");
    EXPECT_TRUE(std::ranges::any_of(plan.notices, [](model::Notice const& n) {
        return !n.refuses && n.object == "role reader" && n.text == "does not exist at the target, so its rights are left out";
    }));
    c.world.run(plan.pre_load);
    c.world.run(plan.post_load);
    auto const after = catalog::read_catalog(c.world.there);
    auto const& made = *after.find(sql::QName{"svc", "t"});
    EXPECT_TRUE(std::ranges::none_of(made.grants, [](model::Grant const& g) { return g.grantee == "reader"; }));
    EXPECT_EQ(made.column("d")->grants.size(), 1U);
}

} // namespace
