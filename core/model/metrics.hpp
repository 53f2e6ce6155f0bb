// What monitoring is told of one service. Collected by run/, rendered by report/. What could not be determined is nullopt:
// it has no sample rather than a guess.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/status.hpp"

namespace pgcarve::model {

struct SlotMetrics {
    std::string name;
    bool active = false;
    bool lost = false; // the server has removed log that it needs
    std::optional<std::int64_t> retained_bytes; // of the log, kept for it
    std::optional<std::int64_t> lag_bytes;      // not confirmed yet
};

struct AuditMetrics {
    std::string state; // running, stopped, lost
    std::int64_t transactions = 0; // judged
    std::int64_t differences = 0;  // transactions whose two sides differed
    std::int64_t undecided = 0;    // rows that could not be judged
    std::optional<double> age_seconds; // since the position was last moved on
};

struct ServiceMetrics {
    ServiceStatus status;
    std::optional<double> verification_seconds; // that the last one took
    std::optional<std::int64_t> unresolved_findings;
    std::vector<SlotMetrics> slots;
    std::optional<AuditMetrics> audit;
};

struct Metrics {
    bool up = false; // the shared database answered
    std::vector<ServiceMetrics> services;
};

} // namespace pgcarve::model
