// Goal: what the rules of lint say about locks, rewrites, scans and index builds is what a server does.
// Method: each example runs on the examples' own schema, with rows. psql with client_min_messages = debug1
// tells what the server rewrites, reads and builds, pg_locks what the transaction holds on tables that were
// there before. Violating examples show what their rule says, accepted ones do not.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>

#include "lint/lint.hpp"
#include "lint/read.hpp"
#include "pg/lint/examples.hpp"
#include "support/server.hpp"

namespace {

using namespace pgcarve;

struct Observed {
    int exit = 0;
    std::string log;
    std::vector<std::string> locks; // "orders AccessExclusiveLock"
    [[nodiscard]] bool holds(std::string const& table, std::string const& mode) const {
        return std::ranges::find(locks, table + " " + mode) != locks.end();
    }
    // Of a table of the schema, not one that the example made.
    [[nodiscard]] bool says(std::string const& what) const {
        for (auto const* const table : {"customers", "countries", "orders", "order_lines", "events",
                                        "events_2026", "events_2027", "totals"}) {
            if (log.find(what + " \"" + table + "\"") != std::string::npos)
                return true;
        }
        return false;
    }
    [[nodiscard]] bool builds() const {
        for (std::size_t at = 0; (at = log.find("building index", at)) != std::string::npos; ++at) {
            auto const line = log.substr(at, log.find('\n', at) - at);
            if (line.find("\"fresh\"") == std::string::npos && line.find("pg_toast") == std::string::npos)
                return true;
        }
        return false;
    }
};

class Examples : public testing::Test {
protected:
    static void SetUpTestSuite() {
        auto& server = test::Server::shared();
        schema_ = server.folder() / "schema.sql";
        std::ofstream{schema_} << test::example_schema();
    }

    // In one transaction unless the server refuses that; split: each statement in one of its own.
    static Observed run(std::string const& sql, bool split) {
        auto& server = test::Server::shared();
        auto const database = server.create_database();
        server.load(database, schema_);
        auto const file = server.folder() / "example.sql";
        {
            std::ofstream out{file};
            out << "SET client_min_messages = debug1;\n";
            if (!split)
                out << "BEGIN;\n";
            out << sql << ";\n";
            if (!split)
                out << "\\echo LOCKS\nSELECT 'lock ' || c.relname || ' ' || l.mode FROM pg_locks AS l JOIN "
                       "pg_class AS c ON c.oid = "
                       "l.relation WHERE l.pid = pg_backend_pid() AND c.relname NOT LIKE "
                       "'pg\\_%';\nROLLBACK;\n";
        }
        auto const result = test::run_command("psql -X -At -v ON_ERROR_STOP=1 -d '" + server.dsn(database) +
                                              "' -f " + file.string());
        Observed observed{result.exit, result.err, {}};
        for (std::size_t at = 0; (at = result.out.find("lock ", at)) != std::string::npos; ++at) {
            auto const end = result.out.find('\n', at);
            observed.locks.push_back(result.out.substr(at + 5, end - at - 5));
        }
        return observed;
    }

    static bool shows(lint::Rule const& rule, Observed const& seen) {
        switch (rule.shows) {
        case lint::Shows::rewrite:
            return seen.says("rewriting table");
        case lint::Shows::scan:
            return seen.says("verifying table") ||
                   seen.log.find("validating foreign key") != std::string::npos;
        case lint::Shows::build:
            return seen.builds();
        case lint::Shows::refusal:
            return seen.exit != 0;
        case lint::Shows::lock:
        case lint::Shows::nothing:
            return true;
        }
        return false;
    }

    static std::filesystem::path schema_;
};

std::filesystem::path Examples::schema_;

std::string server_mode(std::string lock) { // "ACCESS EXCLUSIVE" -> "AccessExclusiveLock"
    std::string out;
    bool up = true;
    for (char const c : lock) {
        if (c == ' ') {
            up = true;
            continue;
        }
        out += up ? c : static_cast<char>(c + 32);
        up = false;
    }
    return out + "Lock";
}

// Statements which the server refuses in a transaction, and examples that have transactions of their own.
bool needs_split(std::string const& sql) {
    for (auto const* const word : {"CONCURRENTLY", "VACUUM", "BEGIN; ", "VALIDATE", "DATABASE", "timezone"}) {
        if (sql.find(word) != std::string::npos)
            return true;
    }
    return false;
}

TEST_F(Examples, TheServerDoesWhatTheRulesSay) {
    int confirmed_locks = 0;
    int confirmed_effects = 0;
    auto const version = test::Server::shared().version();
    for (auto const* const rule : lint::all_rules()) {
        if (rule->judge == nullptr || rule->shows == lint::Shows::nothing || rule->version != lint::Rule{}.version) // versions_test.cpp
            continue;
        for (auto const& sql : rule->about.violating) {
            if (!test::found_in_example(sql, version).contains(rule->about.id))
                continue; // of this version it is not true, as versions_test.cpp shows
            bool const split = needs_split(sql);
            auto const seen = run(sql, split);
            EXPECT_TRUE(shows(*rule, seen))
                << rule->about.id << ": the server does not do this: " << sql << "\n"
                << seen.log;
            if (rule->shows != lint::Shows::refusal) {
                EXPECT_EQ(seen.exit, 0) << sql << "\n" << seen.log;
            }
            ++confirmed_effects;
            // What is dropped has no name any more to find its lock by; effects are tried below.
            if (split || rule->shows == lint::Shows::refusal || rule->about.lock.empty() ||
                sql.starts_with("DROP TABLE"))
                continue;
            bool held = false;
            for (auto const* const table : {"purchases", "customers", "countries", "orders", "order_lines",
                                            "events", "events_2026", "events_2027", "totals"})
                held = held || seen.holds(table, server_mode(rule->about.lock));
            // The row says what an index's statement holds on its table; an index alone may be locked harder.
            EXPECT_TRUE(held) << rule->about.id << " claims " << rule->about.lock << ": " << sql;
            ++confirmed_locks;
        }
        for (auto const& sql : rule->about.accepted) {
            if (test::found_in_example(sql, version).contains("L29"))
                continue; // this version does not know it
            auto const seen = run(sql, needs_split(sql));
            EXPECT_EQ(seen.exit, 0) << rule->about.id << ": the server refuses what is accepted: " << sql
                                    << "\n"
                                    << seen.log;
            if (rule->shows != lint::Shows::lock) {
                // A foreign key or check that is validated apart from its lock is what the rule asks for.
                bool const validates =
                    sql.find("VALIDATE") != std::string::npos && rule->shows == lint::Shows::scan;
                auto const proven = seen.log.find("are sufficient to prove") != std::string::npos;
                EXPECT_TRUE(validates ? proven || rule->about.id != "L05"
                                      : !shows(*rule, seen) || sql.find("CONCURRENTLY") != std::string::npos)
                    << rule->about.id << ": the server does it all the same: " << sql << "\n"
                    << seen.log;
            }
        }
    }
    EXPECT_GT(confirmed_locks, 20);
    EXPECT_GT(confirmed_effects, 40);
}

// The lock table itself: what effect_of() says is what pg_locks shows, neither more nor less, for one
// statement of each kind.
TEST_F(Examples, TheLockTableIsTheServers) {
    static constexpr char const* statements[] = {
        "ALTER TABLE orders ADD COLUMN a int",
        "ALTER TABLE orders ADD COLUMN a bigint REFERENCES customers",
        "ALTER TABLE orders DROP COLUMN note",
        "ALTER TABLE orders ALTER COLUMN note SET DEFAULT 'x'",
        "ALTER TABLE orders ALTER COLUMN note DROP DEFAULT",
        "ALTER TABLE orders ALTER COLUMN ref DROP NOT NULL",
        "ALTER TABLE orders ALTER COLUMN ref SET NOT NULL",
        "ALTER TABLE orders ALTER COLUMN note TYPE text",
        "ALTER TABLE orders ALTER COLUMN note SET STATISTICS 100",
        "ALTER TABLE orders SET (fillfactor = 90)",
        "ALTER TABLE orders ADD CONSTRAINT c CHECK (total > 0) NOT VALID",
        "ALTER TABLE orders ADD CONSTRAINT c FOREIGN KEY (country) REFERENCES countries NOT VALID",
        "ALTER TABLE orders ADD CONSTRAINT c UNIQUE USING INDEX orders_ref_idx",
        "ALTER TABLE orders DROP CONSTRAINT orders_pkey",
        "ALTER TABLE orders RENAME TO purchases",
        "ALTER TABLE orders RENAME COLUMN note TO remark",
        "ALTER TABLE orders ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE orders DISABLE TRIGGER orders_touch",
        "ALTER TABLE orders CLUSTER ON orders_pkey",
        "ALTER TABLE orders REPLICA IDENTITY FULL",
        "ALTER TABLE events DETACH PARTITION events_2026",
        "ALTER TABLE events ATTACH PARTITION events_2027 FOR VALUES FROM ('2027-01-01') TO ('2028-01-01')",
        "CREATE TABLE fresh PARTITION OF events FOR VALUES FROM ('2028-01-01') TO ('2029-01-01')",
        "CREATE TABLE fresh (id bigint REFERENCES orders)",
        "CREATE INDEX i ON orders (note)",
        "CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION touch()",
        "CREATE POLICY p ON orders USING (true)",
        "CREATE RULE r AS ON INSERT TO order_lines DO ALSO NOTHING",
        "DROP INDEX orders_state_idx",
        "DROP TRIGGER orders_touch ON orders",
        "DROP TABLE order_lines",
        "TRUNCATE order_lines",
        "LOCK TABLE orders IN SHARE MODE",
        "REFRESH MATERIALIZED VIEW totals",
        "REFRESH MATERIALIZED VIEW CONCURRENTLY totals",
        "COMMENT ON TABLE orders IS 'x'",
        "UPDATE orders SET state = 'x' WHERE id = 1",
        "INSERT INTO order_lines VALUES (1, 2, 'x')",
    };
    lint::State state{test::Server::shared().version(), "public"};
    state.base = true;
    std::string const schema{lint::example_schema()};
    for (auto const& piece : lint::split(schema).pieces) {
        for (auto const& action : lint::read_statement(schema, piece.span).actions)
            state.apply(action);
    }
    std::vector<std::string> const tables{"customers", "countries",   "orders",      "order_lines",
                                          "events",    "events_2026", "events_2027", "totals"};
    for (std::string const sql : statements) {
        auto const seen = run(sql, false);
        ASSERT_EQ(seen.exit, 0) << sql << "\n" << seen.log;
        std::map<std::string, std::string> claimed; // the strongest for each table
        std::map<std::string, lint::Lock> strongest;
        for (auto const& action : lint::read_statement(sql, {0, sql.size()}).actions) {
            for (auto const& lock : lint::effect_of(action, state).locks)
                strongest[lock.table.name] = std::max(strongest[lock.table.name], lock.mode);
        }
        for (auto const& table : tables) {
            if (strongest[table] >= lint::Lock::row_exclusive) {
                auto name = table;
                if (sql.find("RENAME TO purchases") != std::string::npos && table == "orders")
                    name = "purchases";
                if (sql.starts_with("DROP TABLE"))
                    continue; // its name is gone from pg_class
                EXPECT_TRUE(seen.holds(name, server_mode(lint::text(strongest[table]))))
                    << sql << ": " << table << " " << lint::text(strongest[table]);
            }
            // Nothing that blocks writes goes untold.
            for (auto const mode : {lint::Lock::share, lint::Lock::share_row_exclusive, lint::Lock::exclusive,
                                    lint::Lock::access_exclusive})
                EXPECT_FALSE(seen.holds(table, server_mode(lint::text(mode))) && strongest[table] < mode)
                    << sql << " holds " << lint::text(mode) << " on " << table << " untold";
        }
    }
}

} // namespace
