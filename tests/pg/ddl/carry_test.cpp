// Goal: a carried table is equal to its source in everything but the schema, also for an ordinary role, and the
// switch's statements bring triggers and foreign keys over. Method: a schema with every feature is carried, then both
// sides are read back and compared as text.
#include <algorithm>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include "catalog/reader.hpp"
#include "ddl/carry.hpp"
#include "ddl/keys.hpp"
#include "ddl/signature.hpp"
#include "ddl/text.hpp"
#include "support/server.hpp"

namespace {

using namespace pgcarve;
using Lines = std::vector<std::string>;

std::string without(std::string text, std::string const& word) {
    for (auto at = text.find(word); at != std::string::npos; at = text.find(word, at))
        text.replace(at, word.size(), "");
    return text;
}
// Definitions of both sides, without the schema's name.
std::string bare(std::string const& text) { return without(without(text, "svc."), "shop."); }
std::string maybe(std::optional<std::string> const& text) { return text ? bare(*text) : "-"; }

std::string grants(std::vector<model::Grant> list) {
    std::string out;
    std::ranges::sort(list);
    for (auto const& g : list)
        out += fmt::format(" {}:{}{}", g.grantee, g.privilege, g.grantable ? "*" : "");
    return out;
}

// Everything about a table except oids, column numbers and sizes.
Lines portrait(model::Catalog const& catalog, model::Table const& t, bool const shared_sequences = true) {
    Lines lines;
    auto const add = [&](std::string text) { lines.push_back(std::move(text)); };
    add(fmt::format("{} {} {} {} am={} ts={} options={} toast={} rls={}{} identity={} comment={} key={} of={} bound={}", t.name.name, t.kind,
                    t.persistence, t.owner, maybe(t.access_method), maybe(t.tablespace), t.options, t.toast_options, t.row_security,
                    t.force_row_security, t.replica_identity, maybe(t.comment), maybe(t.partition_key),
                    t.partition_of ? t.partition_of->name : "-", maybe(t.partition_bound)));
    add("grants" + grants(t.grants));
    for (auto const& c : t.columns) {
        add(fmt::format("column {} {} {} {} default={} {}/{} {} {} {} {}{} comment={}{}", c.name, bare(c.type), c.type_kind, c.not_null,
                        shared_sequences && c.default_expr ? *c.default_expr : "-", c.identity, c.generated, maybe(c.collation),
                        c.statistics_target.value_or(-1), c.options, c.storage, c.compression, maybe(c.comment), grants(c.grants)));
        auto const* const s = c.identity != 0 && c.owned_sequence ? catalog.sequence(*c.owned_sequence) : nullptr;
        if (s != nullptr)
            add(fmt::format("sequence {} {} {} {} {} {} {} {} {} {}{}", s->name.name, s->owner, s->type, s->start, s->increment, s->minimum,
                            s->maximum, s->cache, s->cycle, s->owned_by_column, grants(s->grants)));
    }
    for (auto const& c : t.constraints)
        add(fmt::format("constraint {} {} {} {}{}{}{} comment={}", c.name, c.type, bare(c.definition), c.deferrable, c.deferred, c.validated,
                        c.inherited, maybe(c.comment)));
    for (auto const& i : t.indexes)
        add(fmt::format("index {} {} {}{}{}{}{}{} parent={} constraint={} {} ts={} {} comment={}", i.name, bare(i.definition), i.unique, i.primary,
                        i.valid, i.immediate, i.clustered, i.replica_identity, maybe(i.parent), maybe(i.constraint), i.options,
                        maybe(i.tablespace), i.statistics, maybe(i.comment)));
    for (auto const& g : t.triggers)
        add(fmt::format("trigger {} {} {} inherited={} comment={}", g.name, bare(g.definition), g.enabled, g.inherited, maybe(g.comment)));
    for (auto const& p : t.policies)
        add(fmt::format("policy {} {} {} {} {} {} comment={}", p.name, p.permissive, p.command, p.roles, maybe(p.using_expr), maybe(p.check_expr),
                        maybe(p.comment)));
    for (auto const& s : t.statistics)
        add(fmt::format("statistics {} {} {} {} comment={}", s.name.name, s.owner, bare(s.definition), s.target.value_or(-1), maybe(s.comment)));
    return lines;
}

std::string text(Lines const& lines) { return fmt::format("{}", fmt::join(lines, "\n")); }

Lines of_kind(Lines lines, std::string const& kind, bool keep) {
    std::erase_if(lines, [&](std::string const& line) { return line.starts_with(kind) != keep; });
    return lines;
}

struct World {
    std::string database;
    pg::Session session;
    model::Catalog catalog;
    ddl::Pairs pairs;

    // Loads the schema that has everything. `operator_role` carries it; the tables belong to app.
    explicit World(std::string const& operator_role)
        : database{test::Server::shared().create_database("app")}, session{prepare(operator_role)}, catalog{catalog::read_catalog(session)} {
        for (auto const& table : catalog.tables) {
            if (!table.partition_of)
                add(table);
        }
    }

    pg::Session prepare(std::string const& operator_role) {
        auto& server = test::Server::shared();
        auto admin = server.connect(database);
        for (auto const* const role : {"reader", "\"Odd Role\"", "nosy", "carver"})
            admin.run(fmt::format("DO $$ BEGIN CREATE ROLE {} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$", role));
        admin.run("GRANT app TO carver");
        admin.run(fmt::format("GRANT CREATE ON DATABASE {} TO carver", sql::quote_ident(database)));
        server.load(database, std::string{PGCARVE_SOURCE_DIR} + "/tests/pg/torture.sql", "app");
        if (operator_role != "postgres") // forced row security is refused to a role that cannot look past it
            admin.run("ALTER TABLE shop.\"Ord.er \"\"x\"\"\" NO FORCE ROW LEVEL SECURITY");
        auto own = server.connect(database, operator_role);
        // What new tables get by themselves must not stay on a copy.
        own.run("ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO nosy");
        own.run("CREATE SCHEMA svc");
        own.run("GRANT USAGE, CREATE ON SCHEMA svc TO app");
        return own;
    }

    void add(model::Table const& table) {
        pairs.push_back(ddl::make_pair(table, "svc"));
        for (auto const* const part : catalog.partitions(table))
            pairs.push_back(ddl::make_pair(*part, "svc"));
    }

    void run(std::vector<std::string> const& statements) {
        pg::Transaction transaction{session};
        for (auto const& statement : statements) {
            try {
                session.run(statement);
            } catch (base::Error const& e) {
                throw std::runtime_error{statement + "\n" + e.what()};
            }
        }
        transaction.commit();
    }
    void run(std::vector<model::Step> const& steps) {
        for (auto const& step : steps)
            run(step.sql);
    }

    void expect_equal(std::vector<std::string> const& leave_out) {
        catalog = catalog::read_catalog(session);
        for (auto const& pair : pairs) {
            auto s = portrait(catalog, *catalog.find(pair.source));
            auto t = portrait(catalog, *catalog.find(pair.target));
            for (auto const& kind : leave_out) {
                s = of_kind(s, kind, false);
                t = of_kind(t, kind, false);
            }
            EXPECT_EQ(text(t), text(s)) << pair.source.display();
        }
    }
};

void carry_all(std::string const& operator_role) {
    World world{operator_role};
    world.run(ddl::carry_table_steps(world.catalog, world.pairs));
    auto const source = world.catalog;
    world.expect_equal({"trigger", "constraint"});
    for (auto const& pair : world.pairs) {
        for (auto const& trigger : world.catalog.find(pair.target)->triggers)
            EXPECT_EQ(trigger.enabled, 'D') << pair.target.display() << "." << trigger.name;
    }

    world.run(ddl::after_backfill_steps(source, world.pairs));
    auto const inside = ddl::foreign_keys_inside(source, world.pairs);
    EXPECT_TRUE(ddl::foreign_keys_across(source, world.pairs).add.empty());
    for (int round = 0; round < 2; ++round) { // away and back again, from every stage
        world.run(inside.add);
        world.run(inside.drop);
    }
    world.run(inside.add);
    world.run(inside.validate);
    world.expect_equal({"trigger"});
    world.run(inside.drop);
    world.run(inside.add);
    world.run(inside.validate);
    world.expect_equal({"trigger"});

    auto const before = world.catalog;
    world.run(ddl::hand_over_triggers(world.catalog, world.pairs, true));
    auto const after = catalog::read_catalog(world.session);
    for (auto const& pair : world.pairs) {
        EXPECT_EQ(text(of_kind(portrait(after, *after.find(pair.target)), "trigger", true)),
                  text(of_kind(portrait(before, *before.find(pair.source)), "trigger", true)));
        for (auto const& trigger : after.find(pair.source)->triggers)
            EXPECT_EQ(trigger.enabled, 'D');
    }
    world.run(ddl::hand_over_triggers(after, world.pairs, false));
    auto const back = catalog::read_catalog(world.session);
    for (auto const& pair : world.pairs)
        EXPECT_EQ(text(portrait(back, *back.find(pair.source))), text(portrait(before, *before.find(pair.source))));

    for (auto const& guard : {"events__pgcarve_default", "by_hash__pgcarve_default"})
        EXPECT_EQ(back.find(sql::QName{"svc", guard}) != nullptr, std::string{guard}.starts_with("events"));
}

TEST(Carry, EverythingAsTheOwner) { carry_all("app"); }
TEST(Carry, EverythingAsAMemberOfTheOwner) { carry_all("carver"); }
TEST(Carry, EverythingAsASuperuser) { carry_all("postgres"); }

TEST(Carry, UndoLeavesNothing) {
    World world{"app"};
    auto const steps = ddl::carry_table_steps(world.catalog, world.pairs);
    world.run(steps);
    for (auto const& step : steps)
        world.run(step.undo);
    auto const after = catalog::read_catalog(world.session);
    EXPECT_EQ(after.tables.size(), world.catalog.tables.size());
    EXPECT_EQ(after.relations, world.catalog.relations);
}

TEST(Carry, OnlyForcedRowSecurityIsRefused) {
    World world{"app"};
    EXPECT_TRUE(std::ranges::none_of(ddl::carry_notices(world.catalog, world.pairs), &model::Notice::refuses));
    world.session.run("ALTER TABLE shop.\"Ord.er \"\"x\"\"\" FORCE ROW LEVEL SECURITY");
    world.catalog = catalog::read_catalog(world.session);
    Lines refused;
    for (auto const& notice : ddl::carry_notices(world.catalog, world.pairs)) {
        if (notice.refuses)
            refused.push_back(notice.object + ": " + notice.text);
    }
    ASSERT_EQ(refused.size(), 1U) << text(refused);
    EXPECT_NE(refused[0].find("row level security"), std::string::npos);
}

TEST(Carry, SequencesOfIdentityColumnsGoOn) {
    World world{"app"};
    world.run(ddl::carry_table_steps(world.catalog, world.pairs));
    auto const sequences = ddl::sequence_pairs(world.catalog, world.pairs);
    ASSERT_EQ(sequences.size(), 3U);
    world.session.run("INSERT INTO shop.customers (email) VALUES ('a'), ('b')");
    for (auto const& pair : sequences)
        world.session.run(ddl::continue_sequence(pair.source, pair.target));
    world.session.run("INSERT INTO svc.customers (email) VALUES ('c')");
    EXPECT_EQ(world.session.one(sql::Sql{"SELECT id FROM svc.customers"}).integer(0), 115) << "the server keeps CACHE 3 numbers for the session";
    world.session.run("INSERT INTO svc.audit_log (what) VALUES ('first')");
    EXPECT_EQ(world.session.one(sql::Sql{"SELECT id FROM svc.audit_log"}).integer(0), 1) << "a sequence never used starts at its start";
}

TEST(Carry, ANewPartitionFollowsWithItsRows) {
    World world{"app"};
    world.run(ddl::carry_table_steps(world.catalog, world.pairs));
    world.session.run("CREATE TABLE shop.events_2026 PARTITION OF shop.events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')");
    world.session.run("INSERT INTO shop.events (at, region) VALUES ('2026-02-02', 'eu'), ('2026-02-03', 'us')");
    world.session.run("INSERT INTO svc.events (id, at, region) OVERRIDING SYSTEM VALUE SELECT id, at, region FROM shop.events LIMIT 1");
    world.catalog = catalog::read_catalog(world.session);
    auto const& fresh = *world.catalog.find(sql::QName{"shop", "events_2026"});
    auto const news = ddl::describe_partitions(world.catalog, *world.catalog.find(sql::QName{"shop", "events"}),
                                               *world.catalog.find(sql::QName{"svc", "events"}));
    ASSERT_EQ(news.size(), 1U);
    auto const pair = ddl::make_pair(fresh, "svc");
    world.pairs.push_back(pair);
    world.run(ddl::carry_new_partition_steps(world.catalog, world.pairs, {pair}));
    EXPECT_EQ(world.session.one(sql::Sql{"SELECT count(*) FROM svc.events_2026"}).integer(0), 2);
    EXPECT_EQ(world.session.one(sql::Sql{"SELECT count(*) FROM svc.events"}).integer(0), 2);
    world.expect_equal({"trigger", "constraint"});
}

} // namespace
