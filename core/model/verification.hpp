// What a verification found. Counts are exact; samples are bounded.
// `source` is the authority at the time, `target` what follows it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/types.hpp"
#include "sql/ident.hpp"

namespace pgcarve::model {

enum class Verdict { clean, different, incomplete };
enum class FindingKind { missing, extra, different }; // missing: in the source only; extra: in the target only

struct Finding {
    FindingKind kind = FindingKind::different;
    std::vector<std::pair<std::string, std::optional<std::string>>> key; // column, value as text
    std::vector<std::string> columns; // that differ; empty unless `different`
    // Only when asked for (--show-values): column, source's value, target's value.
    std::vector<std::tuple<std::string, std::optional<std::string>, std::optional<std::string>>> values;
};

struct TableVerification {
    sql::QName source;
    sql::QName target;
    Verdict verdict = Verdict::incomplete;
    std::string why; // when incomplete
    std::int64_t rows = 0; // compared at the source
    std::int64_t missing = 0;
    std::int64_t extra = 0;
    std::int64_t different = 0;
    std::vector<Finding> samples;
};

struct Verification {
    std::int64_t id = 0; // in the history; 0 before it is stored
    std::string service;
    Verdict verdict = Verdict::incomplete;
    std::string mode = "full"; // full, incremental
    base::Lsn proven_lsn{};
    std::string proven_time; // ISO 8601 with zone
    std::string oldest_time; // when the first of the rows was compared, where an earlier process did that; empty: none did
    std::optional<std::uint64_t> horizon{}; // of one database: transactions from this number on may not have been seen
    double seconds = 0;
    double rested = 0; // of these, so as to leave the servers to others
    std::vector<TableVerification> tables;

    [[nodiscard]] std::int64_t rows() const;
    [[nodiscard]] std::int64_t differences() const;
};

[[nodiscard]] char const* text(Verdict v);
[[nodiscard]] char const* text(FindingKind v);
// different if any is, else incomplete if any is or there is none, else clean.
[[nodiscard]] Verdict overall(std::vector<TableVerification> const& tables);

} // namespace pgcarve::model
