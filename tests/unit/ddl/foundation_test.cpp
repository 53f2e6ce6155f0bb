// Goal: what is missing is made in the order of need, what exists is left alone, and a function whose text names lost
// tables has exactly the ways out that its header promises. Method: small Foundations by hand.
#include <algorithm>

#include <gtest/gtest.h>

#include "ddl/foundation.hpp"

namespace {

using namespace pgcarve;
using sql::QName;

std::vector<std::string> ids(std::vector<model::Step> const& steps) {
    std::vector<std::string> out;
    for (auto const& step : steps)
        out.push_back(step.id);
    return out;
}

model::Foundation empty_target() {
    model::Foundation there;
    there.server_version = 150000;
    there.encoding = "UTF8";
    there.may_create_schemas = true;
    return there;
}

model::Foundation source() {
    auto here = empty_target();
    here.needed_schemas = {"app"};
    here.enums = {{{"app", "z_enum"}, {"a", "it's"}, "a comment"}};
    here.domains = {{.name = {"app", "a_domain"}, .base = "app.z_enum", .checks = {{"c", "CHECK (app.f(VALUE))"}}}};
    here.functions = {{.name = {"app", "f"}, .signature = "app.f(app.z_enum)", .language = "sql", .definition = "CREATE FUNCTION …", .owner = "o",
                       .grants = {{"reader", "EXECUTE", false, ""}, {"unknown", "EXECUTE", false, ""}, {"o", "EXECUTE", false, ""}}}};
    here.needs = {{"type:app.a_domain", {"type:app.z_enum", "function:app.f(app.z_enum)"}}, {"function:app.f(app.z_enum)", {"type:app.z_enum"}}};
    return here;
}

TEST(Foundation, IsMadeInTheOrderOfNeed) {
    auto const steps = ddl::foundation_steps(source(), empty_target(), {"reader"});
    EXPECT_EQ(ids(steps), (std::vector<std::string>{"schema:app", "type:app.z_enum", "function:app.f(app.z_enum)", "type:app.a_domain"}));
    EXPECT_EQ(steps[1].sql, (std::vector<std::string>{"CREATE TYPE \"app\".\"z_enum\" AS ENUM ('a', 'it''s')",
                                                      "COMMENT ON TYPE \"app\".\"z_enum\" IS 'a comment'"}));
    EXPECT_EQ(steps[1].undo, (std::vector<std::string>{"DROP TYPE IF EXISTS \"app\".\"z_enum\""}));
    EXPECT_EQ(steps[2].sql, (std::vector<std::string>{"SET LOCAL check_function_bodies = off", "CREATE FUNCTION …",
                                                      "REVOKE ALL ON ROUTINE app.f(app.z_enum) FROM PUBLIC",
                                                      "GRANT EXECUTE ON ROUTINE app.f(app.z_enum) TO \"reader\""}));
}

TEST(Foundation, NothingIsMadeTwice) {
    auto there = source();
    there.schemas = {{"app", "o", true, true}};
    EXPECT_TRUE(ddl::foundation_steps(source(), there, {}).empty());
    EXPECT_TRUE(ddl::foundation_notices(source(), there, {}).empty());
}

TEST(Foundation, ACircleEnds) {
    auto here = source();
    here.needs["type:app.z_enum"] = {"type:app.a_domain"};
    EXPECT_EQ(ddl::foundation_steps(here, empty_target(), {}).size(), 4U);
}

TEST(Foundation, VersionsOfCollations) {
    auto here = empty_target();
    here.collations = {{.name = {"pg_catalog", "de_DE"}, .provider = 'c', .collate = "de_DE", .ctype = "de_DE", .version = "2.31"}};
    auto there = here;
    there.collations[0].version = "2.36";
    auto const strict = ddl::foundation_notices(here, there, {});
    ASSERT_EQ(strict.size(), 1U);
    EXPECT_TRUE(strict[0].refuses);
    EXPECT_EQ(strict[0].text, "has version 2.31 at the source and 2.36 at the target: texts may sort and compare in another way");
    auto const lenient = ddl::foundation_notices(here, there, {}, {.collation_versions_refuse = false});
    ASSERT_EQ(lenient.size(), 1U);
    EXPECT_FALSE(lenient[0].refuses);
    there.collations.clear();
    EXPECT_EQ(ddl::foundation_notices(here, there, {})[0].text, "comes with the source's server and the target's does not have it");
}

TEST(Foundation, DatabasesAndServers) {
    auto here = empty_target();
    auto there = here;
    there.encoding = "LATIN1";
    there.server_version = 140000;
    auto const notices = ddl::foundation_notices(here, there, {});
    ASSERT_EQ(notices.size(), 2U);
    EXPECT_TRUE(notices[0].refuses && notices[1].refuses);
}

TEST(Foundation, Extensions) {
    auto here = empty_target();
    here.extensions = {{"citext", "1.6", "app"}};
    auto const text = [&](model::Foundation const& there) {
        auto const all = ddl::foundation_notices(here, there, {});
        return all.empty() ? std::string{} : (all[0].refuses ? "refused: " : "noted: ") + all[0].text;
    };
    auto there = empty_target();
    EXPECT_EQ(text(there), "refused: is not installed on the target's server");
    there.available = {{"citext", "1.6", false, false}};
    EXPECT_EQ(text(there), "refused: is missing at the target, and the role may not create it");
    there.available[0].creatable = true;
    EXPECT_EQ(text(there), "");
    EXPECT_EQ(ddl::foundation_steps(here, there, {})[0].sql[0], "CREATE EXTENSION \"citext\" SCHEMA \"app\"");
    there.extensions = {{"citext", "1.6", "public"}};
    EXPECT_EQ(text(there), "refused: is in schema app at the source and in public at the target");
    there.extensions = {{"citext", "1.5", "app"}};
    EXPECT_EQ(text(there), "noted: has version 1.6 at the source and 1.5 at the target");
}

struct Mentioning {
    model::Foundation here = empty_target();
    model::Foundation there = empty_target();
    std::vector<std::pair<QName, QName>> tables{{{"public", "orders"}, {"svc", "orders"}}};
    ddl::FoundationOptions options;

    explicit Mentioning(std::vector<model::Mention> mentions) {
        here.functions = {{.name = {"public", "f"}, .signature = "public.f()", .language = "plpgsql", .definition = "a", .owner = "o",
                           .mentions = std::move(mentions)}};
    }
    model::Function& function() { return here.functions[0]; }
    std::string text() {
        auto const all = ddl::foundation_notices(here, there, tables, options);
        return all.empty() ? std::string{} : (all[0].refuses ? "refused: " : "noted: ") + all[0].text;
    }
};

TEST(Mentions, OfTablesThatStayBehind) {
    Mentioning m{{{{"public", "audit"}, false, false}}};
    EXPECT_EQ(m.text(), "refused: names public.audit, which the target will not have");
    m.options.mentions_refuse = false;
    EXPECT_EQ(m.text(), "noted: names public.audit, which the target will not have");
    m.options.mentions_refuse = true;
    m.function().by_text = true;
    EXPECT_EQ(m.text(), "noted: names public.audit, which the target will not have");
    m.function().by_text = false;
    m.there.functions = m.here.functions;
    EXPECT_EQ(m.text(), "noted: names public.audit, which the target will not have; the target has it as it is");
    m.there.functions[0].definition = "b";
    EXPECT_EQ(m.text(), "noted: has a body of its own at the target, since the source's names public.audit, which the target will not have");
    m.function().mentions.clear();
    EXPECT_EQ(m.text(), "refused: differs: line 1: “a” at the source, “b” at the target");
}

TEST(Mentions, OfTablesThatMove) {
    EXPECT_EQ((Mentioning{{{{"public", "orders"}, true, false}}}.text()), "refused: names public.orders, which is svc.orders at the target");
    EXPECT_EQ((Mentioning{{{{"public", "orders"}, false, false}}}.text()),
              "noted: names tables without their schema; it finds svc.orders by the search_path of whoever calls it");
    Mentioning pinned{{{{"public", "orders"}, false, false}}};
    pinned.function().search_path = "pg_catalog, public";
    EXPECT_EQ(pinned.text(), "refused: names public.orders, which is svc.orders at the target, outside of the function's search_path");
    pinned.function().search_path = "pg_catalog, \"svc\"";
    EXPECT_EQ(pinned.text(), "");
    // After the schema hop the old table is still there under the same name.
    EXPECT_EQ((Mentioning{{{{"old", "orders"}, false, false}, {{"public", "orders"}, false, false}}}.text().substr(0, 6)), "noted:");
    Mentioning same{{{{"svc", "orders"}, true, false}}};
    same.tables = {{{"svc", "orders"}, {"svc", "orders"}}};
    EXPECT_EQ(same.text(), "");
}

TEST(Mentions, ThatTheServerKnows) {
    Mentioning m{{{{"public", "orders"}, true, true}}};
    m.tables = {{{"public", "orders"}, {"public", "orders"}}};
    EXPECT_EQ(m.text(), "refused: takes or reads rows of the service's tables, so it can only be made behind them");
    EXPECT_TRUE(ddl::foundation_steps(m.here, m.there, {}).empty());
}

} // namespace
