// Goal: the generated SQL is what was reviewed, and names are deterministic and fit. Method: golden files, which
// PGCARVE_UPDATE_GOLDEN=1 rewrites; that the SQL works is shown by tests/pg.
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

#include <gtest/gtest.h>

#include "mirrorgen/mirrorgen.hpp"

namespace {

using namespace pgcarve;
using mirrorgen::Direction;

model::Table table(std::string const& schema, std::string const& name, bool deferrable = false) {
    model::Table t;
    t.name = {schema, name};
    t.columns = {model::Column{.number = 1, .name = "id", .type = "bigint", .type_kind = "b", .not_null = true},
                 model::Column{.number = 3, .name = "Note", .type = "text", .type_kind = "b"},
                 model::Column{.number = 4, .name = "twice", .type = "bigint", .type_kind = "b", .generated = 's'}};
    t.indexes = {model::Index{.name = name + "_pkey", .unique = true, .primary = true, .immediate = !deferrable,
                              .key_columns = {"id"}, .constraint = name + "_pkey"}};
    t.constraints = {model::Constraint{.name = name + "_pkey", .type = 'p', .columns = {"id"}, .deferrable = deferrable}};
    return t;
}

mirrorgen::Spec spec(model::Table const& authority, model::Table const& follower, Direction direction = Direction::forward) {
    model::Catalog catalog;
    catalog.tables = {authority, follower};
    return mirrorgen::make_spec("checkout", direction, authority, follower, catalog);
}

void expect_golden(std::string const& name, std::vector<std::string> const& statements) {
    std::string text;
    for (auto const& statement : statements)
        text += statement + ";\n";
    auto const path = std::string{PGCARVE_SOURCE_DIR} + "/tests/unit/mirrorgen/golden/" + name;
    if (std::getenv("PGCARVE_UPDATE_GOLDEN") != nullptr)
        std::ofstream{path} << text;
    std::ifstream in{path};
    std::ostringstream golden;
    golden << in.rdbuf();
    EXPECT_EQ(text, golden.str()) << path;
}

TEST(Mirrorgen, AMirror) {
    expect_golden("mirror.sql", mirrorgen::install(mirrorgen::mirror(spec(table("public", "orders"), table("checkout", "orders"))), true));
}

TEST(Mirrorgen, AFence) {
    auto const way_back = spec(table("checkout", "orders"), table("public", "orders"), Direction::reverse);
    expect_golden("fence.sql", mirrorgen::install(mirrorgen::fence(way_back), false));
}

TEST(Mirrorgen, NamesFitAndDiffer) {
    std::string const longest(63, 'x');
    std::set<std::string> names;
    std::size_t functions = 0;
    for (auto const& [schema, name] : {std::pair{longest, longest}, {longest, longest.substr(1) + "y"}, {std::string{"a.b"}, std::string{"c"}},
                                       {std::string{"a"}, std::string{"b.c"}}, {std::string{"a"}, std::string{"b_mirror"}}}) {
        for (auto const& function : mirrorgen::mirror(spec(table(schema, name), table("f", name))).functions) {
            EXPECT_LE(function.name.name.size(), 63U);
            EXPECT_TRUE(function.name.name.starts_with("pgcarve_"));
            EXPECT_EQ(function.name.schema, "pgcarve");
            names.insert(function.name.name);
            ++functions;
        }
    }
    EXPECT_EQ(names.size(), functions);
}

TEST(Mirrorgen, ATypesOwnEqualityIsNamed) {
    auto t = table("public", "t");
    t.columns[0].type = "\"My types\".citext";
    EXPECT_EQ(spec(t, t).key.front().equals, "OPERATOR(\"My types\".=)");
    t.columns[0].type = "\"My types\".citext[]";
    EXPECT_EQ(spec(t, t).key.front().equals, "=");
    t.columns[0].type = "\"My types\".colour";
    t.columns[0].type_kind = "e";
    EXPECT_EQ(spec(t, t).key.front().equals, "=");
}

TEST(Mirrorgen, ADeferrableKeyIsReplacedInsteadOfUpserted) {
    auto const made = mirrorgen::mirror(spec(table("public", "t"), table("f", "t", true)));
    for (auto const& function : made.functions)
        EXPECT_EQ(function.body.find("ON CONFLICT"), std::string::npos) << function.body;
    EXPECT_NE(made.functions.front().body.find("SET CONSTRAINTS \"f\".\"t_pkey\" DEFERRED"), std::string::npos);
}

TEST(Mirrorgen, ChildrenAreLinkedBeforeTheirParents) {
    auto const with_key = [](model::Table t, std::string const& parent) {
        t.constraints.push_back(model::Constraint{.name = "fk", .type = 'f', .columns = {"id"}, .referenced = {"public", parent}, .referenced_columns = {"id"}});
        return t;
    };
    model::Catalog catalog;
    catalog.tables = {table("public", "a"), with_key(table("public", "b"), "a"), with_key(table("public", "c"), "b")};
    std::vector<mirrorgen::Spec> specs;
    for (auto const& follower : catalog.tables)
        specs.push_back(mirrorgen::make_spec("s", Direction::reverse, table("s", follower.name.name), follower, catalog));
    mirrorgen::link(specs, catalog);
    ASSERT_EQ(specs[0].referencing.size(), 2U);
    EXPECT_EQ(specs[0].referencing[0].follower.name, "c");
    EXPECT_EQ(specs[0].referencing[1].follower.name, "b");
    EXPECT_TRUE(specs[2].referencing.empty());
    EXPECT_EQ(specs[1].outgoing.size(), 1U);
}

} // namespace
