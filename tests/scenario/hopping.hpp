// What the scenarios of the database hop share: two servers, a service whose rows move between them, and clients that
// follow it.
#pragma once

#include "scenario/carving.hpp"

namespace pgcarve::test {

inline Server& shared_server() {
    static Server one{{.settings = {"wal_level = logical", "max_replication_slots = 30", "max_wal_senders = 30"}}};
    return one;
}

inline Server& service_server() {
    static Server one{{.settings = {"wal_level = logical", "max_replication_slots = 30", "max_wal_senders = 30"}}};
    return one;
}

inline std::vector<std::string> const hop_tables{"orders", "lines", "payments", "Größen"};

inline constexpr auto hop_schema = R"(
CREATE TYPE public.state AS ENUM ('new', 'paid', 'gone');
CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
    'BEGIN NEW.touched := clock_timestamp(); RETURN NEW; END';
CREATE TABLE public.customers (id integer PRIMARY KEY, name text);
CREATE TABLE public.orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, state public.state NOT NULL DEFAULT 'new',
    customer integer REFERENCES public.customers, attributes jsonb, big text, touched timestamptz, twice bigint GENERATED ALWAYS AS (customer * 2) STORED);
CREATE INDEX ON public.orders (customer) WHERE state <> 'gone';
CREATE TRIGGER touch BEFORE UPDATE ON public.orders FOR EACH ROW EXECUTE FUNCTION public.touch();
CREATE TABLE public.lines (order_id bigint REFERENCES public.orders ON DELETE CASCADE, line integer, price numeric(10, 2),
    UNIQUE (order_id, price), PRIMARY KEY (order_id, line));
CREATE TABLE public.payments (day date, id bigserial, order_id bigint, amount numeric, PRIMARY KEY (day, id)) PARTITION BY RANGE (day);
CREATE TABLE public.payments_1 PARTITION OF public.payments FOR VALUES FROM ('2024-01-01') TO ('2024-07-01');
CREATE TABLE public.payments_2 PARTITION OF public.payments FOR VALUES FROM ('2024-07-01') TO ('2025-01-01');
CREATE TABLE public."Größen" ("Schlüssel" uuid PRIMARY KEY, "wert ""x""" text[]);
CREATE TABLE public.tickets (id serial PRIMARY KEY, order_id bigint REFERENCES public.orders);
INSERT INTO public.customers SELECT g, 'customer ' || g FROM generate_series(0, 49) g;
INSERT INTO public.orders (customer, attributes, big) SELECT g % 50, jsonb_build_object('g', g), repeat(md5(g::text), 200) FROM generate_series(1, 800) g;
INSERT INTO public.lines SELECT o.id, l, l FROM public.orders o, generate_series(1, 3) l;
INSERT INTO public.payments (day, order_id, amount) SELECT '2024-01-01'::date + g % 360, g, g FROM generate_series(1, 800) g;
INSERT INTO public."Größen" SELECT md5(g::text)::uuid, ARRAY['a', NULL, 'b"c'] FROM generate_series(1, 800) g;
INSERT INTO public.tickets (order_id) SELECT 701 + g FROM generate_series(1, 50) g;
)";

// A client that writes to the side that takes writes, follows the tables when a side refuses, connects again when a server
// goes, and keeps what was acknowledged. Each has turns of its own.
class Client {
public:
    struct Side {
        Server* server;
        std::string database;
        std::string schema;
    };
    Client(std::vector<Side> sides, int number) : sides_{std::move(sides)}, number_{number} {
        thread_ = std::thread{[this] { loop(); }};
    }
    Client(Client const&) = delete;
    Client& operator=(Client const&) = delete;
    ~Client() { stop(); }

    void stop() {
        stop_ = true;
        if (thread_.joinable())
            thread_.join();
        EXPECT_EQ(problem_, "");
    }
    void more(int count) const {
        auto const goal = acknowledged_ + count;
        EXPECT_TRUE(wait_until([&] { return acknowledged_ >= goal || stop_; }, base::Millis{60'000})) << "the client hangs: " << problem_;
    }
    [[nodiscard]] int acknowledged() const { return acknowledged_; }
    // The longest that one transaction took, refusals and reconnections included; for messages only.
    [[nodiscard]] double worst_ms() const { return worst_ms_; }
    // What was acknowledged before the call and is not in this side's tables.
    [[nodiscard]] int lost(Side const& side) {
        std::vector<std::string> turns;
        {
            std::lock_guard const lock{mutex_};
            turns = turns_;
        }
        if (turns.empty())
            return 0;
        auto session = side.server->connect(side.database);
        auto const there = Carving::value(session, fmt::format("SELECT count(DISTINCT attributes ->> 'turn') FROM {}.orders WHERE attributes ->> 'turn' = ANY ({})",
                                                               side.schema, sql::literal(pg::format_array(turns))));
        return static_cast<int>(turns.size()) - std::stoi(there);
    }

private:
    void loop() {
        try {
            for (int turn = 1; !stop_; ++turn)
                one(turn);
        } catch (std::exception const& e) {
            problem_ = e.what();
            stop_ = true;
        }
    }

    void one(int turn) {
        auto const began = std::chrono::steady_clock::now();
        while (!stop_) {
            auto const& side = sides_[at_];
            try {
                if (!session_ || !session_->alive())
                    session_.emplace(side.server->connect(side.database));
                write(turn, side.schema);
                {
                    std::lock_guard const lock{mutex_};
                    turns_.push_back(fmt::format("{}-{}", number_, turn));
                }
                worst_ms_ = std::max(worst_ms_.load(), std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began).count());
                ++acknowledged_;
                std::this_thread::sleep_for(std::chrono::milliseconds{10}); // an application's pace, so that others get the cores
                return;
            } catch (pg::SqlError const& e) {
                if (e.sqlstate() == pg::sqlstate::moved || e.sqlstate() == pg::sqlstate::undefined_table || e.sqlstate() == "3F000") {
                    at_ = 1 - at_;
                    session_.reset();
                    std::this_thread::sleep_for(std::chrono::milliseconds{2});
                } else if (e.sqlstate() != "40001" && e.sqlstate() != "40P01" && e.sqlstate() != "55P03" && !e.sqlstate().starts_with("57P")) {
                    throw;
                }
            } catch (base::Error const& e) {
                if (e.exit() != base::Exit::unavailable)
                    throw;
                session_.reset(); // a server that went: the turn is written again, under the same number
                std::this_thread::sleep_for(std::chrono::milliseconds{50});
            }
        }
    }

    void write(int turn, std::string const& schema) {
        auto const n = turn + number_ * 311;
        pg::Transaction transaction{*session_};
        session_->run(fmt::format(
            "INSERT INTO {0}.orders (customer, attributes, big) VALUES ({1} % 50, '{{\"turn\": \"{2}-{3}\"}}', repeat('x', {1} % 7000));"
            "INSERT INTO {0}.lines SELECT max(id), 1, 2.5 FROM {0}.orders WHERE attributes ->> 'turn' = '{2}-{3}';"
            "UPDATE {0}.orders SET state = 'paid' WHERE id = 1 + {1} % 700;"
            "UPDATE {0}.lines SET price = 10 - price WHERE order_id = 1 + {1} % 700;"
            "DELETE FROM {0}.orders WHERE id = 1 + ({1} * 7) % 700;"
            "INSERT INTO {0}.payments (day, order_id, amount) VALUES ('2024-01-01'::date + {1} % 300, {1}, {1});"
            "UPDATE {0}.payments SET day = day + 30 WHERE id = 1 + {1} % 700 AND day < '2024-11-01';"
            "UPDATE {0}.\"Größen\" SET \"Schlüssel\" = md5('n{1}')::uuid WHERE \"Schlüssel\" = md5('{1}')::uuid",
            schema, n, number_, turn));
        transaction.commit();
    }

    std::vector<Side> sides_;
    int number_;
    std::size_t at_ = 0;
    std::optional<pg::Session> session_;
    std::atomic<bool> stop_{false};
    std::atomic<int> acknowledged_{0};
    std::atomic<double> worst_ms_{0};
    std::mutex mutex_;
    std::vector<std::string> turns_;
    std::string problem_;
    std::thread thread_;
};

// The service "shop" of a database on one server, with a database on the other.
class Hop {
public:
    explicit Hop(std::string const& defaults = {}, std::string const& shared = shared_server().create_database(),
                 std::string const& own = service_server().create_database(), std::string const& user = "postgres")
        : own_{own}, carving_{shared_server(), shared, services(own, user), patient(defaults), user} {}

    // Writers may wait here as long as a busy machine needs: what these tests look at is what becomes of the rows.
    [[nodiscard]] static std::string patient(std::string const& defaults) {
        return defaults.find("max_write_block") != std::string::npos ? defaults : "max_write_block = \"20s\"\n" + defaults;
    }
    [[nodiscard]] static std::string services(std::string const& own, std::string const& user = "postgres") {
        return fmt::format("[service.shop]\nschema = \"shop\"\ntables = [\"orders\", \"lines\", \"payments\", \"Größen\"]\n"
                           "[service.shop.database]\ndsn = \"{}\"\nschema = \"store\"\n"
                           "[service.shop.foreign_keys]\n\"orders.customer -> customers\" = \"drop\"\n\"tickets.order_id -> orders\" = \"drop\"\n",
                           service_server().dsn(own, user));
    }
    // Up to syncing.
    void prepare() const {
        carving_.sql(hop_schema);
        carving_.expect(0, "init --yes");
        carving_.expect(0, "sync shop --yes --until-caught-up");
    }
    [[nodiscard]] Carving const& carving() const { return carving_; }
    [[nodiscard]] Carving& carving() { return carving_; }
    [[nodiscard]] std::string const& own() const { return own_; }
    [[nodiscard]] Client::Side shared_side() const { return {&shared_server(), carving_.database(), "public"}; }
    [[nodiscard]] Client::Side own_side() const { return {&service_server(), own_, "store"}; }
    [[nodiscard]] std::vector<Client::Side> sides() const { return {shared_side(), own_side()}; }

    [[nodiscard]] static std::string content(Client::Side const& side, std::string const& table) {
        auto session = side.server->connect(side.database);
        return Carving::value(session, fmt::format("SELECT count(*) || ' ' || md5(coalesce(string_agg(t::text, E'\\n' ORDER BY t::text COLLATE \"C\"), '')) FROM {}.\"{}\" t",
                                                   side.schema, table));
    }
    void expect_equal() const {
        for (auto const& table : hop_tables)
            EXPECT_EQ(content(shared_side(), table), content(own_side(), table)) << table;
    }

    // Whether a plain client's write passes: "yes", "refused", or "none" when there is no such table.
    [[nodiscard]] static std::string takes_writes(Client::Side const& side, std::string const& table = "payments") {
        auto session = side.server->connect(side.database);
        if (Carving::value(session, fmt::format("SELECT to_regclass('{}.\"{}\"') IS NULL", side.schema, table)) == "true")
            return "none";
        pg::Transaction transaction{session};
        try {
            session.run(table == "payments" ? fmt::format("INSERT INTO {}.payments (day, order_id, amount) VALUES ('2024-05-05', 7, 1)", side.schema)
                                            : fmt::format("DELETE FROM {}.\"{}\"", side.schema, table));
            transaction.abort();
            return "yes";
        } catch (pg::SqlError const& e) {
            if (e.sqlstate() != pg::sqlstate::moved)
                throw;
            return "refused";
        }
    }
    // At no moment both; `shared`: whether it is that side now.
    void expect_one_writer(bool shared) const {
        for (std::string const table : {"payments", "Größen"}) {
            EXPECT_EQ(takes_writes(shared_side(), table), shared ? "yes" : "refused") << table;
            EXPECT_EQ(takes_writes(own_side(), table), shared ? "refused" : "yes") << table;
        }
    }

    // Killed programs' sessions end when the servers notice.
    void wait_for_sessions_to_end() const {
        carving_.wait_for_sessions_to_end();
        auto session = service_server().connect(own_);
        EXPECT_TRUE(wait_until([&] {
            return Carving::value(session, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'pgcarve %'"
                                           " AND application_name <> 'pgcarve test'") == "0";
        }));
    }

    // Everything that a database, and its server, hold apart from the application's rows, for comparing before with after.
    // Of the control schema's tables those that are no history have to be empty when nothing is under way.
    [[nodiscard]] static std::string objects(Client::Side const& side) {
        auto session = side.server->connect(side.database);
        auto all = catalog_text(session);
        for (std::string const query :
             {"SELECT format('slot %s', slot_name) FROM pg_replication_slots WHERE database = current_database()", "SELECT format('publication %s', pubname) FROM pg_publication",
              "SELECT format('subscription %s', subname) FROM pg_subscription", "SELECT format('origin %s', roname) FROM pg_replication_origin",
              "SELECT format('role %s', rolname) FROM pg_roles", "SELECT format('schema %s %s', nspname, nspacl) FROM pg_namespace WHERE nspname !~ '^pg_'",
              "SELECT format('type %s', t.oid::regtype) FROM pg_type t WHERE t.typtype IN ('e', 'd', 'r') AND t.typnamespace::regnamespace::text !~ '^pg_|^information_schema$'",
              "SELECT format('event trigger %s', evtname) FROM pg_event_trigger", "SELECT format('prepared %s', gid) FROM pg_prepared_xacts WHERE database = current_database()",
              "SELECT format('policy %s on %s', polname, polrelid::regclass) FROM pg_policy", "SELECT format('rule %s on %s', rulename, ev_class::regclass) FROM pg_rewrite"
              " WHERE rulename <> '_RETURN' AND ev_class >= 16384", "SELECT format('control table %s', c.oid::regclass) FROM pg_class c WHERE c.relnamespace::regnamespace::text = 'pgcarve'"})
            all += Carving::value(session, fmt::format("SELECT coalesce(string_agg(line, E'\n' ORDER BY line COLLATE \"C\"), '') || E'\n' FROM ({}) x(line)", query));
        static std::set<std::string> const history{"migration", "service", "attempt", "journal", "verification", "verification_turn", "finding", "gate_override", "audit", "audit_difference"};
        for (auto const row : session.query(sql::Sql{"SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace::regnamespace::text = 'pgcarve' ORDER BY 1"})) {
            if (auto const table = row.text(0); !history.contains(table))
                all += fmt::format("{} rows in pgcarve.{}\n", Carving::value(session, fmt::format("SELECT count(*) FROM pgcarve.{}", sql::quote_ident(table))), table);
        }
        return all;
    }
    [[nodiscard]] std::string objects() const { return objects(shared_side()) + objects(own_side()); }

private:
    std::string own_;
    Carving carving_;
};

// Until two databases can be compared here.
inline constexpr auto agreed = " --override verification --override clean_runs --reason 'compared by other means'";

} // namespace pgcarve::test
