#include <algorithm>

#include <fmt/format.h>

#include "report/document.hpp"
#include "report/render.hpp"
#include "report/table.hpp"

namespace pgcarve::report {

namespace {

std::string terminated(std::string statement) {
    while (!statement.empty() && (statement.back() == '\n' || statement.back() == ' '))
        statement.pop_back();
    if (!statement.empty() && !statement.ends_with(';'))
        statement += ';';
    return statement;
}

std::string script(std::vector<std::string> const& statements) {
    std::string out;
    for (auto const& statement : statements) {
        if (!out.empty())
            out += '\n';
        out += terminated(statement);
    }
    return out;
}

std::string tables_text(model::Plan const& plan, Style style) {
    auto const partitions = std::ranges::count(plan.tables, true, &model::TablePair::is_partition);
    auto const roots = static_cast<std::int64_t>(plan.tables.size()) - partitions;
    Table table{{"SOURCE", "TARGET", "KEY"}};
    for (auto const& pair : plan.tables) {
        if (!pair.is_partition)
            table.row({pair.source.display(), pair.target.display(),
                       joined(pair.key) + (pair.key_immediate ? "" : " (deferrable)")});
    }
    auto out = plural(roots, "table");
    if (partitions > 0)
        out += fmt::format(" and {}", plural(partitions, "partition"));
    return out + "\n" + (table.empty() ? "" : table.text(style));
}

std::string crossings_text(model::Plan const& plan, Style style) {
    if (plan.crossings.empty())
        return "no crossings\n";
    auto const undecided = std::ranges::count(plan.crossings, "undecided", &model::Crossing::decision);
    auto out = plural(static_cast<std::int64_t>(plan.crossings.size()), "crossing");
    if (undecided > 0)
        out += fmt::format(", {}", paint(fmt::format("{} undecided", number(undecided)), Tone::warn, style));
    Table table{{"KIND", "FROM", "TO", "DECISION", "DETAIL"}};
    for (auto const& crossing : plan.crossings)
        table.row({crossing.kind,
                   crossing.from,
                   crossing.to,
                   {crossing.decision, crossing.decision == "undecided" ? Tone::warn : Tone::plain},
                   crossing.detail});
    return out + "\n" + table.text(style);
}

std::string notices_text(model::Plan const& plan, Style style) {
    std::string out;
    for (bool const refuses : {true, false}) {
        for (auto const& notice : plan.notices) {
            if (notice.refuses != refuses)
                continue;
            out +=
                fmt::format("  {} {}: {}\n",
                            refuses ? paint("refused", Tone::bad, style) : paint("note", Tone::warn, style),
                            printable(notice.object), printable(notice.text));
            if (!notice.hint.empty())
                out += fmt::format("    hint: {}\n", printable(notice.hint));
        }
    }
    return out.empty() ? out : "notices\n" + out;
}

std::string steps_text(model::Plan const& plan, Style style, PlanDetail detail) {
    auto out = plural(static_cast<std::int64_t>(plan.steps.size()), "step") + "\n";
    if (detail == PlanDetail::steps) {
        Table table{{"#", "STEP", "LOCK", "WHY"}};
        table.right(0);
        int n = 0;
        for (auto const& step : plan.steps)
            table.row({fmt::format("{}", ++n), step.id, step.lock.empty() ? "none" : step.lock, step.why});
        return table.empty() ? out : out + table.text(style);
    }
    int n = 0;
    for (auto const& step : plan.steps) {
        out += fmt::format("\n  -- {}. {}: {}\n", ++n, paint(printable(step.id), Tone::strong, style),
                           printable(step.why));
        out += fmt::format("  -- lock: {}\n",
                           step.lock.empty() ? "none on an existing table" : printable(step.lock));
        out += indented(printable_lines(script(step.sql)), "  ");
    }
    return out;
}

} // namespace

std::string text(model::Plan const& plan, Style style, PlanDetail detail) {
    auto out = fmt::format("plan: {} {}\n\n", plan.verb, paint(printable(plan.service), Tone::strong, style));
    out += tables_text(plan, style) + "\n";
    out += crossings_text(plan, style) + "\n";
    auto const notices = notices_text(plan, style);
    if (!notices.empty())
        out += notices + "\n";
    out += steps_text(plan, style, detail);
    if (std::ranges::any_of(plan.notices, &model::Notice::refuses))
        out += fmt::format("\n{}: mend what is refused above, then run `pgcarve plan {}` again\n",
                           paint("this plan cannot run", Tone::bad, style), printable(plan.service));
    return out;
}

std::string json(model::Plan const& plan) {
    auto out = document();
    out["service"] = plan.service;
    out["verb"] = plan.verb;
    out["tables"] = Json::array();
    for (auto const& pair : plan.tables) {
        Json entry;
        entry["source"] = pair.source.display();
        entry["target"] = pair.target.display();
        entry["key"] = pair.key;
        entry["partition"] = pair.is_partition;
        out["tables"].push_back(std::move(entry));
    }
    out["crossings"] = Json::array();
    for (auto const& crossing : plan.crossings) {
        Json entry;
        entry["kind"] = crossing.kind;
        entry["from"] = crossing.from;
        entry["to"] = crossing.to;
        entry["decision"] = crossing.decision;
        entry["detail"] = crossing.detail;
        out["crossings"].push_back(std::move(entry));
    }
    out["notices"] = Json::array();
    for (auto const& notice : plan.notices) {
        Json entry;
        entry["refuses"] = notice.refuses;
        entry["object"] = notice.object;
        entry["text"] = notice.text;
        entry["hint"] = notice.hint;
        out["notices"].push_back(std::move(entry));
    }
    out["steps"] = Json::array();
    for (auto const& step : plan.steps) {
        Json entry;
        entry["id"] = step.id;
        entry["sql"] = script(step.sql);
        entry["lock"] = step.lock;
        entry["why"] = step.why;
        entry["undo"] = script(step.undo);
        out["steps"].push_back(std::move(entry));
    }
    return dump(out);
}

} // namespace pgcarve::report
