// The conditions for a cutover, each with what was observed and what mends it.
// Unknown closes the gate exactly as a failure does.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace pgcarve::model {

enum class ConditionState { pass, fail, unknown };

struct Condition {
    std::string id; // stable: "window", "clean_runs" …: what --override takes
    ConditionState state = ConditionState::unknown;
    std::string observed;
    std::string limit;
    std::string hint; // what to type or do
    std::optional<std::string> overridden; // the reason, when an operator overrode it
};

struct Gate {
    std::vector<Condition> conditions;
    // Every condition passes or is overridden; an empty gate is closed.
    [[nodiscard]] bool open() const;
};

[[nodiscard]] char const* text(ConditionState v);

} // namespace pgcarve::model
