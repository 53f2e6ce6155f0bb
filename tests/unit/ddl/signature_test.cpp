// Goal: every change that matters to a mirror is seen and told, with the SQL that mends it. Method: tables of cases.
#include <gtest/gtest.h>

#include "ddl/signature.hpp"

namespace {

using namespace pgcarve;
sql::QName const target{"svc", "t"};

model::Table table(std::uint32_t oid = 1) {
    model::Table t;
    t.oid = base::Oid{oid};
    t.name = {oid == 1 ? "public" : "svc", "t"};
    t.columns = {{.number = 1, .name = "id", .type = "integer", .type_kind = "b", .not_null = true},
                 {.number = 3, .name = "note", .type = "text", .type_kind = "b"},
                 {.number = 4, .name = "at", .type = "date", .type_kind = "b"}};
    model::Index key;
    key.name = "k";
    key.unique = key.primary = true;
    key.key_columns = {"id"};
    t.indexes = {key};
    return t;
}

void expect_one(model::Table const& then, model::Table const& now, std::string const& text, std::string const& mend) {
    auto const found = ddl::describe_difference(then, now, target);
    ASSERT_EQ(found.size(), 1U) << text;
    EXPECT_EQ(found[0].text, text);
    EXPECT_EQ(found[0].mend, mend);
    EXPECT_NE(ddl::table_signature({}, then), ddl::table_signature({}, now));
}

TEST(Signature, StaysWhileNothingThatMattersChanges) {
    auto a = table();
    auto b = table();
    b.comment = "new";
    b.columns[1].default_expr = "'x'::text";
    b.columns[1].statistics_target = 5;
    b.grants = {{"x", "SELECT", false, "y"}};
    EXPECT_EQ(ddl::table_signature({}, a), ddl::table_signature({}, b));
    EXPECT_TRUE(ddl::describe_difference(a, b, target).empty());
    EXPECT_EQ(ddl::signature_difference("table x\nkey a\n", "table x\nkey b\n"), (std::vector<std::string>{"- key a", "+ key b"}));
}

TEST(Signature, TellsWhatChangedInOneTable) {
    auto const then = table();
    { auto now = then; now.columns.pop_back(); expect_one(then, now, "column at was dropped", "ALTER TABLE \"svc\".\"t\" DROP COLUMN \"at\";"); }
    {
        auto now = then;
        now.columns.push_back({.number = 5, .name = "ne\"w", .type = "integer", .type_kind = "b", .not_null = true, .default_expr = "7"});
        expect_one(then, now, "column \"ne\"\"w\" integer was added", "ALTER TABLE \"svc\".\"t\" ADD COLUMN \"ne\"\"w\" integer DEFAULT 7 NOT NULL;");
    }
    { auto now = then; now.columns[1].name = "remark"; expect_one(then, now, "column note was renamed to remark", "ALTER TABLE \"svc\".\"t\" RENAME COLUMN \"note\" TO \"remark\";"); }
    { auto now = then; now.columns[1].type = "bytea"; expect_one(then, now, "column note changed its type from text to bytea", "ALTER TABLE \"svc\".\"t\" ALTER COLUMN \"note\" TYPE bytea;"); }
    { auto now = then; now.columns[1].not_null = true; expect_one(then, now, "column note no longer takes NULL", "ALTER TABLE \"svc\".\"t\" ALTER COLUMN \"note\" SET NOT NULL;"); }
    { auto now = then; now.name.name = "u"; expect_one(then, now, "table public.t was renamed to public.u", "ALTER TABLE \"public\".\"u\" RENAME TO \"t\";"); }
    { auto now = then; now.indexes[0].key_columns = {"note"}; expect_one(then, now, "the key changed from \"id\" to \"note\"", ""); }
}

TEST(Signature, ComparesTwoTablesByName) {
    auto const mine = table(2);
    auto theirs = table();
    theirs.columns[1].number = 9;
    EXPECT_TRUE(ddl::describe_difference(mine, theirs, target).empty()) << "numbers differ between tables";
    theirs.columns[1].name = "remark";
    expect_one(mine, theirs, "column note was renamed to remark", "ALTER TABLE \"svc\".\"t\" RENAME COLUMN \"note\" TO \"remark\";");
    theirs.columns[1].type = "jsonb";
    EXPECT_EQ(ddl::describe_difference(mine, theirs, target).size(), 2U) << "another type: one dropped, one added";
}

} // namespace
