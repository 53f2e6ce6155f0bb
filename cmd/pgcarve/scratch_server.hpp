// A PostgreSQL server for one run of `pgcarve lint --scratch`: made in a temporary folder from the installed binaries,
// reached over a socket there, without a TCP port, and removed at the end.
//
// PostgreSQL refuses to run as root, so a root starts it as the user postgres.
// PGCARVE_PG_BIN chooses the binaries; else those of `version` below /usr/lib/postgresql, or the newest ones there, or
// what stands in PATH.
//
// Errors: "scratch" (exit 3): without a server nothing is proven.
#pragma once

#include <filesystem>
#include <string>

namespace pgcarve::cmd {

class ScratchServer {
public:
    explicit ScratchServer(int version); // 0: any
    ScratchServer(ScratchServer const&) = delete;
    ScratchServer& operator=(ScratchServer const&) = delete;
    ~ScratchServer();
    [[nodiscard]] std::string dsn() const;

private:
    void remove() noexcept;

    std::filesystem::path folder_;
    std::filesystem::path bin_;
    bool started_ = false;
};

} // namespace pgcarve::cmd
