#include <algorithm>

#include <fmt/format.h>

#include "report/document.hpp"
#include "report/render.hpp"
#include "report/table.hpp"

namespace pgcarve::report {

namespace {

Tone tone_of(model::Condition const& condition) {
    if (condition.overridden)
        return Tone::warn;
    switch (condition.state) {
    case model::ConditionState::pass:
        return Tone::good;
    case model::ConditionState::fail:
        return Tone::bad;
    case model::ConditionState::unknown:
        return Tone::warn;
    }
    return Tone::plain;
}

bool holds_back(model::Condition const& condition) {
    return condition.state != model::ConditionState::pass && !condition.overridden;
}

} // namespace

std::string text(model::Gate const& gate, Style style) {
    auto const closed = std::ranges::count_if(gate.conditions, holds_back);
    auto const total = static_cast<std::int64_t>(gate.conditions.size());
    std::string out;
    if (gate.open())
        out += fmt::format("  gate: {}, {}\n", paint("open", Tone::good, style), plural(total, "condition"));
    else if (gate.conditions.empty())
        out += fmt::format("  gate: {}, nothing was judged\n", paint("closed", Tone::bad, style));
    else
        out += fmt::format("  gate: {} by {} of {}\n", paint("closed", Tone::bad, style), closed,
                           plural(total, "condition"));
    if (gate.conditions.empty())
        return out;

    Table table{{"CONDITION", "STATE", "OBSERVED", "LIMIT"}};
    for (auto const& condition : gate.conditions)
        table.row({condition.id,
                   {condition.overridden ? "overridden" : model::text(condition.state), tone_of(condition)},
                   condition.observed,
                   condition.limit});
    out += table.text(style);
    for (auto const& condition : gate.conditions) {
        if (condition.overridden)
            out += fmt::format("  {} is overridden: {}\n", condition.id, printable(*condition.overridden));
        else if (holds_back(condition) && !condition.hint.empty())
            out += fmt::format("  {}: {}\n", condition.id, printable(condition.hint));
    }
    return out;
}

std::string json(model::Gate const& gate) {
    auto out = document();
    out.update(gate_json(gate));
    return dump(out);
}

} // namespace pgcarve::report
