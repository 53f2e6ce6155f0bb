// Goal: names in pgcarve.toml mean what SQL would make of them, and nothing is guessed.
// Method: tables of cases, and properties over random names: whatever a name holds, quoting it
// gives a pattern that fits exactly this name, and a glob agrees with a plain recursive one.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "config/names.hpp"

namespace {

using namespace pgcarve;
using model::TablePattern;

TablePattern pattern(std::string const& text) {
    auto parsed = config::parse_pattern(text, "public");
    if (auto const* bad = std::get_if<config::BadName>(&parsed))
        throw std::runtime_error{text + ": " + bad->message};
    return std::get<TablePattern>(parsed);
}

std::string pattern_problem(std::string const& text) {
    auto parsed = config::parse_pattern(text, "public");
    auto const* bad = std::get_if<config::BadName>(&parsed);
    return bad == nullptr ? "" : bad->message;
}

bool fits(std::string const& text, std::string const& schema, std::string const& name) {
    return model::pattern_matches(pattern(text), {schema, name});
}

TEST(Pattern, UnqualifiedMeansTheSharedSchema) {
    EXPECT_TRUE(fits("orders", "public", "orders"));
    EXPECT_FALSE(fits("orders", "sales", "orders"));
    EXPECT_FALSE(fits("orders", "public", "Orders")) << "no case folding";
    auto parsed = config::parse_pattern("x", "odd*schema");
    EXPECT_TRUE(std::get<TablePattern>(parsed).schema_literal) << "a configured schema is no pattern";
}

TEST(Pattern, WildcardsMatchCharacters) {
    EXPECT_TRUE(fits("order_*", "public", "order_"));
    EXPECT_TRUE(fits("order_*", "public", "order_items_x"));
    EXPECT_TRUE(fits("*a*b*", "public", "xxaxxbab"));
    EXPECT_FALSE(fits("*a*b", "public", "xxaxxba"));
    EXPECT_TRUE(fits("gr??e", "public", "größe")) << "a character is not a byte";
    EXPECT_FALSE(fits("gr???e", "public", "größe"));
    EXPECT_TRUE(fits("sales.*", "sales", "x"));
    EXPECT_FALSE(fits("sales.*", "sales2", "x"));
    EXPECT_TRUE(fits("s*.?", "sales", "é"));
    EXPECT_TRUE(fits("Order Lines", "public", "Order Lines"));
}

TEST(Pattern, QuotedPartsAreLiteral) {
    EXPECT_TRUE(fits("\"Order.Lines\"", "public", "Order.Lines"));
    EXPECT_TRUE(fits("\"Shop\".\"a*\"", "Shop", "a*"));
    EXPECT_FALSE(fits("\"Shop\".\"a*\"", "Shop", "ab"));
    EXPECT_TRUE(fits("\"say \"\"hi\"\"\"", "public", "say \"hi\""));
    EXPECT_TRUE(fits("\"Shop\".o*", "Shop", "orders"));
    EXPECT_TRUE(fits("\"!odd\"", "public", "!odd"));
}

TEST(Pattern, ExclusionsWinWhateverTheOrder) {
    std::vector const list{pattern("!order_archive"), pattern("order_*"), pattern("orders")};
    EXPECT_TRUE(list[0].exclude);
    EXPECT_EQ(list[0].text, "order_archive");
    EXPECT_TRUE(model::patterns_own(list, {"public", "orders"}));
    EXPECT_TRUE(model::patterns_own(list, {"public", "order_items"}));
    EXPECT_FALSE(model::patterns_own(list, {"public", "order_archive"}));
    EXPECT_FALSE(model::patterns_own(list, {"public", "customers"}));
}

TEST(Pattern, SaysWhatIsWrong) {
    EXPECT_EQ(pattern_problem(""), "the pattern is empty");
    EXPECT_EQ(pattern_problem("!"), "the pattern is empty");
    EXPECT_EQ(pattern_problem("a.b.c"), "at most schema.table: quote a name that itself holds a dot");
    EXPECT_EQ(pattern_problem("a."), "a part of the name is empty");
    EXPECT_EQ(pattern_problem("\"\""), "a part of the name is empty");
    EXPECT_EQ(pattern_problem("\"open"), "a double quote is not closed");
    EXPECT_EQ(pattern_problem("\"a\"*"), "text follows a closing quote: quote the whole part");
    EXPECT_EQ(pattern_problem("a\"b\""),
              "a quote stands inside a part: quote the whole part and double the quotes in it");
    EXPECT_EQ(pattern_problem("! a"),
              "blanks stand at the edge of a part: quote the part if the name really has them");
    EXPECT_EQ(pattern_problem(std::string(64, 'x')), "a name has 64 bytes, PostgreSQL's have at most 63");
    EXPECT_EQ(pattern_problem(std::string(63, 'x')), "");
}

// One character as a name may hold it: many syntax characters, some multi-byte ones.
rc::Gen<std::string> any_name(std::size_t longest) {
    auto const character = rc::gen::element<std::string>("a", "b", "A", ".", "\"", "*", "?", "!", " ", "-",
                                                         ">", ",", "'", "\\", "é", "ß", "漢");
    return rc::gen::suchThat(rc::gen::map(rc::gen::container<std::vector<std::string>>(character),
                                          [longest](std::vector<std::string> const& all) {
                                              std::string name;
                                              for (auto const& one : all) {
                                                  if (name.size() + one.size() <= longest)
                                                      name += one;
                                              }
                                              return name;
                                          }),
                             [](std::string const& name) { return !name.empty(); });
}

RC_GTEST_PROP(Pattern, QuotingAnyNameFitsExactlyThatName, ()) {
    auto const schema = *any_name(63);
    auto const name = *any_name(63);
    auto const other = *any_name(63);
    auto const p = pattern(sql::QName{schema, name}.quoted());
    RC_ASSERT(model::pattern_matches(p, {schema, name}));
    RC_ASSERT(model::pattern_matches(p, {schema, other}) == (other == name));
}

bool simple_glob(std::string_view p, std::string_view t) {
    if (p.empty())
        return t.empty();
    if (p[0] == '*')
        return simple_glob(p.substr(1), t) || (!t.empty() && simple_glob(p, t.substr(1)));
    return !t.empty() && (p[0] == '?' || p[0] == t[0]) && simple_glob(p.substr(1), t.substr(1));
}

RC_GTEST_PROP(Pattern, GlobAgreesWithTheObviousOne, ()) {
    auto const short_text = [](auto character) {
        return rc::gen::resize(14, rc::gen::container<std::string>(character));
    };
    auto const glob = *rc::gen::nonEmpty(short_text(rc::gen::element('a', 'b', '*', '?')));
    auto const name = *short_text(rc::gen::element('a', 'b'));
    RC_ASSERT(fits(glob, "public", name) == simple_glob(glob, name));
}

RC_GTEST_PROP(Pattern, NeverThrowsAndNeverBoth, ()) {
    auto const text = *any_name(80);
    auto const parsed = config::parse_pattern(text, "public");
    if (auto const* p = std::get_if<TablePattern>(&parsed))
        RC_ASSERT(!p->name.empty());
}

model::ForeignKeyDecision foreign_key(std::string const& text) {
    auto parsed = config::parse_foreign_key(text, "public");
    if (auto const* bad = std::get_if<config::BadName>(&parsed))
        throw std::runtime_error{text + ": " + bad->message};
    return std::get<model::ForeignKeyDecision>(parsed);
}

TEST(ForeignKey, IsNamedByColumnsAndParent) {
    auto const simple = foreign_key("orders.customer_id -> customers");
    EXPECT_EQ(simple.child, (sql::QName{"public", "orders"}));
    EXPECT_EQ(simple.columns, std::vector<std::string>{"customer_id"});
    EXPECT_EQ(simple.parent, (sql::QName{"public", "customers"}));
    EXPECT_FALSE(simple.constraint);

    auto const composite = foreign_key("sales.lines.a , b,\"C d\"->crm.\"Big -> Parent\"");
    EXPECT_EQ(composite.child, (sql::QName{"sales", "lines"}));
    EXPECT_EQ(composite.columns, (std::vector<std::string>{"a", "b", "C d"}));
    EXPECT_EQ(composite.parent, (sql::QName{"crm", "Big -> Parent"}));
}

TEST(ForeignKey, IsNamedByConstraint) {
    auto const plain = foreign_key("orders orders_fkey");
    EXPECT_EQ(plain.child, (sql::QName{"public", "orders"}));
    EXPECT_EQ(plain.constraint, "orders_fkey");
    EXPECT_FALSE(plain.parent);
    auto const quoted = foreign_key("\"Shop\".\"Order -> x\" \"FK 1\"");
    EXPECT_EQ(quoted.child, (sql::QName{"Shop", "Order -> x"}));
    EXPECT_EQ(quoted.constraint, "FK 1");
}

TEST(ForeignKey, SaysWhatIsWrong) {
    for (auto const* bad :
         {"", "orders", "orders -> customers", "a.b.c.d -> p", "o.c -> a.b.c", "o.c -> ", "o.c, -> p",
          "o.* -> p", "o.c -> p extra", "o fk extra", "a.b.c fk", "o.c d -> p", "\"o.c -> p"}) {
        auto const parsed = config::parse_foreign_key(bad, "public");
        EXPECT_TRUE(std::holds_alternative<config::BadName>(parsed)) << bad;
    }
}

RC_GTEST_PROP(ForeignKey, AnyNamesCanBeQuoted, ()) {
    sql::QName const child{*any_name(63), *any_name(63)};
    sql::QName const parent{*any_name(63), *any_name(63)};
    auto const column = *any_name(63);
    auto const by_column =
        foreign_key(child.quoted() + "." + sql::quote_ident(column) + " -> " + parent.quoted());
    RC_ASSERT(by_column.child == child);
    RC_ASSERT(by_column.columns == std::vector<std::string>{column});
    RC_ASSERT(by_column.parent == parent);
    auto const by_name = foreign_key(child.quoted() + " " + sql::quote_ident(column));
    RC_ASSERT(by_name.child == child);
    RC_ASSERT(by_name.constraint == column);
}

TEST(TomlKey, TakesTheQuotesThatAreFree) {
    EXPECT_EQ(config::toml_key("orders.person -> people"), "\"orders.person -> people\"");
    EXPECT_EQ(config::toml_key("\"Order Items\".person -> people"), "'\"Order Items\".person -> people'");
    EXPECT_EQ(config::toml_key("\"it's\".a\\b -> p"), "\"\\\"it's\\\".a\\\\b -> p\"");
}

TEST(Secret, IsFoundInEveryFormOfConnectionString) {
    for (auto const* dsn :
         {"password=x", "host=h password = x", "host='a b' password='x y'", "postgresql://u:pw@h/db",
          "postgres://h/db?user=u&password=x", "host=h sslpassword=x", "application_name='a\\'b' password=x"})
        EXPECT_TRUE(config::holds_secret(dsn)) << dsn;
    for (auto const* dsn :
         {"", "service=monolith", "host=h user=password", "postgresql://u@h:5432/db", "postgresql://u:@h/db",
          "application_name='password=x'", "passfile=/x",
          "password=", "postgresql://h/db?application_name=a:b@c", "postgresql://h:5432/a@b"})
        EXPECT_FALSE(config::holds_secret(dsn)) << dsn;
}

} // namespace
