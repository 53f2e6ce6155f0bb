// Goal: what cannot be carried is refused by name, with something to type. Method: one table, one flaw at a time.
#include <algorithm>

#include <gtest/gtest.h>

#include "base/error.hpp"
#include "ddl/carry.hpp"
#include "ddl/move.hpp"

namespace {

using namespace pgcarve;

struct Case {
    model::Catalog catalog;

    Case() {
        catalog.server_version = 150000;
        catalog.role = {"me", false, false, {"me"}};
        model::Table t;
        t.oid = base::Oid{1};
        t.name = {"public", "orders"};
        t.sql_name = "public.orders";
        t.owner = "me";
        t.columns = {{.number = 1, .name = "id", .type = "integer", .type_kind = "b", .not_null = true},
                     {.number = 2, .name = "note", .type = "text", .type_kind = "b"}};
        model::Index key;
        key.name = key.sql_name = "orders_pkey";
        key.unique = key.primary = true;
        key.constraint = "orders_pkey";
        key.key_columns = {"id"};
        t.indexes = {key};
        t.constraints = {{.name = "orders_pkey", .type = 'p', .definition = "PRIMARY KEY (id)", .columns = {"id"}}};
        catalog.tables = {t};
    }
    model::Table& orders() { return catalog.tables.front(); }

    // Texts and hints of what is refused.
    std::vector<model::Notice> refused() {
        auto notices = ddl::carry_notices(catalog, {ddl::make_pair(orders(), "svc")});
        std::erase_if(notices, [](model::Notice const& n) { return !n.refuses; });
        return notices;
    }
    void expect(std::string const& text, std::string const& hint) {
        auto const all = refused();
        ASSERT_EQ(all.size(), 1U) << text;
        EXPECT_NE(all[0].text.find(text), std::string::npos) << all[0].text;
        EXPECT_NE(all[0].hint.find(hint), std::string::npos) << all[0].hint;
    }
};

TEST(Notices, APlainTableIsFine) { EXPECT_TRUE(Case{}.refused().empty()); }

TEST(Notices, RefuseWhatIsNoOrdinaryTable) {
    { Case c; c.orders().kind = 'f'; c.expect("foreign table", "leave it out"); }
    { Case c; c.orders().inherits = {{"public", "base"}}; c.expect("inheritance", "leave it out"); }
    { Case c; c.orders().has_inheritance_children = true; c.expect("inheritance", "leave it out"); }
    { Case c; c.orders().of_type = sql::QName{"public", "t"}; c.expect("typed table", "ALTER TABLE \"public\".\"orders\" NOT OF;"); }
    { Case c; c.orders().rules = {"r\"x"}; c.expect("rule", "DROP RULE \"r\"\"x\" ON \"public\".\"orders\";"); }
    { Case c; c.orders().security_labels = {"selinux: x"}; c.expect("security label", "SECURITY LABEL ON TABLE"); }
}

TEST(Notices, RefuseATableWithoutAKey) {
    { Case c; c.orders().indexes.clear(); c.expect("no usable key", "ADD COLUMN \"row_id\" bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY;"); }
    Case c;
    c.orders().indexes[0].primary = false;
    c.orders().columns[0].not_null = false;
    c.expect("no usable key", "ALTER TABLE \"public\".\"orders\" ALTER COLUMN \"id\" SET NOT NULL;");
}

TEST(Notices, RefuseWhatTheRoleCannotDo) {
    { Case c; c.orders().owner = "you"; c.expect("belongs to you", "GRANT \"you\" TO \"me\";"); }
    { Case c; c.orders().owner = "you"; c.catalog.role.superuser = true; EXPECT_TRUE(c.refused().empty()); }
    Case c;
    c.orders().row_security = c.orders().force_row_security = true;
    c.expect("row level security", "ALTER ROLE \"me\" BYPASSRLS;");
}

TEST(Notices, RefuseNamesThatAreTaken) {
    Case exists;
    auto copy = exists.orders();
    copy.name.schema = "svc";
    copy.indexes.clear();
    copy.estimated_rows = 12;
    exists.catalog.tables.push_back(copy);
    exists.expect("exists already, with about 12 rows", "DROP TABLE \"svc\".\"orders\";");
    { Case c; c.catalog.relations = {{{"svc", "orders"}, 'v', "me"}}; c.expect("would have the same name", "rename"); }
    { Case c; c.catalog.relations = {{{"svc", "orders_pkey"}, 'S', "me"}}; c.expect("a sequence would have the same name", "rename"); }
    Case twins;
    auto other = twins.orders();
    other.name.schema = "sales";
    twins.catalog.tables.push_back(other);
    auto const notices = ddl::carry_notices(twins.catalog, {ddl::make_pair(twins.catalog.tables[0], "svc"), ddl::make_pair(twins.catalog.tables[1], "svc")});
    EXPECT_EQ(std::ranges::count_if(notices, &model::Notice::refuses), 2) << "the table and its index";
}

TEST(Notices, RefuseInvalidIndexesAndOddDefinitions) {
    Case invalid;
    model::Index index;
    index.name = index.sql_name = "broken";
    index.definition = "CREATE INDEX broken ON public.orders USING btree (note)";
    index.valid = false;
    invalid.orders().indexes.push_back(index);
    invalid.expect("invalid index broken", "REINDEX INDEX CONCURRENTLY \"public\".\"broken\";");
    Case odd;
    index.valid = true;
    index.definition = "CREATE INDEX broken ON elsewhere.orders USING btree (note)";
    odd.orders().indexes.push_back(index);
    odd.expect("does not understand", "drop it");
    EXPECT_THROW((void)ddl::carry_table_steps(odd.catalog, {ddl::make_pair(odd.orders(), "svc")}), base::Error);
}

TEST(Notices, RefuseAViewOverRowSecurityBefore15) {
    Case c;
    c.orders().row_security = true;
    auto const pairs = ddl::Pairs{ddl::make_pair(c.orders(), "svc")};
    EXPECT_FALSE(ddl::legacy_view_notices(c.catalog, pairs)[0].refuses);
    c.catalog.server_version = 140000;
    EXPECT_TRUE(ddl::legacy_view_notices(c.catalog, pairs)[0].refuses);
}

} // namespace
