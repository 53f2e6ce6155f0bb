// The inventory of a shared database and what crosses between its owners: what `pgcarve assess` shows and saves.
#pragma once

#include <string>
#include <vector>

#include "model/catalog.hpp"

namespace pgcarve::model {

struct OwnedTable {
    sql::QName name;
    std::string owner; // a service, "reference", or "" for nobody
    double rows = 0;   // as the planner estimates them
    std::int64_t bytes = 0;
};

struct OwnedCrossing {
    std::string kind; // foreign_key, view, materialized_view, rule, function, trigger, sequence, policy, type
    std::string from; // the object, as SQL or pgcarve.toml would name it
    std::string to;   // the table or type at the other end
    std::string owner_from; // as OwnedTable::owner
    std::string owner_to;
    std::string detail;
    bool certain = true; // false: found by reading a function's text
};

struct Proposal {
    sql::QName table;
    std::string service;
    double confidence = 0; // 0 … 1
};

struct Assessment {
    Catalog catalog;
    std::vector<OwnedTable> tables;       // roots, by name
    std::vector<OwnedCrossing> crossings; // by kind and name
    std::vector<Proposal> proposals;      // for tables that nobody owns
};

} // namespace pgcarve::model
