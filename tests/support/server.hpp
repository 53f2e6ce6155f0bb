// A private PostgreSQL server for a test: its own cluster in a temporary folder, on a unix
// socket there, no TCP port, removed at the end. Started as the user `postgres` when the test
// runs as root, since PostgreSQL refuses root.
//
// PGCARVE_PG_BIN chooses the server's binaries; default: the newest below /usr/lib/postgresql.
// Servers of other versions are where scripts/servers puts them:
//
//   PGCARVE_NEEDS_VERSION(13);   // skips the test, with the reason, where there is none
//   auto& source = test::server_of_version(13);
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "pg/session.hpp"

namespace pgcarve::test {

struct ServerOptions {
    std::string bin;                       // empty: see above
    std::vector<std::string> settings{};   // postgresql.conf lines, added to fast and unsafe defaults
    bool durable = false;                  // fsync on, for tests that stop the server hard
};

class Server {
public:
    explicit Server(ServerOptions options = {});
    Server(Server const&) = delete;
    Server& operator=(Server const&) = delete;
    ~Server();

    // The one server which the tests of a program share; started at first use.
    static Server& shared();

    // A connection string for `database` as `user` (default: the superuser `postgres`).
    [[nodiscard]] std::string dsn(std::string const& database = "postgres", std::string const& user = "postgres") const;
    [[nodiscard]] pg::Session connect(std::string const& database = "postgres", std::string const& user = "postgres") const;
    // Creates an empty database with a new name and returns the name; `owner` is created when it does not exist.
    std::string create_database(std::string const& owner = "postgres");
    // Runs psql -v ON_ERROR_STOP=1 -f FILE; throws with psql's output when it fails.
    void load(std::string const& database, std::filesystem::path const& file, std::string const& user = "postgres") const;

    void stop(std::string const& mode = "fast"); // fast, immediate
    void start();
    [[nodiscard]] int version() const; // major: 13 …
    // Ends what streams, and drops every slot of every server of this program that runs: their names are of the whole server, and the
    // next test wants them.
    static void drop_all_slots();
    [[nodiscard]] std::filesystem::path const& folder() const { return folder_; }

private:
    std::filesystem::path folder_;
    std::string bin_;
    int next_database_ = 0;
};

// The folder of that major version's programs; empty when this machine has none.
[[nodiscard]] std::string bin_of_version(int version);
// Like Server::shared(), one for each version. Throws when there is none.
[[nodiscard]] Server& server_of_version(int version);

#define PGCARVE_NEEDS_VERSION(version)                                                                                            \
    if (::pgcarve::test::bin_of_version(version).empty())                                                                         \
    GTEST_SKIP() << "no PostgreSQL " << (version) << " here: run scripts/servers"

// The output and exit code of a command run through the shell.
struct Output {
    int exit = -1;
    std::string out; // stdout
    std::string err; // stderr
};
Output run_command(std::string const& command);

// Waits until `condition` holds, looking every 10 ms; false when the deadline passed.
bool wait_until(std::function<bool()> const& condition, base::Millis deadline = base::Millis{20'000});

} // namespace pgcarve::test
