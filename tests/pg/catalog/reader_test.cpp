// Goal: the reader sees all of a schema that holds every feature, as an ordinary role.
// Method: load it, read it, look at what is easiest to get wrong.
#include <algorithm>

#include <gtest/gtest.h>

#include "catalog/reader.hpp"
#include "support/server.hpp"

namespace {

using namespace pgcarve;

model::Catalog const& torture() {
    static model::Catalog const catalog = [] {
        auto& server = test::Server::shared();
        auto const database = server.create_database("app");
        auto admin = server.connect(database);
        admin.run("CREATE ROLE reader");
        admin.run("CREATE ROLE \"Odd Role\"");
        server.load(database, std::string{PGCARVE_SOURCE_DIR} + "/tests/pg/torture.sql", "app");
        auto session = server.connect(database, "app");
        session.run("CREATE TEMP TABLE passing (id int)");
        session.run("CREATE SCHEMA pgcarve CREATE TABLE state (id int)");
        return catalog::read_catalog(session);
    }();
    return catalog;
}

model::Table const& table(std::string const& name) {
    auto const* const found = torture().find(sql::QName{"shop", name});
    EXPECT_NE(found, nullptr) << name;
    return *found;
}

template <typename List>
auto const& named(List const& list, std::string const& name) {
    auto const at = std::ranges::find_if(list, [&](auto const& item) { return item.name == name; });
    if (at == list.end())
        throw std::runtime_error{"no " + name};
    return *at;
}

std::vector<model::Dependency> dependencies(std::string const& kind, std::string const& name) {
    std::vector<model::Dependency> found;
    std::ranges::copy_if(torture().dependencies, std::back_inserter(found),
                         [&](auto const& d) { return d.kind == kind && d.name == name; });
    return found;
}

std::string const odd = "Ord.er \"x\"";

TEST(Reader, LeavesOutWhatIsNotTheUsers) {
    EXPECT_EQ(torture().tables.size(), 14U);
    EXPECT_TRUE(std::ranges::all_of(torture().tables, [](auto const& t) { return t.name.schema == "shop"; }));
    EXPECT_EQ(torture().role.name, "app");
    EXPECT_FALSE(torture().role.superuser);
}

TEST(Reader, ReadsColumns) {
    auto const& t = table(odd);
    EXPECT_EQ(t.columns.size(), 13U);
    auto const& note = *t.column("note");
    EXPECT_EQ(note.statistics_target, 500);
    EXPECT_EQ(note.options, std::vector<std::string>{"n_distinct=-0.5"});
    EXPECT_EQ(note.storage, 'e');
    EXPECT_EQ(note.comment, "a note");
    EXPECT_EQ(t.column("total")->generated, 's');
    EXPECT_EQ(t.column("Größe; --")->collation, "pg_catalog.\"C\"");
    EXPECT_EQ(t.column("id")->owned_sequence->name, odd + "_id_seq");
    EXPECT_EQ(t.column("number")->default_sequences, (std::vector<sql::QName>{{"shop", "shared_seq"}}));
    EXPECT_FALSE(t.column("number")->owned_sequence);
    EXPECT_EQ(t.column("state")->type, "shop.state");
    auto const* const numbers = torture().sequence({"shop", "customer_numbers"});
    ASSERT_NE(numbers, nullptr);
    EXPECT_EQ(numbers->increment, 5);
    EXPECT_TRUE(numbers->cycle);
    EXPECT_EQ(numbers->owned_by_column, "id");
}

TEST(Reader, HeadsBeginTheirDefinitions) {
    for (auto const& t : torture().tables) {
        for (auto const& trigger : t.triggers)
            EXPECT_TRUE(trigger.definition.starts_with(trigger.head + t.sql_name + " ")) << trigger.definition << "\n" << trigger.head;
        for (auto const& c : t.constraints) {
            if (c.type == 'f') {
                EXPECT_TRUE(c.definition.starts_with(c.head + torture().find(c.referenced)->sql_name + "(")) << c.definition;
            }
        }
        for (auto const& index : t.indexes)
            EXPECT_NE(index.definition.find("INDEX " + index.sql_name + " ON "), std::string::npos);
        for (auto const& s : t.statistics)
            EXPECT_TRUE(s.definition.starts_with("CREATE STATISTICS " + s.sql_name + " ")) << s.definition;
    }
}

TEST(Reader, ReadsConstraintsAndIndexes) {
    auto const& t = table(odd);
    EXPECT_FALSE(named(t.constraints, "late_check").validated);
    EXPECT_FALSE(named(t.constraints, "to_backup").validated);
    auto const& key = named(t.constraints, "to_customers");
    EXPECT_EQ(key.on_update, 'c');
    EXPECT_EQ(key.on_delete, 'n');
    EXPECT_TRUE(key.deferred);
    EXPECT_EQ(key.referenced_columns, std::vector<std::string>{"id"});
    EXPECT_FALSE(named(t.indexes, "Ord.er_pk").immediate);
    EXPECT_EQ(model::usable_key(t)->index, "identity_index") << "an immediate unique index before a deferrable key";
    EXPECT_EQ(named(t.indexes, "by_expression").statistics, (std::vector<std::pair<int, int>>{{2, 300}}));
    EXPECT_EQ(named(table("events_2024").indexes, "renamed by hand").parent, "events_region");
    EXPECT_TRUE(named(table("events_2024").constraints, "sane").inherited);
    EXPECT_FALSE(named(table("events_2024").constraints, "only_here").inherited);
    EXPECT_EQ(torture().partitions(table("events")).size(), 4U);
    EXPECT_EQ(table("events_2025_eu").partition_bound, "FOR VALUES IN ('eu', 'it''s')");
}

TEST(Reader, ReadsTriggersWithTheirClones) {
    EXPECT_EQ(named(table(odd).triggers, "touch").enabled, 'A');
    EXPECT_EQ(named(table(odd).triggers, "audit").enabled, 'D');
    EXPECT_TRUE(named(table(odd).triggers, "late").constraint);
    auto const& clone = named(table("events_2024").triggers, "note_event");
    EXPECT_TRUE(clone.inherited);
    EXPECT_EQ(clone.enabled, 'D');
    EXPECT_EQ(table("events_2024").triggers.size(), 2U);
}

TEST(Reader, ReadsDependencies) {
    EXPECT_EQ(dependencies("view", "shop.most_recent").size(), 2U);
    EXPECT_EQ(dependencies("view", "shop.most_recent")[0].detail, "through shop.recent");
    EXPECT_EQ(dependencies("materialized_view", "shop.counts").size(), 1U);
    auto const body = dependencies("function", "shop.text_body()");
    ASSERT_EQ(body.size(), 2U);
    EXPECT_FALSE(body[0].certain);
    auto const audit = dependencies("trigger", "audit");
    ASSERT_EQ(audit.size(), 1U);
    EXPECT_EQ(audit[0].to, (sql::QName{"shop", "audit_log"}));
    EXPECT_EQ(dependencies("policy", "own").size(), 1U);
    EXPECT_EQ(dependencies("publication", "some_tables").size(), 1U);
    EXPECT_EQ(dependencies("type", "shop.state").size(), 1U);
    EXPECT_EQ(dependencies("type", "shop.customers").size(), 1U);
    EXPECT_EQ(dependencies("default", "shop.twice(integer)").size(), 1U);
    EXPECT_EQ(dependencies("foreign_key", "to_customers").size(), 1U);
    EXPECT_EQ(dependencies("grant", "\"Odd Role\"")[0].detail, "REFERENCES (id), UPDATE (\"Größe; --\"), UPDATE (note)");
}

TEST(Reader, ReadsInsideTheCallersTransaction) {
    auto session = test::Server::shared().connect();
    pg::Transaction transaction{session};
    session.run("CREATE TABLE public.only_here (id int)");
    EXPECT_NE(catalog::read_catalog(session).find(sql::QName{"public", "only_here"}), nullptr);
    EXPECT_TRUE(session.in_transaction());
}

} // namespace
