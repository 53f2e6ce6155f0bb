// What `pgcarve doctor` found, each with the exact SQL or command that mends it.
#pragma once

#include <string>
#include <vector>

namespace pgcarve::model {

// fine: looked at and in order. advice: works, could be better. problem: a verb would fail.
// decision: something half-done that only a person can settle (exit 5).
enum class DoctorLevel { fine, advice, problem, decision };

struct DoctorFinding {
    DoctorLevel level = DoctorLevel::fine;
    std::string id;       // stable: "wal_level", "table-key", "unfinished-step"
    std::string object;   // what it is about: a setting, a table, a service
    std::string message;  // what was found and why it matters
    std::string observed; // both may be empty
    std::string wanted;
    std::vector<std::string> sql; // statements that mend it, in order
    std::string hint;             // what to type when it is not SQL
};

struct DoctorReport {
    std::vector<DoctorFinding> findings;
    [[nodiscard]] DoctorLevel worst() const; // fine when there are none
};

[[nodiscard]] char const* text(DoctorLevel v);

} // namespace pgcarve::model
