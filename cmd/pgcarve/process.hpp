// Runs a program and takes what it prints. No shell is involved: arguments are passed as they are.
#pragma once

#include <string>
#include <vector>

namespace pgcarve::cmd {

struct ProcessResult {
    int exit = -1; // 128 + the signal when one ended it; 127 when it could not be started
    std::string out;
    std::string err;
};

// `input` is its standard input. Errors: "process" (exit 70) when pipes or processes cannot be made.
[[nodiscard]] ProcessResult run_process(std::vector<std::string> const& arguments, std::string const& input = {});

} // namespace pgcarve::cmd
