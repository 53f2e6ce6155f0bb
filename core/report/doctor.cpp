#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "report/document.hpp"
#include "report/render.hpp"
#include "report/table.hpp"

namespace pgcarve::report {

namespace {

using model::DoctorLevel;

constexpr std::array worst_first{DoctorLevel::decision, DoctorLevel::problem, DoctorLevel::advice};

Tone tone_of(DoctorLevel level) {
    switch (level) {
    case DoctorLevel::fine:
        return Tone::good;
    case DoctorLevel::advice:
        return Tone::warn;
    case DoctorLevel::problem:
    case DoctorLevel::decision:
        return Tone::bad;
    }
    return Tone::plain;
}

std::string entry(model::DoctorFinding const& finding, Style style) {
    auto out = fmt::format("{} {}: {}\n", paint(model::text(finding.level), tone_of(finding.level), style),
                           printable(finding.object), printable(finding.message));
    if (!finding.observed.empty() || !finding.wanted.empty())
        out += fmt::format("  is {}, should be {}\n", printable(finding.observed), printable(finding.wanted));
    for (auto const& statement : finding.sql)
        out += indented(printable_lines(statement), "    ");
    if (!finding.hint.empty())
        out += fmt::format("  hint: {}\n", printable(finding.hint));
    return out;
}

} // namespace

std::string text(model::DoctorReport const& report, Style style) {
    std::string out;
    for (auto const level : worst_first) {
        for (auto const& finding : report.findings) {
            if (finding.level == level)
                out += entry(finding, style);
        }
    }
    std::vector<std::string> counts;
    for (auto const level :
         {DoctorLevel::decision, DoctorLevel::problem, DoctorLevel::advice, DoctorLevel::fine}) {
        auto const count = std::ranges::count(report.findings, level, &model::DoctorFinding::level);
        if (count > 0 && level == DoctorLevel::decision)
            counts.push_back(plural(count, "decision"));
        else if (count > 0 && level == DoctorLevel::problem)
            counts.push_back(plural(count, "problem"));
        else if (count > 0 && level == DoctorLevel::advice)
            counts.push_back(plural(count, "advice", "pieces of advice"));
        else if (count > 0)
            counts.push_back(plural(count, "check fine", "checks fine"));
    }
    return out + (counts.empty() ? "nothing was checked" : joined(counts)) + "\n";
}

std::string json(model::DoctorReport const& report) {
    auto out = document();
    out["worst"] = model::text(report.worst());
    out["findings"] = Json::array();
    for (auto const& finding : report.findings) {
        Json entry;
        entry["level"] = model::text(finding.level);
        entry["id"] = finding.id;
        entry["object"] = finding.object;
        entry["message"] = finding.message;
        entry["observed"] = finding.observed;
        entry["wanted"] = finding.wanted;
        entry["sql"] = finding.sql;
        entry["hint"] = finding.hint;
        out["findings"].push_back(std::move(entry));
    }
    return dump(out);
}

} // namespace pgcarve::report
