// What the scenarios share: a database of their own, the real binary run against it, and clients that write.
#pragma once

#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/server.hpp"

namespace pgcarve::test {

// A program that runs beside the test.
class Process {
public:
    explicit Process(std::string const& command) {
        char name[] = "/tmp/pgcarve-run-XXXXXX";
        if (mkdtemp(name) == nullptr)
            throw std::runtime_error{"mkdtemp failed"};
        folder_ = name;
        auto const line = fmt::format("exec {} >{}/out 2>{}/err </dev/null", command, folder_.string(), folder_.string());
        char const* const arguments[] = {"sh", "-c", line.c_str(), nullptr};
        if (posix_spawn(&pid_, "/bin/sh", nullptr, nullptr, const_cast<char* const*>(arguments), environ) != 0) // NOLINT
            throw std::runtime_error{"posix_spawn failed"};
    }
    Process(Process const&) = delete;
    Process& operator=(Process const&) = delete;
    ~Process() {
        if (pid_ > 0) {
            kill(pid_, SIGKILL);
            waitpid(pid_, nullptr, 0);
        }
        std::error_code ignored;
        std::filesystem::remove_all(folder_, ignored);
    }
    void signal(int number) const {
        if (pid_ > 0) // 0 would be the test itself
            kill(pid_, number);
    }
    // Whether it has come so far as to look after SIGTERM itself.
    [[nodiscard]] bool hears_signals() const {
        std::ifstream in{fmt::format("/proc/{}/status", pid_)};
        for (std::string line; std::getline(in, line);) {
            if (line.starts_with("SigBlk:"))
                return (std::stoull(line.substr(7), nullptr, 16) >> (SIGTERM - 1) & 1) != 0;
        }
        return false;
    }
    [[nodiscard]] bool ended() {
        if (pid_ > 0 && waitpid(pid_, &status_, WNOHANG) == pid_)
            pid_ = 0;
        return pid_ == 0;
    }
    Output wait() {
        if (!wait_until([&] { return ended(); }, base::Millis{60'000}))
            throw std::runtime_error{"the program did not end: " + text("err")};
        return {WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_), text("out"), text("err")};
    }
    [[nodiscard]] std::string text(std::string const& file) const {
        std::ifstream in{folder_ / file};
        return {std::istreambuf_iterator<char>{in}, {}};
    }

private:
    std::filesystem::path folder_;
    pid_t pid_ = 0;
    int status_ = 0;
};

// One database, and a pgcarve.toml for it.
class Carving {
public:
    Carving(Server& server, std::string database, std::string services, std::string defaults = {}, std::string user = "postgres")
        : server_{server}, database_{std::move(database)}, services_{std::move(services)}, defaults_{std::move(defaults)}, user_{std::move(user)} {
        char name[] = "/tmp/pgcarve-toml-XXXXXX";
        if (mkdtemp(name) == nullptr)
            throw std::runtime_error{"mkdtemp failed"};
        folder_ = name;
        configure(services_);
        ++alive_;
    }
    Carving(Carving const&) = delete;
    Carving& operator=(Carving const&) = delete;
    ~Carving() {
        if (--alive_ == 0) {
            try {
                Server::drop_all_slots();
            } catch (std::exception const& e) {
                ADD_FAILURE() << e.what();
            }
        }
        std::error_code ignored;
        std::filesystem::remove_all(folder_, ignored);
    }

    void configure(std::string const& services, std::string const& tail = {}) const {
        auto const dsn = host_.empty() ? server_.dsn(database_, user_) : fmt::format("host={} dbname={} user={}", host_, database_, user_);
        std::ofstream{folder_ / "pgcarve.toml"} << fmt::format("[shared]\ndsn = \"{}\"\n{}[defaults]\nwindow = \"0s\"\nclean_runs = 1\nhold = \"0s\"\n{}\n{}\n{}",
                                                               dsn, replica_.empty() ? "" : fmt::format("replica_dsn = \"{}\"\n", replica_), defaults_, services, tail);
    }
    // Rows of the source are read at this standby of it from here on; "": at the source.
    void read_from(std::string replica) {
        replica_ = std::move(replica);
        configure(services_);
    }
    // The binary reaches the server by way of this host from here on (support/proxy.hpp); the test itself goes straight to it.
    void reach_by(std::string host) {
        host_ = std::move(host);
        configure(services_);
    }
    [[nodiscard]] std::string command(std::string const& arguments, std::string const& failpoint = {}) const {
        auto const set = failpoint.empty() ? std::string{} : fmt::format("env 'PGCARVE_FAILPOINT={}' ", failpoint);
        return fmt::format("{}{} --config {}/pgcarve.toml {}", set, PGCARVE_BINARY, folder_.string(), arguments);
    }
    [[nodiscard]] Output run(std::string const& arguments, std::string const& failpoint = {}) const {
        return run_command(command(arguments, failpoint));
    }
    // Fails the test unless the verb ends with this exit code.
    Output expect(int exit, std::string const& arguments) const {
        auto output = run(arguments);
        EXPECT_EQ(output.exit, exit) << "pgcarve " << arguments << "\n" << output.out << output.err;
        return output;
    }
    // The same, and its output holds all of these.
    void refuses(int exit, std::string const& arguments, std::vector<std::string> const& texts) const {
        auto const output = expect(exit, arguments);
        for (auto const& text : texts)
            EXPECT_NE((output.out + output.err).find(text), std::string::npos) << "no \"" << text << "\" in pgcarve " << arguments << ":\n"
                                                                             << output.out << output.err;
    }

    [[nodiscard]] pg::Session connect() const { return server_.connect(database_); }
    void sql(std::string const& statements) const { connect().run(statements); }
    [[nodiscard]] std::string value(std::string const& query) const {
        auto session = connect();
        return value(session, query);
    }
    [[nodiscard]] static std::string value(pg::Session& session, std::string const& query) {
        return session.one(sql::Sql{"SELECT ("}.server_text(query).add(")::text AS v")).maybe("v").value_or("NULL");
    }
    [[nodiscard]] std::string phase(std::string const& service = "shop") const {
        return value(fmt::format("SELECT phase FROM pgcarve.service WHERE name = {}", sql::literal(service)));
    }
    // A killed program's sessions end when the server notices; until then they hold its locks and its lease.
    void wait_for_sessions_to_end() const {
        auto session = connect();
        EXPECT_TRUE(wait_until([&] {
            return value(session, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'pgcarve %'"
                                  " AND application_name <> 'pgcarve test'") == "0";
        }));
    }
    [[nodiscard]] Server& server() const { return server_; }
    [[nodiscard]] std::string const& database() const { return database_; }

    // Rows that one side has and the other has not, in one snapshot.
    [[nodiscard]] static std::string differing(pg::Session& session, std::vector<std::string> const& tables, std::string const& schema) {
        std::string query;
        if (tables.empty())
            return {};
        for (auto const& table : tables) {
            auto const one = fmt::format("SELECT '{0}' AS name, t::text AS row FROM public.{0} t", table);
            auto const other = fmt::format("SELECT '{0}', t::text FROM {1}.{0} t", table, schema);
            query += fmt::format("{0}(SELECT 'only shared', * FROM ({1} EXCEPT ALL {2}) a) UNION ALL (SELECT 'only service', * FROM ({2} EXCEPT ALL {1}) b)",
                                 query.empty() ? "" : " UNION ALL ", one, other);
        }
        return value(session, fmt::format("SELECT coalesce(string_agg(d::text, E'\\n'), '') FROM (SELECT * FROM ({}) x(side, name, \"row\") ORDER BY side DESC LIMIT 10) d", query));
    }

private:
    static inline std::atomic<int> alive_{0};
    Server& server_;
    std::string database_;
    std::string services_;
    std::string defaults_;
    std::string replica_;
    std::string user_;
    std::string host_;
    std::filesystem::path folder_;
};

// Everything that a catalog holds of the application's schemas and of pgcarve's functions, as text, oids left out.
inline std::string catalog_text(pg::Session& session) {
    std::string text;
    for (std::string const query :
         {"SELECT format('%s %s.%s %s %s %s', c.relkind, n.nspname, c.relname, pg_get_userbyid(c.relowner), c.relacl, c.relispartition) FROM pg_class c"
          " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname !~ '^pg_|^information_schema$|^pgcarve$'",
          "SELECT format('column %s.%s %s %s %s %s %s %s', a.attrelid::regclass, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,"
          " a.attidentity, a.attgenerated, a.attacl, pg_get_expr(d.adbin, d.adrelid)) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
          " LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum"
          " WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm')"
          " AND c.relnamespace::regnamespace::text !~ '^pg_|^information_schema$|^pgcarve$'",
          "SELECT format('trigger %s %s %s', t.tgrelid::regclass, t.tgenabled, pg_get_triggerdef(t.oid)) FROM pg_trigger t WHERE NOT t.tgisinternal",
          "SELECT format('constraint %s %s %s %s', c.conrelid::regclass, c.conname, c.convalidated, pg_get_constraintdef(c.oid)) FROM pg_constraint c"
          " WHERE c.conrelid <> 0 AND c.connamespace::regnamespace::text !~ '^pg_|^information_schema$|^pgcarve$'",
          "SELECT format('index %s', pg_get_indexdef(i.indexrelid)) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid"
          " WHERE c.relnamespace::regnamespace::text !~ '^pg_|^information_schema$|^pgcarve$'",
          "SELECT format('function %s %s', p.oid::regprocedure, md5(p.prosrc)) FROM pg_proc p WHERE p.pronamespace::regnamespace::text !~ '^pg_|^information_schema$'",
          "SELECT format('view %s %s', c.oid::regclass, pg_get_viewdef(c.oid)) FROM pg_class c WHERE c.relkind IN ('v', 'm')"
          " AND c.relnamespace::regnamespace::text !~ '^pg_|^information_schema$|^pgcarve$'",
          "SELECT format('owned sequence %s of %s', d.objid::regclass, d.refobjid::regclass) FROM pg_depend d JOIN pg_class c ON c.oid = d.objid"
          " WHERE d.classid = 'pg_class'::regclass AND c.relkind = 'S' AND d.deptype IN ('a', 'i')"})
        text += Carving::value(session, fmt::format("SELECT coalesce(string_agg(line, E'\\n' ORDER BY line COLLATE \"C\"), '') || E'\\n' FROM ({}) x(line)", query));
    return text;
}

// The lines that only one of two texts has: what a failed comparison should show.
inline std::string line_difference(std::string const& expected, std::string const& actual) {
    std::multiset<std::string> one;
    std::multiset<std::string> other;
    auto const split = [](std::string const& text, std::multiset<std::string>& lines) {
        std::size_t at = 0;
        while (at < text.size()) {
            auto const end = std::min(text.find('\n', at), text.size());
            if (end > at)
                lines.insert(text.substr(at, end - at));
            at = end + 1;
        }
    };
    split(expected, one);
    split(actual, other);
    std::string out;
    for (auto const& line : one) {
        if (other.count(line) != one.count(line))
            out += "- " + line + "\n";
    }
    for (auto const& line : other) {
        if (other.count(line) != one.count(line))
            out += "+ " + line + "\n";
    }
    return out;
}

// A client that writes as an application does, follows the tables when a side refuses, and keeps what was acknowledged.
class Writer {
public:
    // One transaction's statements, with `{}` where the schema stands and the number of the turn as `#`; exactly one of the
    // statements inserts the row that `proof` counts (a query with `{}` and `#`).
    struct Work {
        std::vector<std::string> transaction;
        std::string proof;
    };
    Writer(Server& server, std::string const& database, std::string schema, Work work, std::string user = "postgres")
        : work_{std::move(work)}, schemas_{"public", std::move(schema)} {
        thread_ = std::thread{[this, &server, database, user] { loop(server, database, user); }};
    }
    Writer(Writer const&) = delete;
    Writer& operator=(Writer const&) = delete;
    ~Writer() { stop(); }

    void stop() {
        stop_ = true;
        if (thread_.joinable())
            thread_.join();
        EXPECT_EQ(problem_, "");
    }
    [[nodiscard]] int acknowledged() const { return acknowledged_; }
    // Until this many more transactions were acknowledged.
    void more(int count) const {
        auto const goal = acknowledged_ + count;
        EXPECT_TRUE(wait_until([&] { return acknowledged_ >= goal || stop_; }, base::Millis{30'000})) << "the writer hangs";
    }
    // What was acknowledged before the call and is not in this schema.
    [[nodiscard]] int lost(pg::Session& session, std::string const& schema) {
        std::vector<int> turns;
        {
            std::lock_guard const lock{mutex_};
            turns = turns_;
        }
        if (turns.empty())
            return 0;
        std::string list;
        for (auto const turn : turns)
            list += fmt::format("{}{}", list.empty() ? "" : ",", turn);
        return static_cast<int>(turns.size()) - std::stoi(Carving::value(session, put(put(work_.proof, "{}", schema), "#", list)));
    }

private:
    static std::string put(std::string text, std::string const& mark, std::string const& value) {
        for (auto at = text.find(mark); at != std::string::npos; at = text.find(mark, at + value.size()))
            text.replace(at, mark.size(), value);
        return text;
    }

    void loop(Server& server, std::string const& database, std::string const& user) {
        try {
            auto session = server.connect(database, user);
            for (int turn = 1; !stop_; ++turn)
                one(session, turn);
        } catch (std::exception const& e) {
            problem_ = e.what();
            stop_ = true;
        }
    }

    void one(pg::Session& session, int turn) {
        for (;;) {
            try {
                pg::Transaction transaction{session};
                for (auto const& statement : work_.transaction)
                    session.run(put(put(statement, "{}", schemas_[side_]), "#", std::to_string(turn)));
                transaction.commit();
                {
                    std::lock_guard const lock{mutex_};
                    turns_.push_back(turn);
                }
                ++acknowledged_;
                refused_ = 0;
                std::this_thread::sleep_for(std::chrono::milliseconds{20}); // an application's pace, so that others get the cores
                return;
            } catch (pg::SqlError const& e) {
                if (e.sqlstate() == pg::sqlstate::moved || e.sqlstate() == pg::sqlstate::undefined_table || e.sqlstate() == "3F000") {
                    if (++refused_ > 2000) // between two sides there is no time at which both refuse
                        throw;
                    side_ = 1 - side_;
                } else if (e.sqlstate() != "40001" && e.sqlstate() != "40P01" && e.sqlstate() != "55P03") {
                    throw;
                }
            }
        }
    }

    Work work_;
    std::string schemas_[2];
    int side_ = 0;
    int refused_ = 0;
    std::atomic<bool> stop_{false};
    std::atomic<int> acknowledged_{0};
    std::mutex mutex_;
    std::vector<int> turns_;
    std::string problem_;
    std::thread thread_;
};

} // namespace pgcarve::test
