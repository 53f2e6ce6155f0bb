// Runs the clients of the workload until time is up or a signal says so.
//
// Threads: one per client, and the caller's, which waits for signals (SIGTERM and SIGINT are blocked
// in the whole process from here on).
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace monolith {

struct RunOptions {
    std::string dsn;
    std::string ledger;
    std::string shared_schema = "public";
    std::map<std::string, std::string> services; // service → its own schema
    std::map<std::string, std::string> databases; // service → connection string of its own database
    bool follow = false; // start in the shared schema and go where writes are taken
    bool prepared = false;
    bool direct_partitions = true;
    int clients = 4;
    double rate = 0;      // transactions per second of all clients; 0: as fast as they can
    double seconds = 0;   // 0: until a signal
    double patience = 60; // how long one transaction may be retried
    int statement_timeout_ms = 30000;
    std::uint64_t seed = 1;
    bool progress = false; // a line a second on stderr
};

// Prints the outcome as JSON on stdout. 0: every error was one that a retry mended; 1: not so.
// Throws SqlError when it cannot begin, std::system_error for the ledger.
int run_workload(RunOptions const& options);

} // namespace monolith
