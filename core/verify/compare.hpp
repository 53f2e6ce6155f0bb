// What is asked of a comparison of two copies of a service's tables, and what it tells meanwhile.
//
// `where` restricts both sides by each side's own values: a row whose condition holds on one side only counts as missing or extra.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/duration.hpp"
#include "model/plan.hpp"
#include "model/verification.hpp"

namespace pgcarve::verify {

struct CompareOptions {
    std::vector<std::string> tables; // names of source or target tables, qualified or not; empty: all
    std::string where;
    int workers = 0; // sessions that compare; 0: 2 to 4 by the cores of this machine
    std::optional<base::Millis> max_duration;
    std::optional<int> max_active_sessions; // workers wait while more other sessions are active
    double nice_ratio = 0; // for each second of reading while other sessions are active, seconds of rest; 0: none (pace.hpp)
    std::size_t max_samples = 20;           // a table
    bool show_values = false;
    double rows_per_item = 100'000;
    base::Millis snapshot_limit{300'000}; // no snapshot is held for longer, but for the statement that runs then
    // A verification that was broken off is taken up, but for what was compared longer ago.
    base::Millis resume_within{24LL * 3600 * 1000};
    bool fresh = false; // takes up and shares nothing
};

// The indexes of the pairs that `names` choose, by the names of their tables; empty: all. Throws "unknown-table" (exit 2).
[[nodiscard]] std::vector<std::size_t> choose_pairs(std::vector<std::string> const& names, std::vector<model::TablePair> const& pairs);

struct CompareProgress {
    std::size_t tables_done = 0;
    std::size_t tables = 0;
    std::int64_t rows_done = 0;
    double rows_estimated = 0; // of the tables looked at so far; grows while tables are being opened
    double rows_per_second = 0;
    std::int64_t differences = 0;
    bool holding = false; // for max_active_sessions
    bool resting = false; // for nice_ratio
};

struct CompareEvents {
    std::function<void(CompareProgress const&)> progress{}; // a few times a second, and at the end
    std::function<bool()> interrupted{};                    // true: cancel what runs, return what is known
    std::function<void(std::string const&)> note{};         // what is worth knowing, once
};

} // namespace pgcarve::verify
