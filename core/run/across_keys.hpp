// Rows that are compared by their keys: those that the stream has touched, and those in doubt until none is left.
//
// Threads: one at a time.
#pragma once

#include <functional>

#include "run/across_workers.hpp"

namespace pgcarve::run {

class AcrossKeys {
public:
    AcrossKeys(AcrossOptions const& options, std::vector<model::TablePair> const& pairs, verify::RowHash hash, AcrossDoubts& doubts, AcrossTables& tables,
               AcrossWorkers& workers, AcrossWatch& watch, std::function<void()> supervise);

    // Compares these but for those in doubt. Whether no difference was found. `known`: the tables' shapes are those of the moment.
    bool compare(Reader& reader, Moment const& moment, TouchedByTable const& rows, TouchedByTable const& doubt, bool known);
    // Rows in doubt, at one moment after another. `at`: called for each.
    void settle(Context& context, TouchedByTable pending, std::function<void(Moment const&)> const& at);

private:
    AcrossOptions const& options_;
    std::vector<model::TablePair> const& pairs_;
    verify::RowHash hash_;
    AcrossDoubts& doubts_;
    AcrossTables& tables_;
    AcrossWorkers& workers_;
    AcrossWatch& watch_;
    std::function<void()> supervise_;
};

} // namespace pgcarve::run
