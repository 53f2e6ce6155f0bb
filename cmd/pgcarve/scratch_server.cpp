#include "pgcarve/scratch_server.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <vector>

#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include "base/error.hpp"
#include "pgcarve/process.hpp"

namespace pgcarve::cmd {

namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(std::string const& what) {
    throw base::Error{base::Exit::not_proven, "scratch", "the scratch server cannot be started: " + what,
                      "install the server (Debian: postgresql), name its binaries in PGCARVE_PG_BIN, or give --scratch-dsn"};
}

// The folder of initdb and pg_ctl; empty: wherever PATH has them.
fs::path find_binaries(int version) {
    if (char const* const chosen = std::getenv("PGCARVE_PG_BIN")) // NOLINT: read before any thread
        return chosen;
    int best = 0;
    std::error_code error;
    for (fs::directory_iterator at{"/usr/lib/postgresql", error}, end; !error && at != end; at.increment(error)) {
        auto const major = std::atoi(at->path().filename().c_str()); // NOLINT: 0 for what is no number
        if (fs::exists(at->path() / "bin/initdb", error))
            best = major == version || (best != version && major > best) ? major : best;
    }
    return best == 0 ? fs::path{} : fs::path{"/usr/lib/postgresql"} / std::to_string(best) / "bin";
}

// As the user who may run a server.
void must(std::vector<std::string> arguments) {
    if (::geteuid() == 0) {
        std::vector<std::string> const as{"runuser", "-u", "postgres", "--"};
        arguments.insert(arguments.begin(), as.begin(), as.end());
    }
    auto const result = run_process(arguments);
    if (result.exit == 0)
        return;
    auto message = result.err.empty() ? result.out : result.err;
    message.resize(std::min<std::size_t>(message.size(), 2000));
    fail(fmt::format("{} ended with {}: {}", arguments[::geteuid() == 0 ? 4 : 0], result.exit, message));
}

std::string program(fs::path const& bin, char const* name) {
    return bin.empty() ? name : (bin / name).string();
}

} // namespace

ScratchServer::ScratchServer(int version)
    : bin_{find_binaries(version)} {
    char const* const temporary = std::getenv("TMPDIR"); // NOLINT
    auto name = std::string{temporary != nullptr && *temporary != '\0' ? temporary : "/tmp"} + "/pgcarve-scratch-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr)
        fail(fmt::format("{}: {}", name, std::strerror(errno)));
    folder_ = name;
    try {
        if (::geteuid() == 0) {
            auto const* const owner = ::getpwnam("postgres"); // NOLINT: one thread
            if (owner == nullptr)
                fail("PostgreSQL refuses to run as root, and there is no user postgres");
            if (::chown(folder_.c_str(), owner->pw_uid, owner->pw_gid) != 0)
                fail(fmt::format("chown: {}", std::strerror(errno)));
        }
        auto const data = (folder_ / "data").string();
        must({program(bin_, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"});
        auto const options = fmt::format("-c listen_addresses='' -c unix_socket_directories='{}' -c fsync=off -c full_page_writes=off "
                                         "-c wal_level=logical -c max_wal_senders=20 -c max_replication_slots=20 -c autovacuum=off",
                                         folder_.string());
        started_ = true; // as far as we know, from here on
        must({program(bin_, "pg_ctl"), "-D", data, "-l", (folder_ / "log").string(), "-w", "-s", "-o", options, "start"});
    } catch (...) {
        remove();
        throw;
    }
}

ScratchServer::~ScratchServer() {
    remove();
}

void ScratchServer::remove() noexcept {
    try {
        if (started_)
            must({program(bin_, "pg_ctl"), "-D", (folder_ / "data").string(), "-m", "immediate", "-w", "-s", "stop"});
    } catch (base::Error const&) { // NOLINT: it was not running
    }
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
}

std::string ScratchServer::dsn() const {
    return fmt::format("host='{}' dbname=postgres user=postgres", folder_.string());
}

} // namespace pgcarve::cmd
