// What goes wrong, as a value that a person can act on.
//
// Every failure that reaches a user is an Error: a stable code, what happened
// and where, both sides of a comparison where there is one, and a hint that can
// be typed. Findings, a closed gate and throttling are values, not errors.
//
// Only cmd/ prints errors; everything below adds context and rethrows.
#pragma once

#include <exception>
#include <string>
#include <vector>

namespace pgcarve::base {

// The process exit codes; their numbers are a contract with cron jobs and CI.
enum class Exit : int {
    done = 0,
    findings = 1,      // rows differ, lint violations, gate closed
    usage = 2,         // usage or configuration error, nothing was touched
    not_proven = 3,    // the check could not be completed
    unavailable = 4,   // a server was not reached or was lost, or interrupted: safe to run again
    needs_decision = 5, // `pgcarve doctor` says which
    bug = 70,
};

class Error : public std::exception {
public:
    // `code` is a stable slug ("wrong-phase"); `message` is lower-case, without a full stop.
    Error(Exit exit, std::string code, std::string message, std::string hint = {});

    [[nodiscard]] Exit exit() const noexcept { return exit_; }
    [[nodiscard]] std::string const& code() const noexcept { return code_; }
    [[nodiscard]] std::string const& message() const noexcept { return message_; }
    [[nodiscard]] std::string const& hint() const noexcept { return hint_; }
    [[nodiscard]] std::vector<std::string> const& details() const noexcept { return details_; }
    [[nodiscard]] char const* what() const noexcept override { return what_.c_str(); }

    // Adds a line of context ("source: public.orders"); lines are shown in the order added.
    Error& with(std::string detail) &;
    Error&& with(std::string detail) &&;

private:
    Exit exit_;
    std::string code_;
    std::string message_;
    std::string hint_;
    std::vector<std::string> details_;
    std::string what_;
};

// A bug of ours: an invariant that the code itself should have kept.
[[noreturn]] void bug(std::string const& what);

} // namespace pgcarve::base
