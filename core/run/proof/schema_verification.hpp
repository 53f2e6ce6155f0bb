// Verification of a service whose rows are twice in one database, while both copies are in use.
//
// One snapshot sees both sides, so rows are compared exactly. Where that takes longer than a snapshot may live, or an earlier
// process has done some of it, pieces are compared at several moments; at the last one everything that was written since the
// oldest of them is looked at again (verify/since.hpp), so that what is proven holds there. Incremental: what was written
// since the last clean verification, and a share of the rest in turns.
//
// Errors: "unreachable", "server-lost"; "not-proven" (exit 3); "load-unknown" (exit 2).
// Threads: workers are threads of its own; events are called on the calling one.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "control/verify_run.hpp"
#include "model/plan.hpp"
#include "verify/compare.hpp"
#include "verify/repair.hpp"

namespace pgcarve::run {

struct SchemaOptions {
    verify::CompareOptions compare{};

    // Pieces that other processes share, and a later one takes up; nullptr: all is done here, and forgotten if it is not.
    control::VerifyRun* shared = nullptr;

    // Incremental: the horizon of the last clean verification, and the share of each table to compare now.
    std::optional<std::uint64_t> since{};
    double share = 0;
    std::map<std::string, std::string> turns{}; // by quoted source: where the next share begins
};

struct SchemaOutcome {
    model::Verification verification;
    std::map<std::string, std::string> turns;
    std::vector<verify::DirtyPair> dirty; // where it found differences: for repair
    bool interrupted = false;
};

// `info`: what an operator may want to know. `pairs`: from the authority to what follows it.
[[nodiscard]] SchemaOutcome verify_schema(pg::SessionSettings const& settings, std::string const& service, std::vector<model::TablePair> const& pairs,
                                          SchemaOptions const& options, verify::CompareEvents const& events,
                                          std::function<void(std::string const&)> const& info = [](std::string const&) {});

// Compares everything, for a repair.
[[nodiscard]] verify::Located locate_differences(pg::SessionSettings const& settings, std::string const& service, std::vector<model::TablePair> const& pairs,
                                                 verify::CompareOptions const& options, verify::CompareEvents const& events);

} // namespace pgcarve::run
