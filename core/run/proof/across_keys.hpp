// Rows that are compared by their keys: those that the stream has touched, and those in doubt until none is left.
//
// Threads: one at a time.
#pragma once

#include <functional>

#include "run/proof/across_workers.hpp"

namespace pgcarve::run {

class AcrossKeys {
public:
    AcrossKeys(AcrossOptions const& options, std::vector<model::TablePair> const& pairs, verify::RowHash hash, AcrossDoubts& doubts, VerifiedTables& tables,
               AcrossWorkers& workers, VerifyWatch& watch, std::function<void()> supervise);

    // Compares these but for those in doubt, by all workers; shapes of tables are those of the moment. Whether no difference was found.
    bool compare(Moment const& moment, TouchedByTable const& rows, TouchedByTable const& doubt);
    // Rows in doubt, at one moment after another. `at`: called for each.
    void settle(Context& context, TouchedByTable pending, std::function<void(Moment const&)> const& at);

private:
    bool settle(Moment const& moment, TouchedByTable const& rows, TouchedByTable const& doubt);
    bool compare(verify::TwoSessions const& sessions, std::size_t table, std::vector<verify::Key> const& keys);

    AcrossOptions const& options_;
    std::vector<model::TablePair> const& pairs_;
    verify::RowHash hash_;
    AcrossDoubts& doubts_;
    VerifiedTables& tables_;
    AcrossWorkers& workers_;
    VerifyWatch& watch_;
    std::function<void()> supervise_;
};

} // namespace pgcarve::run
