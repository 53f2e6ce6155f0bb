#include "support/server.hpp"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <map>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <thread>

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

namespace pgcarve::test {

namespace fs = std::filesystem;

namespace {

std::string newest_bin() {
    if (char const* const chosen = std::getenv("PGCARVE_PG_BIN"))
        return chosen;
    int best = 0;
    for (auto const& entry : fs::directory_iterator{"/usr/lib/postgresql"}) {
        if (fs::exists(entry.path() / "bin/initdb"))
            best = std::max(best, std::atoi(entry.path().filename().c_str()));
    }
    if (best == 0)
        throw std::runtime_error{"no PostgreSQL server below /usr/lib/postgresql: install the package postgresql"};
    return fmt::format("/usr/lib/postgresql/{}/bin", best);
}

// Where scripts/servers puts them.
fs::path installed_servers() {
    if (char const* const chosen = std::getenv("PGCARVE_SERVERS"); chosen != nullptr && *chosen != 0)
        return chosen;
    if (geteuid() == 0)
        return "/var/cache/pgcarve/postgresql";
    if (char const* const cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache != 0)
        return fs::path{cache} / "pgcarve/postgresql";
    char const* const home = std::getenv("HOME");
    return fs::path{home != nullptr ? home : ""} / ".cache/pgcarve/postgresql";
}

std::string slurp(fs::path const& path) {
    std::ifstream in{path};
    std::ostringstream all;
    all << in.rdbuf();
    return all.str();
}

std::string as_server_user(std::string const& command) {
    if (geteuid() != 0)
        return command;
    return "runuser -u postgres -- sh -c " + std::string{"'"} + command + "'";
}

void must(std::string const& command) {
    auto const output = run_command(command);
    if (output.exit != 0)
        throw std::runtime_error{fmt::format("{}\nexit {}\n{}{}", command, output.exit, output.out, output.err)};
}

} // namespace

Output run_command(std::string const& command) {
    char name[] = "/tmp/pgcarve-test-XXXXXX";
    if (mkdtemp(name) == nullptr)
        throw std::runtime_error{"mkdtemp failed"};
    fs::path const folder{name};
    auto const status = std::system(
        fmt::format("{{ {}\n}} >{}/out 2>{}/err </dev/null", command, folder.string(), folder.string()).c_str());
    Output output{WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), slurp(folder / "out"),
                  slurp(folder / "err")};
    fs::remove_all(folder);
    return output;
}

bool wait_until(std::function<bool()> const& condition, base::Millis deadline) {
    auto const end = std::chrono::steady_clock::now() + deadline;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end)
            return false;
        std::this_thread::sleep_for(std::chrono::milliseconds{10});
    }
    return true;
}

namespace {
std::mutex all_mutex;
std::vector<Server*> all;
} // namespace

Server::Server(ServerOptions options) : bin_{options.bin.empty() ? newest_bin() : options.bin} {
    char name[] = "/tmp/pgcarve-pg-XXXXXX";
    if (mkdtemp(name) == nullptr)
        throw std::runtime_error{"mkdtemp failed"};
    folder_ = name;
    if (geteuid() == 0)
        must(fmt::format("chown postgres {}", folder_.string()));
    must(as_server_user(fmt::format("{}/initdb -D {}/data -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync",
                                    bin_, folder_.string())));
    std::ofstream out{folder_ / "extra.conf"};
    out << "listen_addresses = ''\nunix_socket_directories = '" << folder_.string()
        << "'\nwal_level = logical\nmax_connections = 60\nmax_prepared_transactions = 8\nshared_buffers = 64MB\n"
           "log_lock_waits = on\n";
    if (!options.durable)
        out << "fsync = off\nfull_page_writes = off\n";
    for (auto const& line : options.settings)
        out << line << '\n';
    out.close();
    must(as_server_user(fmt::format("cat {0}/extra.conf >>{0}/data/postgresql.conf", folder_.string())));
    start();
    std::lock_guard const hold{all_mutex};
    all.push_back(this);
}

Server::~Server() {
    {
        std::lock_guard const hold{all_mutex};
        std::erase(all, this);
    }
    run_command(as_server_user(fmt::format("{}/pg_ctl -D {}/data -m immediate -w stop", bin_, folder_.string())));
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
}

void Server::drop_all_slots() {
    std::lock_guard const hold{all_mutex};
    for (auto const* const server : all) {
        if (!fs::exists(server->folder_ / "data/postmaster.pid"))
            continue;
        auto session = server->connect();
        auto const gone = wait_until([&] {
            try {
                session.run("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active_pid IS NOT NULL");
                session.run("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active");
            } catch (pg::SqlError const& e) {
                if (e.sqlstate() != "55006" && e.sqlstate() != "42704") // taken again, or gone, just now
                    throw;
            }
            return session.one(sql::Sql{"SELECT count(*) AS n FROM pg_replication_slots"}).integer("n") == 0;
        });
        if (!gone)
            throw std::runtime_error{"a slot cannot be dropped"};
    }
}

Server& Server::shared() {
    static Server server;
    return server;
}

std::string bin_of_version(int version) {
    for (auto const& folder : {fs::path{"/usr/lib/postgresql"}, installed_servers()}) {
        auto const bin = folder / std::to_string(version) / "bin";
        if (fs::exists(bin / "initdb"))
            return bin;
    }
    return {};
}

Server& server_of_version(int version) {
    static std::map<int, std::unique_ptr<Server>> servers;
    auto& server = servers[version];
    if (!server) {
        auto const bin = bin_of_version(version);
        if (bin.empty())
            throw std::runtime_error{fmt::format("no PostgreSQL {} here: run scripts/servers", version)};
        server = std::make_unique<Server>(ServerOptions{.bin = bin});
    }
    return *server;
}

void Server::start() {
    must(as_server_user(
        fmt::format("{}/pg_ctl -D {}/data -l {}/log -w start >/dev/null", bin_, folder_.string(), folder_.string())));
}

void Server::stop(std::string const& mode) {
    must(as_server_user(fmt::format("{}/pg_ctl -D {}/data -m {} -w stop >/dev/null", bin_, folder_.string(), mode)));
}

std::string Server::dsn(std::string const& database, std::string const& user) const {
    return fmt::format("host={} dbname={} user={}", folder_.string(), database, user);
}

pg::Session Server::connect(std::string const& database, std::string const& user) const {
    return pg::Session{{.dsn = dsn(database, user), .purpose = "test"}};
}

std::string Server::create_database(std::string const& owner) {
    auto admin = connect();
    auto const name = fmt::format("test{}", ++next_database_);
    if (admin.query(sql::Sql{"SELECT FROM pg_roles WHERE rolname = "}.bind(owner)).empty())
        admin.run("CREATE ROLE " + sql::quote_ident(owner) + " LOGIN");
    admin.run(fmt::format("CREATE DATABASE {} OWNER {}", sql::quote_ident(name), sql::quote_ident(owner)));
    return name;
}

void Server::load(std::string const& database, fs::path const& file, std::string const& user) const {
    must(fmt::format("psql -X -q -v ON_ERROR_STOP=1 -h {} -U {} -d {} -f {} >/dev/null", folder_.string(), user, database,
                     file.string()));
}

int Server::version() const { return connect().server_version() / 10000; }

} // namespace pgcarve::test
