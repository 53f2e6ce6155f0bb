// What an audit reports. Samples are bounded, counts are exact.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/types.hpp"
#include "model/verification.hpp"

namespace pgcarve::model {

struct AuditRow {
    sql::QName source; // the authority's table
    sql::QName target;
    Finding finding; // its kind; the key; the columns that differ
};

// A transaction after which rows that it wrote differ between the two sides.
struct AuditDifference {
    std::int64_t id = 0; // in the control schema
    std::uint32_t xid = 0;
    base::Lsn commit_lsn;
    std::string committed_at; // ISO 8601, UTC
    std::int64_t rows = 0;
    std::vector<AuditRow> samples;
    bool truncated = false; // one side was emptied and the other was not: `rows` counts that as one
};

// All rows of an earlier difference are equal again, by a later transaction.
struct AuditEqual {
    base::Lsn commit_lsn; // of the difference
    std::uint32_t xid = 0; // that made them equal
    base::Lsn equal_lsn;
    std::string equal_at;
    double seconds = 0; // after the difference
};

struct AuditSummary {
    std::string service;
    base::Lsn from;
    base::Lsn position; // everything that committed before it has been judged
    std::int64_t transactions = 0;
    std::int64_t changes = 0;
    std::int64_t differences = 0; // transactions
    std::int64_t equal_again = 0; // of them
    std::int64_t undecided = 0;   // rows
    std::string ended;            // why: caught up, time, stopped, …
    std::optional<std::string> lost; // why the log could not be read to its end
};

} // namespace pgcarve::model
