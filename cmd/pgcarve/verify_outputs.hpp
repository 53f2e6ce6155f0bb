// Where the verdicts of `verify` go: stdout in one format, and files in others beside it.
#pragma once

#include <string>
#include <vector>

#include "model/verification.hpp"
#include "pgcarve/options.hpp"
#include "report/verification.hpp"

namespace pgcarve::cmd {

struct VerifyOutputs {
    std::string output; // of stdout; empty: as --format says
    std::string textfile;
    std::string junit;
    std::string markdown;
    std::string json;

    void declare(CLI::App& verb);
    // Files first: a reader of stdout that has gone away must not cost them.
    // `reasons`: report/verification.hpp.
    void put(std::vector<model::Verification> const& all, report::Reasons const& reasons, Context& context) const;
};

} // namespace pgcarve::cmd
