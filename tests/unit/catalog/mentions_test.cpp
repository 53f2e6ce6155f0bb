// Goal: what a function's text names is found, comments are not. Method: tables of cases.
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "catalog/mentions.hpp"
#include "catalog/version.hpp"

namespace {

using namespace pgcarve;
using Names = std::set<sql::QName>;

TEST(Mentions, FindsNamesAsSqlFoldsThem) {
    catalog::TableNames const tables{{{"public", "orders"}, {"sales", "orders"}, {"public", "Order Lines"}, {"public", "größe"}}};
    EXPECT_EQ(tables.mentioned("SELECT 1 FROM ORDERS o"), (Names{{"public", "orders"}, {"sales", "orders"}}));
    EXPECT_EQ(tables.mentioned("DELETE FROM sales . orders"), (Names{{"sales", "orders"}}));
    EXPECT_EQ(tables.mentioned("EXECUTE 'TRUNCATE \"Order Lines\"'"), (Names{{"public", "Order Lines"}}));
    EXPECT_EQ(tables.mentioned("UPDATE größe SET a = 1"), (Names{{"public", "größe"}}));
    EXPECT_EQ(tables.mentioned("-- orders\n/* a /* orders */ orders */ SELECT NEW.orders, my_orders, orders2"), Names{});
    EXPECT_EQ(tables.mentioned("'an inch: \" ' || (SELECT x FROM sales.orders)"), (Names{{"sales", "orders"}}));
}

TEST(Mentions, TellsWhetherTheSchemaIsSaid) {
    catalog::TableNames const tables{{{"public", "orders"}, {"sales", "orders"}}};
    using Found = std::map<sql::QName, bool>;
    EXPECT_EQ(tables.mentions("FROM orders"), (Found{{{"public", "orders"}, false}, {{"sales", "orders"}, false}}));
    EXPECT_EQ(tables.mentions("FROM orders, sales.orders"), (Found{{{"public", "orders"}, false}, {{"sales", "orders"}, true}}));
    EXPECT_EQ(tables.mentions("FROM sales.orders, orders"), (Found{{{"public", "orders"}, false}, {{"sales", "orders"}, true}}));
}

TEST(VersionText, ChoosesForEveryVersion) {
    auto const before = catalog::version_text(130012);
    EXPECT_EQ(before.compression.text, "''::\"char\"");
    EXPECT_EQ(before.string_body.text, "true");
    EXPECT_NE(before.publication_schemas.text.find("WHERE false"), std::string_view::npos);
    EXPECT_EQ(catalog::version_text(140001).compression.text, "a.attcompression");
    EXPECT_NE(catalog::version_text(150000).publication_schemas.text.find("pg_publication_namespace"), std::string_view::npos);
    EXPECT_EQ(catalog::version_text(170003).enforced.text, "true");
    EXPECT_EQ(catalog::version_text(180000).enforced.text, "c.conenforced");
    EXPECT_THROW((void)catalog::version_text(120022), base::Error);
    EXPECT_THROW((void)catalog::version_text(190000), base::Error);
}

} // namespace
