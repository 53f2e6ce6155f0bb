// Findings of lint for a terminal, as the pinned JSON document, and the reference of the rules.
#include <algorithm>

#include <fmt/format.h>

#include "report/document.hpp"
#include "report/lint.hpp"
#include "report/table.hpp"

namespace pgcarve::report {

namespace {

constexpr std::size_t excerpt_characters = 120;
constexpr std::size_t kept_before = 40;

std::vector<std::string_view> characters(std::string_view text) {
    std::vector<std::string_view> out;
    for (std::size_t at = 0; at < text.size();) {
        auto end = at + 1;
        while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U)
            ++end;
        out.push_back(text.substr(at, end - at));
        at = end;
    }
    return out;
}

// The line with a caret below the text that is meant; a long line is cut around it.
std::string excerpt(std::string const& line, model::Position from, model::Position to, Style style) {
    auto const all = characters(line);
    auto const first = std::min(static_cast<std::size_t>(std::max(from.column, 1)) - 1, all.size());
    auto last = to.line > from.line
                    ? all.size()
                    : std::min(static_cast<std::size_t>(std::max(to.column, 1)) - 1, all.size());
    auto const begin = all.size() > excerpt_characters && first > kept_before ? first - kept_before : 0;
    auto const end = std::min(all.size(), begin + excerpt_characters);
    last = std::max(std::min(last, end), std::min(first + 1, end));
    std::string shown;
    std::string before;
    std::string marked;
    for (auto i = begin; i < end; ++i) {
        auto const piece = all[i] == "\t" ? std::string{" "} : printable(all[i]);
        shown += piece;
        if (i < first)
            before += piece;
        else if (i < last)
            marked += piece;
    }
    auto const gutter = fmt::format("{:>5} | ", from.line);
    auto const wide = static_cast<std::size_t>(std::max(display_width(marked), 1));
    auto const lead = begin > 0 ? std::string{"…"} : std::string{};
    return fmt::format("{}{}{}{}\n{:>5} | {}{}\n", paint(gutter, Tone::dim, style), lead, shown,
                       end < all.size() ? "…" : "", "",
                       std::string(static_cast<std::size_t>(display_width(lead + before)), ' '),
                       paint("^" + std::string(wide - 1, '~'), Tone::strong, style));
}

Json position(model::Position at) {
    Json json;
    json["line"] = at.line;
    json["column"] = at.column;
    return json;
}

std::string summary(model::LintReport const& report, Style style) {
    auto const errors =
        std::ranges::count(report.findings, model::Severity::error, &model::LintFinding::severity);
    auto const warnings =
        std::ranges::count(report.findings, model::Severity::warning, &model::LintFinding::severity);
    auto out =
        fmt::format("{} in {}: {}, {}", plural(report.coverage.statements, "statement"),
                    plural(static_cast<std::int64_t>(report.files.size()), "file"),
                    paint(plural(errors, "error"), errors > 0 ? Tone::bad : Tone::good, style),
                    paint(plural(warnings, "warning"), warnings > 0 ? Tone::warn : Tone::plain, style));
    if (report.coverage.not_analysed > 0)
        out += fmt::format(
            ", {}", paint(fmt::format("{} not analysed", report.coverage.not_analysed), Tone::warn, style));
    if (report.ignored > 0)
        out += fmt::format(", {} answered for", report.ignored);
    return out + "\n";
}

} // namespace

std::string text(model::LintReport const& report, Style style) {
    std::string out;
    for (auto const& finding : report.findings) {
        bool const error = finding.severity == model::Severity::error;
        out +=
            fmt::format("{}:{}:{}: {} {}\n", printable(finding.file), finding.from.line, finding.from.column,
                        paint(fmt::format("{} {}:", model::text(finding.severity), finding.rule),
                              error ? Tone::bad : Tone::warn, style),
                        printable(finding.message));
        if (!finding.excerpt.empty())
            out += excerpt(finding.excerpt, finding.from, finding.to, style);
        if (!finding.lock.empty())
            out += fmt::format("  lock: {}\n", finding.lock);
        if (!finding.fix.empty())
            out += fmt::format("  instead: {}\n", printable(finding.fix));
        out += "\n";
    }
    for (auto const& gap : report.gaps) {
        out += fmt::format("{}:{}:{}: {} {}\n", printable(gap.file), gap.from.line, gap.from.column,
                           paint("not analysed:", Tone::warn, style), printable(gap.reason));
        out += excerpt(gap.excerpt, gap.from, gap.to, style) + "\n";
    }
    out += summary(report, style);
    if (!report.gaps.empty() && !report.gaps_allowed)
        out += "not everything was judged: look at it yourself, and say so with -- pgcarve:ignore "
               "not_analysed REASON "
               "before the statement, or --allow-not-analysed\n";
    return out;
}

std::string json(model::LintReport const& report) {
    auto out = document();
    out["findings"] = Json::array();
    for (auto const& finding : report.findings) {
        Json entry;
        entry["rule"] = finding.rule;
        entry["severity"] = model::text(finding.severity);
        entry["file"] = finding.file;
        entry["line"] = finding.from.line;
        entry["column"] = finding.from.column;
        entry["end"] = position(finding.to);
        entry["message"] = finding.message;
        entry["fix"] = finding.fix;
        entry["lock"] = finding.lock;
        entry["proof"] = finding.proof;
        entry["object"] = finding.object;
        entry["fingerprint"] = finding.fingerprint;
        out["findings"].push_back(std::move(entry));
    }
    out["not_analysed"] = Json::array();
    for (auto const& gap : report.gaps) {
        Json entry;
        entry["file"] = gap.file;
        entry["line"] = gap.from.line;
        entry["column"] = gap.from.column;
        entry["end"] = position(gap.to);
        entry["reason"] = gap.reason;
        out["not_analysed"].push_back(std::move(entry));
    }
    auto& coverage = out["coverage"];
    coverage["statements"] = report.coverage.statements;
    coverage["proved"] = report.coverage.proved;
    coverage["heuristic"] = report.coverage.heuristic;
    coverage["not_analysed"] = report.coverage.not_analysed;
    out["answered_for"] = report.ignored;
    out["boundary"] = report.boundary;
    return dump(out);
}

namespace {

// What a rule counts as when nobody chose.
std::string_view usual(model::LintRule const& rule) {
    return rule.severity == model::Severity::off ? "off unless asked for" : model::text(rule.severity);
}

} // namespace

std::string text(std::vector<model::LintRule> const& rules, Style style) {
    Table table{{"RULE", "NAME", "SEVERITY", "WHAT"}};
    for (auto const& rule : rules)
        table.row({rule.id, rule.name, std::string{usual(rule)}, rule.title});
    return table.text(style);
}

std::string json(std::vector<model::LintRule> const& rules) {
    auto out = document();
    out["rules"] = Json::array();
    for (auto const& rule : rules) {
        Json entry;
        entry["id"] = rule.id;
        entry["name"] = rule.name;
        entry["severity"] = model::text(rule.severity);
        entry["title"] = rule.title;
        entry["why"] = rule.why;
        entry["lock"] = rule.lock;
        entry["fix"] = rule.fix;
        entry["violating"] = rule.violating;
        entry["accepted"] = rule.accepted;
        out["rules"].push_back(std::move(entry));
    }
    return dump(out);
}

std::string text(model::LintRule const& rule, Style style) {
    auto out = fmt::format("{} {} ({})\n\n{}\n\n{}\n", paint(rule.id, Tone::strong, style), rule.name,
                           usual(rule), rule.title, rule.why);
    if (!rule.lock.empty())
        out += fmt::format("\nlock: {}\n", rule.lock);
    out += fmt::format("\ninstead: {}\n", rule.fix);
    if (rule.severity == model::Severity::off)
        out += fmt::format("\nto switch it on: --severity {0}=warning, or {0} = \"warning\" in [lint.severity] of pgcarve.toml\n", rule.id);
    for (auto const& [title, examples] :
         {std::pair{"violating", &rule.violating}, std::pair{"accepted", &rule.accepted}}) {
        if (!examples->empty())
            out += fmt::format("\n{}:\n", title);
        for (auto const& example : *examples)
            out += fmt::format("  {}\n", example);
    }
    return out;
}

std::string json(model::LintRule const& rule) {
    return json(std::vector<model::LintRule>{rule});
}

std::string rule_reference(std::vector<model::LintRule> const& rules) {
    static constexpr std::pair<char, std::string_view> families[] = {
        {'L', "Locks, rewrites and scans"},
        {'C', "Compatibility and loss"},
        {'B', "Boundaries (with a pgcarve.toml)"},
        {'S', "Running syncs (with --sync-state or --dsn)"},
        {'H', "Hygiene (off unless asked for: `--severity H=warning`, or by rule)"},
        {'A', "What somebody answered for"},
    };
    std::string out;
    for (auto const& [letter, title] : families) {
        out += fmt::format("## {}\n\n", title);
        for (auto const& rule : rules) {
            if (rule.id[0] != letter)
                continue;
            out += fmt::format("### {} {}\n\n{}. Severity: {}.", rule.id, rule.name, rule.title,
                               usual(rule));
            if (!rule.lock.empty())
                out += fmt::format(" Lock: `{}`.", rule.lock);
            out += fmt::format("\n\n{}\n\n**Instead:** {}.\n", rule.why, rule.fix);
            if (!rule.violating.empty()) {
                out += "\n```sql\n-- found\n";
                for (auto const& example : rule.violating)
                    out += example + "\n";
                out += "-- not found\n";
                for (auto const& example : rule.accepted)
                    out += example + "\n";
                out += "```\n";
            }
            out += "\n";
        }
    }
    while (out.ends_with("\n\n"))
        out.pop_back();
    return out;
}

} // namespace pgcarve::report
