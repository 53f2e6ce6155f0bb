// Goal: every verb works without superuser, with the rights that docs/roles.md names and no
// more; a missing right is named, with the pinned exit code, and leaves nothing half-done.
// Method: the real binary against a private server, as a role with exactly those rights, then
// as one that lacks each of them in turn. The application writes as a role of its own which
// has rights on the authority only.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "support/server.hpp"

namespace {

using namespace pgcarve;
using sql::Sql;

// A small shop in a database of its own, with roles of its own (roles belong to the whole server).
class Shop {
public:
    Shop() : database_{server().create_database()}, folder_{fmt::format("/tmp/pgcarve-roles-{}-{}", getpid(), database_)} {
        for (auto const& [name, attributes] :
             {std::pair{owner, "NOLOGIN"}, std::pair{people, "NOLOGIN"}, std::pair{carver, "LOGIN"}, std::pair{app, "LOGIN"},
              std::pair{service, "LOGIN"}})
            root(fmt::format("CREATE ROLE {} {}", name, attributes));
        root("REVOKE ALL ON SCHEMA public FROM PUBLIC");
        root(fmt::format("GRANT USAGE ON SCHEMA public TO {}; GRANT USAGE, CREATE ON SCHEMA public TO {}, {}", app, owner, people));
        as(people, "CREATE TABLE public.people (id int PRIMARY KEY); INSERT INTO public.people SELECT generate_series(1, 10)");
        as(people, fmt::format("GRANT REFERENCES ON public.people TO {}", owner));
        as(owner, schema);
        as(owner, fmt::format("GRANT SELECT, INSERT, UPDATE, DELETE ON public.orders, public.lines, public.invoices TO {0};"
                              " GRANT USAGE ON SEQUENCE public.orders_id_seq TO {0}; GRANT SELECT ON public.open_orders TO {0};"
                              " CREATE POLICY all_rows ON public.lines USING (true)",
                              app));
        // docs/roles.md, the simplest set-up
        root(fmt::format("GRANT {} TO {}", owner, carver));
        root(fmt::format("GRANT CREATE ON DATABASE {} TO {}", database_, carver));
        root(fmt::format("GRANT pg_read_all_stats TO {}", carver));
        configure();
    }
    Shop(Shop const&) = delete;
    Shop& operator=(Shop const&) = delete;
    ~Shop() {
        std::error_code ignored;
        std::filesystem::remove_all(folder_, ignored);
    }

    static test::Server& server() { return test::Server::shared(); }

    void configure(std::string const& more = {}) {
        std::filesystem::create_directories(folder_);
        std::ofstream{folder_ / "pgcarve.toml"}
            << fmt::format("[shared]\ndsn = \"{}\"\n[defaults]\nwindow = \"0s\"\nclean_runs = 1\nhold = \"0s\"\n"
                           "[service.shop]\nschema = \"shop\"\nrole = \"{}\"\ntables = [\"orders\", \"lines\"]\n{}",
                           server().dsn(database_, carver), role, more);
    }

    [[nodiscard]] test::Output run(std::string const& arguments) const {
        return test::run_command(fmt::format("{} --config {}/pgcarve.toml {}", PGCARVE_BINARY, folder_.string(), arguments));
    }
    // Fails the test unless the verb ends with this exit code.
    test::Output expect(int exit, std::string const& arguments) const {
        auto const output = run(arguments);
        EXPECT_EQ(output.exit, exit) << "pgcarve " << arguments << "\n" << output.out << output.err;
        return output;
    }

    void root(std::string const& sql) const { server().connect(database_).run(sql); }
    void as(std::string const& name, std::string const& sql) const { server().connect(database_).run("SET ROLE " + name + "; " + sql); }
    [[nodiscard]] std::string value(std::string const& query) const {
        auto session = server().connect(database_);
        return session.one(Sql{"SELECT ("}.server_text(query).add(")::text AS v")).maybe("v").value_or("NULL");
    }

    // What the application does: in the tables of this schema, as a role that has no rights elsewhere.
    void write(std::string const& schema_name) const {
        server().connect(database_, app).run(
            fmt::format("SET row_security = on; INSERT INTO {0}.orders (person, note) VALUES (3, 'new'); UPDATE {0}.orders SET note = note || '!' WHERE id = 2;"
                        " INSERT INTO {0}.lines (order_id, line, amount) VALUES (2, (SELECT max(line) + 1 FROM {0}.lines), 9.50);"
                        " DELETE FROM {0}.lines WHERE order_id = 1 AND line = (SELECT min(line) FROM {0}.lines WHERE order_id = 1)",
                        schema_name));
    }
    void expect_equal_sides() const {
        for (std::string const table : {"orders", "lines"})
            EXPECT_EQ(value(fmt::format("SELECT string_agg(t::text, E'\\n' ORDER BY t::text) FROM public.{} t", table)),
                      value(fmt::format("SELECT string_agg(t::text, E'\\n' ORDER BY t::text) FROM shop.{} t", table)))
                << table;
    }
    [[nodiscard]] std::string phase() const { return value("SELECT phase FROM pgcarve.service WHERE name = 'shop'"); }
    // Nothing of a split is there: no schema, no trigger of pgcarve's.
    void expect_untouched() const {
        EXPECT_EQ(value("SELECT count(*) FROM pg_namespace WHERE nspname = 'shop'"), "0");
        EXPECT_EQ(value("SELECT count(*) FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid"
                        " WHERE p.pronamespace = to_regnamespace('pgcarve') AND t.tgrelid::regclass::text NOT LIKE 'pgcarve.%'"),
                  "0");
    }

private:
    static constexpr char const* schema =
        "CREATE TYPE public.mood AS ENUM ('open', 'done');"
        "CREATE TABLE public.orders (id serial PRIMARY KEY, person int REFERENCES public.people, note text,"
        " mood public.mood NOT NULL DEFAULT 'open', changed timestamptz);"
        "CREATE TABLE public.lines (order_id int REFERENCES public.orders ON DELETE CASCADE, line int, amount numeric(9,2),"
        " tax numeric GENERATED ALWAYS AS (amount * 0.2) STORED, PRIMARY KEY (order_id, line));"
        "ALTER TABLE public.lines ENABLE ROW LEVEL SECURITY;"
        "CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN NEW.changed := clock_timestamp(); RETURN NEW; END $$;"
        "CREATE TRIGGER touch BEFORE UPDATE ON public.orders FOR EACH ROW EXECUTE FUNCTION public.touch();"
        "CREATE TABLE public.invoices (id int PRIMARY KEY, order_id int REFERENCES public.orders);"
        "CREATE VIEW public.open_orders AS SELECT id, note FROM public.orders WHERE mood = 'open';"
        "INSERT INTO public.orders (person, note) SELECT 1 + n % 10, 'order ' || n FROM generate_series(1, 200) n;"
        "INSERT INTO public.lines SELECT o, l, o * l FROM generate_series(1, 200) o, generate_series(1, 3) l;"
        "INSERT INTO public.invoices SELECT n, n FROM generate_series(1, 50) n";

    std::string database_;
    std::filesystem::path folder_;

public:
    std::string owner = database_ + "_owner";
    std::string people = database_ + "_people"; // owns a table that the service refers to
    std::string carver = database_ + "_carver"; // runs pgcarve
    std::string app = database_ + "_app";
    std::string service = database_ + "_service";
    std::string role = service; // of the service, as pgcarve.toml names it

    [[nodiscard]] std::string const& database() const { return database_; }
    void set_up() const { // up to dual writing
        expect(0, "init --yes");
        expect(0, "split shop --yes");
    }
    void live() const {
        set_up();
        expect(0, "verify shop");
        expect(0, "cutover shop --yes");
    }
};

TEST(Roles, AnOrdinaryRoleGoesThroughTheWholeLife) {
    Shop const shop;
    shop.expect(1, "doctor shop"); // no control schema yet
    shop.expect(0, "init --yes");
    shop.expect(0, "doctor shop");
    shop.expect_untouched();
    shop.expect(0, "plan shop");
    shop.expect(0, "split shop --yes");
    EXPECT_EQ(shop.phase(), "dual_writing");
    shop.write("public");
    shop.expect_equal_sides();
    shop.expect(0, "doctor shop");
    shop.expect(0, "verify shop");

    shop.root("SET session_replication_role = replica; UPDATE shop.orders SET note = 'rot' WHERE id = 7");
    shop.expect(1, "verify shop");
    shop.expect(1, "doctor shop"); // a finding is open
    shop.expect(0, "repair shop --yes");
    shop.expect_equal_sides();
    shop.expect(0, "verify shop");
    shop.expect(0, "status shop");

    shop.expect(0, "cutover shop --yes");
    EXPECT_EQ(shop.phase(), "schema_live");
    shop.write("shop");
    shop.expect_equal_sides();
    EXPECT_THROW(shop.write("public"), pg::SqlError);
    shop.expect(0, "doctor shop");
    shop.expect(0, "verify shop");
    shop.expect(0, "rollback shop --yes");
    EXPECT_EQ(shop.phase(), "dual_writing");
    shop.write("public");
    shop.expect_equal_sides();
    shop.expect(0, "verify shop");
    shop.expect(0, "cutover shop --yes");
    shop.write("shop");
    shop.expect_equal_sides();

    shop.expect(0, "complete shop --yes");
    EXPECT_EQ(shop.phase(), "completed");
    shop.write("shop");
    shop.expect(0, "doctor shop");
    shop.expect(0, "complete shop --purge --yes");
    shop.expect(0, "status shop");
    shop.expect(0, "doctor shop");
    // The service's own role can work, with nothing but its own rights.
    Shop::server()
        .connect(shop.database(), shop.service)
        .run("SET row_security = on; INSERT INTO shop.orders (person, note) VALUES (1, 'mine'); UPDATE shop.lines SET amount = 1 WHERE order_id = 5;"
             " DELETE FROM shop.lines WHERE order_id = 6; SELECT FROM shop.orders");
    EXPECT_EQ(shop.value("SELECT count(*) FROM public.open_orders WHERE note = 'mine'"), "1");
}

TEST(Roles, AnOrdinaryRoleCancels) {
    Shop const shop;
    shop.set_up();
    shop.expect(0, "cancel shop --yes");
    EXPECT_EQ(shop.phase(), "planned");
    shop.expect_untouched();
    shop.write("public");
    shop.expect(0, "doctor shop");
}

TEST(Roles, InitNeedsCreateOnTheDatabase) {
    Shop const shop;
    shop.root(fmt::format("REVOKE CREATE ON DATABASE {} FROM {}", shop.database(), shop.carver));
    auto const output = shop.expect(5, "init --yes");
    EXPECT_NE(output.err.find("permission denied for database"), std::string::npos) << output.err;
    EXPECT_EQ(shop.value("SELECT count(*) FROM pg_namespace WHERE nspname = 'pgcarve'"), "0");
    auto const grant = fmt::format("GRANT CREATE ON DATABASE \"{}\" TO \"{}\"", shop.database(), shop.carver);
    EXPECT_NE(shop.expect(1, "doctor shop").out.find(grant), std::string::npos);
    shop.root(grant);
    shop.expect(0, "init --yes");
}

TEST(Roles, SplitNeedsCreateOnTheDatabase) {
    Shop const shop;
    shop.expect(0, "init --yes");
    shop.root(fmt::format("REVOKE CREATE ON DATABASE {} FROM {}", shop.database(), shop.carver));
    auto const grant = fmt::format("GRANT CREATE ON DATABASE \"{}\" TO \"{}\"", shop.database(), shop.carver);
    EXPECT_NE(shop.expect(1, "doctor shop").out.find(grant), std::string::npos);
    auto const output = shop.expect(5, "split shop --yes");
    EXPECT_NE(output.err.find("permission denied for database"), std::string::npos) << output.err;
    shop.expect_untouched();
    shop.write("public");
    auto const told = shop.expect(5, "doctor shop").out;
    EXPECT_NE(told.find("pgcarve cancel shop"), std::string::npos) << told;
    EXPECT_NE(told.find(grant), std::string::npos) << told;
    shop.root(grant);
    shop.expect(0, "split shop --yes"); // goes on where it stood
    shop.expect_equal_sides();
}

TEST(Roles, SplitNeedsTheRightsOfTheTablesOwner) {
    Shop const shop;
    shop.expect(0, "init --yes");
    shop.root(fmt::format("REVOKE {} FROM {}", shop.owner, shop.carver));
    auto const output = shop.expect(5, "split shop --yes");
    auto const grant = fmt::format("GRANT \"{}\" TO \"{}\"", shop.owner, shop.carver);
    EXPECT_NE(output.err.find(grant), std::string::npos) << output.err;
    EXPECT_NE(shop.expect(1, "doctor shop").out.find(grant), std::string::npos);
    shop.expect_untouched();
    shop.root(grant);
    shop.expect(0, "split shop --yes");
}

TEST(Roles, ForcedRowSecurityNeedsBypassRls) {
    Shop const shop;
    shop.as(shop.owner, "ALTER TABLE public.lines FORCE ROW LEVEL SECURITY");
    shop.expect(0, "init --yes");
    auto const output = shop.expect(5, "split shop --yes");
    auto const mend = fmt::format("ALTER ROLE \"{}\" BYPASSRLS", shop.carver);
    EXPECT_NE(output.err.find(mend), std::string::npos) << output.err;
    EXPECT_NE(shop.expect(1, "doctor shop").out.find(mend), std::string::npos);
    shop.expect_untouched();
    shop.root(mend);
    shop.set_up();
    shop.expect(0, "verify shop");
    shop.root("SET session_replication_role = replica; UPDATE shop.lines SET amount = 0 WHERE order_id = 9");
    shop.expect(1, "verify shop"); // it does see the rows
}

TEST(Roles, CreatingTheServicesRoleNeedsCreaterole) {
    Shop shop;
    shop.role = shop.database() + "_fresh";
    shop.configure("create_role = true\n");
    shop.expect(0, "init --yes");
    EXPECT_EQ(shop.expect(1, "doctor shop").out.find("create_role asks for") == std::string::npos, false);
    auto const output = shop.expect(5, "split shop --yes");
    EXPECT_NE(output.err.find("permission denied to create role"), std::string::npos) << output.err;
    shop.expect_untouched();
    shop.root(fmt::format("ALTER ROLE {} CREATEROLE", shop.carver));
    shop.expect(0, "split shop --yes");
    EXPECT_EQ(shop.value(fmt::format("SELECT has_table_privilege('{}', 'shop.orders', 'UPDATE')", shop.role)), "true");
    shop.expect(0, "cancel shop --yes");
    EXPECT_EQ(shop.value(fmt::format("SELECT count(*) FROM pg_roles WHERE rolname = '{}'", shop.role)), "0");
}

TEST(Roles, AMissingServiceRoleIsNamed) {
    Shop shop;
    shop.role = shop.database() + "_absent";
    shop.configure();
    shop.expect(0, "init --yes");
    auto const output = shop.expect(5, "split shop --yes");
    EXPECT_NE(output.err.find(shop.role), std::string::npos) << output.err;
    shop.expect_untouched();
    auto const mend = fmt::format("CREATE ROLE \"{}\" LOGIN", shop.role);
    EXPECT_NE(shop.expect(1, "doctor shop").out.find(mend), std::string::npos);
    shop.root(mend);
    shop.set_up();
}

TEST(Roles, KeysThatLeaveTheServiceNeedReferences) {
    Shop const shop;
    shop.set_up();
    shop.expect(0, "verify shop");
    shop.as(shop.people, fmt::format("REVOKE REFERENCES ON public.people FROM {}", shop.owner));
    auto const output = shop.expect(5, "cutover shop --yes");
    EXPECT_NE(output.err.find("people"), std::string::npos) << output.err;
    auto const grant = fmt::format("GRANT REFERENCES ON \"public\".\"people\" TO \"{}\"", shop.carver);
    EXPECT_NE(shop.run("doctor shop").out.find(grant), std::string::npos);
    // The monolith goes on as before.
    EXPECT_EQ(shop.phase(), "dual_writing");
    shop.write("public");
    shop.expect_equal_sides();
    shop.root(grant);
    shop.expect(0, "cutover shop --yes");
    shop.write("shop");
    shop.expect_equal_sides();
}

TEST(Roles, TheGateStaysClosedWhileItCannotSeeHowOldAWriterIs) {
    Shop const shop;
    shop.set_up();
    shop.expect(0, "verify shop");
    shop.root(fmt::format("REVOKE pg_read_all_stats FROM {}", shop.carver));
    auto writer = Shop::server().connect(shop.database(), shop.app);
    pg::Transaction transaction{writer};
    writer.run("UPDATE public.orders SET note = 'slow' WHERE id = 1");
    auto const output = shop.expect(1, "cutover shop --yes");
    EXPECT_NE((output.out + output.err).find("transactions"), std::string::npos) << output.out << output.err;
    EXPECT_NE(shop.expect(0, "doctor shop").out.find(fmt::format("GRANT pg_read_all_stats TO \"{}\"", shop.carver)), std::string::npos);
    EXPECT_EQ(shop.phase(), "dual_writing");
    transaction.commit();
    shop.expect(0, "cutover shop --yes");
    shop.expect_equal_sides();
}

TEST(Roles, TheServicesRoleMustBeAbleToWorkBeforeACutover) {
    Shop const shop;
    shop.set_up();
    shop.expect(0, "verify shop");
    shop.as(shop.owner, fmt::format("REVOKE UPDATE ON shop.orders FROM {}", shop.service));
    auto const output = shop.expect(1, "cutover shop --yes");
    EXPECT_NE((output.out + output.err).find("UPDATE"), std::string::npos) << output.out << output.err;
    auto const grant = fmt::format("GRANT SELECT, INSERT, UPDATE, DELETE ON \"shop\".\"orders\" TO \"{}\"", shop.service);
    EXPECT_NE(shop.expect(1, "doctor shop").out.find(grant), std::string::npos);
    EXPECT_EQ(shop.phase(), "dual_writing");
    shop.as(shop.owner, grant);
    shop.expect(0, "cutover shop --yes");
}

TEST(Roles, CompleteNeedsTheOwnersOfWhatItMovesOver) {
    Shop const shop;
    shop.root(fmt::format("ALTER VIEW public.open_orders OWNER TO {0}; GRANT SELECT ON public.orders TO {0}", shop.people));
    shop.live();
    auto const grant = fmt::format("GRANT \"{}\" TO \"{}\"", shop.people, shop.carver);
    EXPECT_NE(shop.expect(1, "doctor shop").out.find(grant), std::string::npos);
    auto const output = shop.expect(5, "complete shop --yes");
    EXPECT_NE(output.err.find("open_orders"), std::string::npos) << output.err;
    // Going back would still lose nothing.
    EXPECT_EQ(shop.phase(), "schema_live");
    shop.write("shop");
    shop.expect_equal_sides();
    shop.root(grant);
    shop.expect(0, "complete shop --yes");
    EXPECT_EQ(shop.phase(), "completed");
}

TEST(Roles, AStrangerToTheControlSchemaIsToldSo) {
    Shop shop;
    shop.set_up();
    auto const stranger = shop.database() + "_stranger";
    shop.root(fmt::format("CREATE ROLE {} LOGIN", stranger));
    auto const carver = shop.carver;
    shop.carver = stranger;
    shop.configure();
    for (std::string const verb : {"status shop", "verify shop", "split shop --yes", "cutover shop --yes", "cancel shop --yes"}) {
        auto const output = shop.expect(5, verb);
        EXPECT_NE(output.err.find("permission denied for schema pgcarve"), std::string::npos) << verb << "\n" << output.err;
    }
    auto const grant = fmt::format("GRANT \"{}\" TO \"{}\"", carver, stranger);
    EXPECT_NE(shop.expect(1, "doctor shop").out.find(grant), std::string::npos);
    EXPECT_EQ(shop.phase(), "dual_writing");
    shop.write("public");
    shop.expect_equal_sides();
    // A colleague of the one who began can go on.
    shop.root(grant);
    shop.root(fmt::format("GRANT pg_read_all_stats TO {}", stranger));
    shop.expect(0, "doctor shop");
    shop.expect(0, "verify shop");
    shop.expect(0, "cutover shop --yes");
    shop.write("shop");
    shop.expect_equal_sides();
    shop.expect(0, "rollback shop --yes");
    shop.expect(0, "cancel shop --yes");
    shop.expect_untouched();
}

TEST(Roles, DoctorNamesWhatChangedUnderTheMirrorAndSplitMendsIt) {
    Shop const shop;
    shop.set_up();
    shop.as(shop.owner, "ALTER TABLE public.orders ADD COLUMN channel text NOT NULL DEFAULT 'web'");
    auto told = shop.expect(1, "doctor shop").out;
    EXPECT_NE(told.find("channel"), std::string::npos) << told;
    EXPECT_NE(told.find("pgcarve split shop"), std::string::npos) << told;
    shop.expect(0, "split shop --yes");
    shop.expect(0, "doctor shop");
    shop.write("public");
    shop.expect_equal_sides();

    shop.as(shop.owner, "ALTER TABLE public.lines DISABLE TRIGGER USER");
    auto const document = nlohmann::json::parse(shop.expect(1, "--format json doctor shop").out);
    shop.write("public"); // past the mirror
    for (auto const& finding : document.at("findings")) {
        if (finding.at("id") != "machinery")
            continue;
        EXPECT_NE(finding.at("message").get<std::string>().find("public.lines"), std::string::npos) << finding;
        for (auto const& statement : finding.at("sql"))
            shop.as(shop.carver, statement);
    }
    shop.expect(1, "verify shop");
    shop.expect(0, "repair shop --yes");
    shop.expect(0, "doctor shop");
    shop.expect_equal_sides();
}

TEST(Roles, AReaderMayLookAndVerify) {
    Shop shop;
    shop.set_up();
    auto const reader = shop.database() + "_reader";
    shop.root(fmt::format("CREATE ROLE {0} LOGIN; GRANT USAGE ON SCHEMA pgcarve, public, shop TO {0};"
                          " GRANT SELECT ON ALL TABLES IN SCHEMA pgcarve, public, shop TO {0};"
                          " GRANT INSERT ON pgcarve.verification TO {0}; GRANT INSERT, UPDATE ON pgcarve.finding TO {0}",
                          reader));
    shop.carver = reader;
    shop.configure();
    shop.expect(0, "status shop");
    // "lines" has row security: what a policy may hide is never passed over in silence.
    auto const hidden = shop.expect(3, "verify shop"); // not proven
    EXPECT_NE((hidden.out + hidden.err).find("row-level security"), std::string::npos) << hidden.out << hidden.err;
    shop.root(fmt::format("ALTER ROLE {} BYPASSRLS", reader));
    EXPECT_NE(shop.expect(0, "verify shop").err.find("may not write pgcarve.verify_run"), std::string::npos);
    shop.root(fmt::format("GRANT INSERT, UPDATE, DELETE ON pgcarve.verify_run, pgcarve.verify_range, pgcarve.verification_turn TO {}", reader));
    EXPECT_EQ(shop.expect(0, "verify shop").err.find("may not write"), std::string::npos);
    shop.expect(0, "verify shop --incremental");
    shop.root("SET session_replication_role = replica; UPDATE shop.lines SET amount = 0 WHERE order_id = 9");
    shop.expect(1, "verify shop");
    auto const refused = shop.expect(5, "repair shop --yes");
    EXPECT_NE(refused.err.find("permission denied"), std::string::npos) << refused.err;
    EXPECT_EQ(shop.phase(), "dual_writing");
}

} // namespace
