// Goal: the whole life of a database hop with no superuser on either server, over TCP with TLS (verify-full against a CA of one's own)
// and SCRAM, passwords in a password file, servers in a service file; with the rights of docs/roles.md and no more.
// Method: two servers that let nobody in otherwise; the real binary; a loose foreign key across them. A right less is named by
// doctor with the SQL that grants it.
#include "scenario/carving.hpp"

namespace {

using namespace pgcarve;
namespace fs = std::filesystem;

// A server that takes TCP connections only with TLS and SCRAM; the superuser comes in by the socket, for the test's own work.
class Secured {
public:
    Secured(std::string host, int number, fs::path const& certificates)
        : host_{std::move(host)}, address_{fmt::format("127.{}.{}.{}", 1 + getpid() / 250 % 250, 1 + getpid() % 250, number)},
          server_{{.bin = {},
                   .settings = {fmt::format("listen_addresses = '{}'", address_), "ssl = on", "password_encryption = 'scram-sha-256'",
                                fmt::format("ssl_cert_file = '{}/{}.crt'", certificates.string(), host_), fmt::format("ssl_key_file = '{}/{}.key'", certificates.string(), host_),
                                "max_slot_wal_keep_size = '1GB'", "idle_in_transaction_session_timeout = '5min'"}}} {
        std::ofstream{server_.folder() / "data/pg_hba.conf"} << "local all postgres trust\nhostssl all all 127.0.0.0/8 scram-sha-256\n";
        server_.connect().run("SELECT pg_reload_conf()");
        database_ = server_.create_database();
    }
    [[nodiscard]] std::string service(std::string const& name, std::string const& user, fs::path const& certificates) const {
        return fmt::format("[{}]\nhost={}\nhostaddr={}\nport=5432\ndbname={}\nuser={}\nsslmode=verify-full\nsslrootcert={}/ca.crt\n", name,
                           host_, address_, database_, user, certificates.string());
    }
    [[nodiscard]] pg::Session root() const { return server_.connect(database_); }
    void sql(std::string const& statements) const { root().run(statements); }
    [[nodiscard]] std::string value(std::string const& query) const {
        auto session = root();
        return test::Carving::value(session, query);
    }
    [[nodiscard]] std::string const& database() const { return database_; }
    [[nodiscard]] std::string const& host() const { return host_; }

private:
    std::string host_;
    std::string address_;
    test::Server server_;
    std::string database_;
};

// A certification authority and one certificate a host, readable by the servers.
class Certificates {
public:
    Certificates() {
        char name[] = "/tmp/pgcarve-tls-XXXXXX";
        if (mkdtemp(name) == nullptr)
            throw std::runtime_error{"mkdtemp failed"};
        folder_ = name;
        must("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj '/CN=test CA' -keyout ca.key -out ca.crt");
        for (std::string const host : {"shared.test", "shop.test"}) {
            must(fmt::format("openssl req -newkey rsa:2048 -nodes -subj '/CN={0}' -keyout {0}.key -out {0}.csr", host));
            must(fmt::format("sh -c 'echo subjectAltName=DNS:{0} >{0}.ext'", host));
            must(fmt::format("openssl x509 -req -in {0}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile {0}.ext -out {0}.crt", host));
            must(fmt::format("chmod 600 {}.key", host));
        }
        if (geteuid() == 0)
            must("chown -R postgres .");
        must("chmod 755 .");
    }
    Certificates(Certificates const&) = delete;
    Certificates& operator=(Certificates const&) = delete;
    ~Certificates() {
        std::error_code ignored;
        fs::remove_all(folder_, ignored);
    }
    [[nodiscard]] fs::path const& folder() const { return folder_; }

private:
    void must(std::string const& command) const {
        auto const output = test::run_command(fmt::format("cd {} && {}", folder_.string(), command));
        if (output.exit != 0)
            throw std::runtime_error{command + "\n" + output.err};
    }
    fs::path folder_;
};

class TlsRolesTest : public testing::Test {
protected:
    TlsRolesTest() : shared_{"shared.test", 1, certificates_.folder()}, other_{"shop.test", 2, certificates_.folder()} {
        char name[] = "/tmp/pgcarve-home-XXXXXX";
        if (mkdtemp(name) == nullptr)
            throw std::runtime_error{"mkdtemp failed"};
        home_ = name;
        // docs/roles.md, "The database hop"
        shared_.sql(fmt::format("CREATE ROLE monolith_owner NOLOGIN; CREATE ROLE app LOGIN; CREATE ROLE shop_app LOGIN; CREATE ROLE pgcarve_admin LOGIN REPLICATION PASSWORD 'here''s \\:one';"
                                "GRANT monolith_owner, pg_read_all_stats TO pgcarve_admin; GRANT CREATE ON DATABASE {} TO pgcarve_admin;"
                                "REVOKE ALL ON SCHEMA public FROM PUBLIC; GRANT USAGE ON SCHEMA public TO app; GRANT USAGE, CREATE ON SCHEMA public TO monolith_owner",
                                shared_.database()));
        other_.sql(fmt::format("CREATE ROLE shop_app LOGIN; CREATE ROLE pgcarve_admin LOGIN REPLICATION PASSWORD 'there'; GRANT CREATE ON DATABASE {} TO pgcarve_admin;"
                               "GRANT pg_read_all_stats TO pgcarve_admin; REVOKE ALL ON SCHEMA public FROM PUBLIC; GRANT USAGE, CREATE ON SCHEMA public TO pgcarve_admin",
                               other_.database()));
        shared_.sql("SET ROLE monolith_owner; CREATE TYPE public.mood AS ENUM ('open', 'done');"
                    "CREATE TABLE public.people (id int PRIMARY KEY, name text);"
                    "CREATE TABLE public.orders (id serial PRIMARY KEY, person int REFERENCES public.people ON DELETE CASCADE, mood public.mood NOT NULL DEFAULT 'open');"
                    "CREATE TABLE public.lines (order_id int REFERENCES public.orders ON DELETE CASCADE, line int, amount numeric(9,2), PRIMARY KEY (order_id, line));"
                    "CREATE TABLE public.invoices (id int PRIMARY KEY, order_id int REFERENCES public.orders ON DELETE SET NULL);"
                    "ALTER TABLE public.lines ENABLE ROW LEVEL SECURITY; CREATE POLICY all_rows ON public.lines USING (true);"
                    "INSERT INTO public.people SELECT n, 'p' || n FROM generate_series(1, 20) n; INSERT INTO public.orders (person) SELECT 1 + n % 20 FROM generate_series(1, 200) n;"
                    "INSERT INTO public.lines SELECT o, l, o FROM generate_series(1, 200) o, generate_series(1, 3) l; INSERT INTO public.invoices SELECT n, n FROM generate_series(1, 50) n;"
                    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO app; GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO app; RESET ROLE; ANALYZE");
        auto const services = shared_.service("monolith", "pgcarve_admin", certificates_.folder()) + other_.service("shop_db", "pgcarve_admin", certificates_.folder());
        std::ofstream{home_ / "services"} << services;
        std::ofstream{home_ / "passwords"} << fmt::format("{}:5432:*:pgcarve_admin:here's \\\\\\:one\n{}:5432:*:pgcarve_admin:there\n", shared_.host(), other_.host());
        fs::permissions(home_ / "passwords", fs::perms::owner_read | fs::perms::owner_write);
        std::ofstream{home_ / "pgcarve.toml"} << "[shared]\ndsn = \"service=monolith\"\n[defaults]\nwindow = \"0s\"\nclean_runs = 1\nhold = \"0s\"\n"
                                                 "[service.shop]\nschema = \"shop\"\nrole = \"shop_app\"\ntables = [\"orders\", \"lines\"]\n"
                                                 "[service.shop.database]\ndsn = \"service=shop_db\"\nschema = \"store\"\n"
                                                 "[service.shop.foreign_keys]\n\"orders.person -> people\" = \"loose\"\n\"invoices.order_id -> orders\" = \"loose\"\n";
    }
    ~TlsRolesTest() override {
        std::error_code ignored;
        fs::remove_all(home_, ignored);
    }
    TlsRolesTest(TlsRolesTest const&) = delete;
    TlsRolesTest& operator=(TlsRolesTest const&) = delete;

    test::Output run(std::string const& arguments) const {
        return test::run_command(fmt::format("env PGSERVICEFILE={0}/services PGPASSFILE={0}/passwords {1} --config {0}/pgcarve.toml {2}", home_.string(), PGCARVE_BINARY, arguments));
    }
    test::Output expect(int exit, std::string const& arguments) const {
        auto output = run(arguments);
        EXPECT_EQ(output.exit, exit) << "pgcarve " << arguments << "\n" << output.out << output.err;
        EXPECT_EQ((output.out + output.err).find("here's"), std::string::npos) << "a password was printed";
        return output;
    }
    void expect_equal() const {
        for (std::string const table : {"orders", "lines"}) {
            auto const content = "SELECT count(*) || ' ' || md5(coalesce(string_agg(t::text, E'\\n' ORDER BY t::text COLLATE \"C\"), '')) FROM {}.{} t";
            EXPECT_EQ(shared_.value(fmt::format(fmt::runtime(content), "public", table)), other_.value(fmt::format(fmt::runtime(content), "store", table))) << table;
        }
    }
    void write(Secured const& where, std::string const& schema, std::string const& role) const {
        where.sql(fmt::format("SET ROLE {1}; SET row_security = on; INSERT INTO {0}.orders (person) VALUES (3); UPDATE {0}.orders SET mood = 'done' WHERE id = 2;"
                              "INSERT INTO {0}.lines VALUES (2, (SELECT max(line) + 1 FROM {0}.lines), 9.50); DELETE FROM {0}.lines WHERE order_id = 4",
                              schema, role));
    }
    [[nodiscard]] std::string phase() const { return shared_.value("SELECT phase FROM pgcarve.service WHERE name = 'shop'"); }

    Certificates certificates_;
    Secured shared_;
    Secured other_;
    fs::path home_;
};

TEST_F(TlsRolesTest, NobodyIsASuperuserAndNothingIsInClearText) {
    expect(0, "init --yes");
    auto const doctor = run("doctor shop");
    EXPECT_EQ(doctor.exit, 0) << doctor.out << doctor.err;
    write(shared_, "public", "app");
    expect(0, "sync shop --yes --until-caught-up");
    EXPECT_EQ(shared_.value("SELECT count(*) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE a.usename = 'pgcarve_admin' AND NOT s.ssl"), "0");
    write(shared_, "public", "app");
    expect(0, "sync shop --yes --until-caught-up");
    expect_equal();
    EXPECT_EQ(phase(), "syncing");
    expect(0, "doctor shop");
    expect(0, "cutover shop --yes --override verification --override clean_runs --reason 'compared by the test'");
    EXPECT_EQ(phase(), "database_live");
    write(other_, "store", "shop_app");
    shared_.sql("SET ROLE app; DELETE FROM public.people WHERE id = 7"); // a loose foreign key
    other_.sql("SET ROLE shop_app; SET row_security = on; DELETE FROM store.orders WHERE id = 9"); // and one the other way
    expect(0, "sync shop --yes --until-caught-up");
    EXPECT_EQ(other_.value("SELECT count(*) FROM store.orders WHERE person = 7"), "0");
    EXPECT_EQ(shared_.value("SELECT count(*) FROM public.invoices WHERE order_id = 9"), "0");
    expect(0, "sync shop --yes --until-caught-up"); // what the loose key did comes back
    expect_equal();
    expect(0, "rollback shop --yes");
    EXPECT_EQ(phase(), "syncing");
    write(shared_, "public", "app");
    expect(0, "sync shop --yes --until-caught-up");
    expect_equal();
    expect(0, "cancel shop --yes");
    EXPECT_EQ(phase(), "planned");
    EXPECT_EQ(other_.value("SELECT count(*) FROM pg_namespace WHERE nspname IN ('store', 'pgcarve')"), "0");
}

// Each right less is named, with what grants it.
TEST_F(TlsRolesTest, AMissingRightIsNamed) {
    expect(0, "init --yes");
    auto const names = [&](std::string const& arguments, std::string const& text) {
        auto const output = run(arguments);
        EXPECT_NE((output.out + output.err).find(text), std::string::npos) << "no \"" << text << "\" in " << arguments << ":\n" << output.out << output.err;
    };
    shared_.sql("ALTER ROLE pgcarve_admin NOREPLICATION");
    names("doctor shop", "ALTER ROLE \"pgcarve_admin\" REPLICATION");
    shared_.sql("ALTER ROLE pgcarve_admin REPLICATION");
    other_.sql("ALTER ROLE pgcarve_admin NOREPLICATION");
    names("doctor shop", "ALTER ROLE \"pgcarve_admin\" REPLICATION");
    other_.sql("ALTER ROLE pgcarve_admin REPLICATION; REVOKE CREATE ON DATABASE " + other_.database() + " FROM pgcarve_admin");
    names("doctor shop", "may not create schemas");
    names("sync shop --yes", "may not create schemas");
    EXPECT_EQ(shared_.value("SELECT count(*) FROM pg_replication_slots"), "0");
    other_.sql("GRANT CREATE ON DATABASE " + other_.database() + " TO pgcarve_admin");
    shared_.sql("REVOKE CREATE ON DATABASE " + shared_.database() + " FROM pgcarve_admin");
    names("doctor shop", "GRANT CREATE ON DATABASE");
    names("sync shop --yes", "permission denied for database");
    EXPECT_EQ(shared_.value("SELECT count(*) FROM pg_replication_slots"), "0");
    shared_.sql("GRANT CREATE ON DATABASE " + shared_.database() + " TO pgcarve_admin");
    std::ofstream{home_ / "passwords"} << fmt::format("{}:5432:*:pgcarve_admin:here's \\\\\\:one\n{}:5432:*:pgcarve_admin:wrong\n", shared_.host(), other_.host());
    names("doctor shop", "password authentication failed");
    EXPECT_EQ(run("sync shop --yes").exit, 4);
}

} // namespace
