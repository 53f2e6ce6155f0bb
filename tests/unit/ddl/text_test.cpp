// Goal: definitions move to another table only where they begin as the catalog says. Method: tables of cases.
#include <gtest/gtest.h>

#include "ddl/text.hpp"

namespace {

using namespace pgcarve;
sql::QName const target{"svc", "a b"};

model::Table table() {
    model::Table t;
    t.name = {"public", "a b"};
    t.sql_name = "public.\"a b\"";
    return t;
}

TEST(Text, MovesAnIndexThatLooksLikeItsOwnTable) {
    auto t = table();
    model::Index index;
    index.sql_name = "\"x ON public.\"\"a b\"\" USING\"";
    index.definition = "CREATE INDEX \"x ON public.\"\"a b\"\" USING\" ON public.\"a b\" USING btree (c) WHERE (d = 'ON public.\"a b\"'::text)";
    EXPECT_EQ(ddl::create_index(t, index, target),
              "CREATE INDEX \"x ON public.\"\"a b\"\" USING\" ON \"svc\".\"a b\" USING btree (c) WHERE (d = 'ON public.\"a b\"'::text)");
    index.unique = true;
    EXPECT_FALSE(ddl::create_index(t, index, target)) << "not what the catalog says";
    index.unique = false;
    t.kind = 'p';
    EXPECT_FALSE(ddl::create_index(t, index, target)) << "a partitioned table's index says ONLY";
    t.kind = 'r';
    t.sql_name = "public.\"a b";
    EXPECT_FALSE(ddl::create_index(t, index, target)) << "a name that only begins alike";
}

TEST(Text, PutsStorageParametersBeforeDeferrable) {
    model::Constraint c;
    c.type = 'u';
    c.definition = "UNIQUE (a) INCLUDE (b) DEFERRABLE INITIALLY DEFERRED";
    c.deferrable = c.deferred = true;
    model::Index index;
    EXPECT_EQ(ddl::key_constraint(c, index), c.definition);
    index.options = {"fillfactor=70", "deduplicate_items=off"};
    EXPECT_EQ(ddl::key_constraint(c, index),
              "UNIQUE (a) INCLUDE (b) WITH (\"fillfactor\" = '70', \"deduplicate_items\" = 'off') DEFERRABLE INITIALLY DEFERRED");
    c.deferred = false;
    EXPECT_FALSE(ddl::key_constraint(c, index));
}

TEST(Text, PointsForeignKeysElsewhere) {
    model::Constraint key;
    key.type = 'f';
    key.head = "FOREIGN KEY (a) REFERENCES ";
    key.definition = "FOREIGN KEY (a) REFERENCES public.parents(id) ON DELETE CASCADE NOT VALID";
    key.validated = false;
    EXPECT_EQ(ddl::foreign_key(key, "public.parents", {"svc", "parents"}),
              "FOREIGN KEY (a) REFERENCES \"svc\".\"parents\"(id) ON DELETE CASCADE");
    EXPECT_FALSE(ddl::foreign_key(key, "public.parent", {"svc", "parents"}));
}

TEST(Text, GrantsWhatWasThereAndNothingElse) {
    auto const statements = ddl::grant_statements("TABLE t", "me", {{"me", "SELECT", false, "me"}, {"", "SELECT", false, "me"}, {"a\"b", "INSERT", true, "me"}},
                                                  {"nosy"});
    std::vector<std::string> const expected{"REVOKE ALL ON TABLE t FROM PUBLIC, \"me\", \"nosy\"", "GRANT SELECT ON TABLE t TO PUBLIC",
                                            "GRANT INSERT ON TABLE t TO \"a\"\"b\" WITH GRANT OPTION", "GRANT SELECT ON TABLE t TO \"me\""};
    EXPECT_EQ(statements, expected);
}

} // namespace
