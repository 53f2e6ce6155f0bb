// Proves that a database holds what the ledgers acknowledge, and nothing else of their keys.
//
// Every table is read once, in one snapshot, on every side that is named; only the rows of the runs'
// tenants and the seeded rows which the runs touched leave the server.
//
// Findings: lost (an acknowledged write is not there, or half of one), invented (a row or a version that
// nobody was promised, a deleted row that is back, a row twice), and money that does not add up.
//
// Run it when the workload has ended, with every ledger written since the seed was loaded: seeded rows are
// shared by all runs.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

namespace monolith {

struct CheckOptions {
    std::string dsn;
    std::vector<std::string> ledgers;
    std::string shared_schema = "public";
    std::map<std::string, std::string> services;          // service → the authority's schema
    std::map<std::string, std::string> databases;         // service → connection string, where that is in another database
    std::map<std::string, std::vector<std::string>> also; // service → further schemas, of `dsn`, that must hold the same
    std::set<std::string> skip;                           // tables
    int max_report = 20;
};

// Prints findings and the verdict on stdout. 0: nothing lost, nothing invented; 1: findings.
// Throws SqlError, std::runtime_error (a ledger that cannot be read).
int check_database(CheckOptions const& options);

} // namespace monolith
