#include "model/gate.hpp"

#include <algorithm>

namespace pgcarve::model {

bool Gate::open() const {
    auto const lets_through = [](Condition const& c) { return c.state == ConditionState::pass || c.overridden; };
    return !conditions.empty() && std::ranges::all_of(conditions, lets_through);
}

char const* text(ConditionState v) {
    switch (v) {
    case ConditionState::pass: return "pass";
    case ConditionState::fail: return "fail";
    case ConditionState::unknown: return "unknown";
    }
    return "unknown";
}

} // namespace pgcarve::model
