// Verification of a service whose rows are in two databases, while both are in use.
//
// All rows are compared at one Moment, or, where that takes longer than a snapshot may live, part by part at several:
// then each later moment also looks at what the stream has touched since the one before, so that what is proven holds at
// the last. Rows in doubt at a moment are looked at again at the next, until none is left. Incremental: what was touched
// since the last proven position, and a share of the rest in turns.
//
// Errors: "not-proven" (exit 3), "interrupted"; see Moments. Threads: workers are threads of its own; events are called
// on the calling one.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "control/verify_run.hpp"
#include "run/proof/moment.hpp"
#include "verify/across.hpp"
#include "verify/compare.hpp"

namespace pgcarve::run {

struct AcrossOptions {
    verify::CompareOptions compare{};
    base::Millis snapshot_limit{300'000}; // no snapshot is held for longer, but for the statement that runs then
    base::Millis doubt_limit{60'000};     // how long rows may stay in doubt
    MomentLimits moments{};
    double bucket_rows = 1'000; // looked at row by row where they differ
    double unit_rows = 200'000; // compared in one transaction
    std::size_t max_touched = 500'000; // keys looked at one by one; beyond them all rows are
    std::string scan_dsn; // where the source is read: a standby of it; empty: itself

    // Pieces that other processes share, and a later one takes up; nullptr: all is done here, and forgotten if it is not.
    control::VerifyRun* shared = nullptr;

    // Incremental: where everything was proven last, and the share of each table to compare now.
    std::optional<base::Lsn> since{};
    double share = 0;
    std::map<std::string, std::string> turns{}; // by quoted source: where the next share begins
};

struct AcrossOutcome {
    model::Verification verification;
    std::map<std::string, std::string> turns; // where the next share begins
    bool interrupted = false;
    bool everything = false; // every row was compared, though only a share was asked for
};

// Called for every difference, with the index of its pair: from any worker, one at a time.
using AcrossFound = std::function<void(std::size_t pair, verify::AcrossShape const& shape, verify::Difference const& difference)>;

// `pairs`: roots, from source to target.
[[nodiscard]] AcrossOutcome verify_across(Context& context, Route const& route, sync::Mapping const& mapping, std::vector<model::TablePair> const& pairs,
                                          AcrossOptions const& options, verify::CompareEvents const& events, AcrossFound const& found = {});

// Compares rows with these keys only, at as many moments as it takes.
[[nodiscard]] AcrossOutcome verify_keys(Context& context, Route const& route, sync::Mapping const& mapping, std::vector<model::TablePair> const& pairs,
                                        TouchedByTable const& keys, AcrossOptions const& options, verify::CompareEvents const& events);

// Of keys in the order of TablePair::key: in that of the index the shape uses.
[[nodiscard]] std::vector<verify::Key> ordered_keys(verify::AcrossShape const& shape, model::TablePair const& pair, std::set<verify::Key> const& keys);

} // namespace pgcarve::run
