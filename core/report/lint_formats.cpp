// Findings of lint for editors, forges and CI systems.
#include <algorithm>

#include <fmt/format.h>

#include "report/document.hpp"
#include "report/escape.hpp"
#include "report/lint.hpp"
#include "report/table.hpp"

namespace pgcarve::report {

namespace {

std::string with_fix(model::LintFinding const& finding) {
    auto out = finding.message;
    if (!finding.lock.empty())
        out += " (" + finding.lock + ")";
    if (!finding.fix.empty())
        out += "; instead: " + finding.fix;
    return out;
}

bool is_error(model::LintFinding const& finding) {
    return finding.severity == model::Severity::error;
}
char const* gap_level(model::LintReport const& report) {
    return report.gaps_allowed ? "warning" : "error";
}

// GitHub's commands: % and line ends in the message, also : and , in the properties.
std::string escape_command(std::string_view text, bool property) {
    std::string out;
    for (char const c : text) {
        if (c == '%')
            out += "%25";
        else if (c == '\r')
            out += "%0D";
        else if (c == '\n')
            out += "%0A";
        else if (property && c == ':')
            out += "%3A";
        else if (property && c == ',')
            out += "%2C";
        else
            out += c;
    }
    return out;
}

std::string command(char const* level, std::string const& file, model::Position from, model::Position to,
                    std::string const& title, std::string const& message) {
    // Columns are shown only within one line.
    auto const columns = from.line == to.line ? fmt::format(",col={},endColumn={}", from.column, to.column)
                                              : fmt::format(",endLine={}", to.line);
    return fmt::format("::{} file={},line={}{},title={}::{}\n", level, escape_command(file, true), from.line,
                       columns, escape_command(title, true), escape_command(message, false));
}

Json sarif_region(model::Position from, model::Position to) {
    Json region;
    region["startLine"] = from.line;
    region["startColumn"] = from.column;
    region["endLine"] = to.line;
    region["endColumn"] = to.column;
    return region;
}

// A path as a URI reference.
std::string uri(std::string_view path) {
    std::string out;
    for (char const c : path) {
        bool const plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                           std::string_view{"-._~/"}.find(c) != std::string_view::npos;
        out += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
    return out;
}

Json sarif_location(std::string const& file, model::Position from, model::Position to) {
    Json location;
    location["physicalLocation"]["artifactLocation"]["uri"] = uri(file);
    location["physicalLocation"]["region"] = sarif_region(from, to);
    return location;
}

} // namespace

std::string lint_gcc(model::LintReport const& report) {
    std::string out;
    for (auto const& finding : report.findings)
        out += fmt::format("{}:{}:{}: {}: {} [{}]\n", printable(finding.file), finding.from.line,
                           finding.from.column, model::text(finding.severity), printable(with_fix(finding)),
                           finding.rule);
    for (auto const& gap : report.gaps)
        out += fmt::format("{}:{}:{}: {}: not analysed: {} [not_analysed]\n", printable(gap.file),
                           gap.from.line, gap.from.column, gap_level(report), printable(gap.reason));
    return out;
}

std::string lint_github(model::LintReport const& report) {
    std::string out;
    for (auto const& finding : report.findings)
        out += command(is_error(finding) ? "error" : "warning", finding.file, finding.from, finding.to,
                       "pgcarve " + finding.rule, with_fix(finding));
    for (auto const& gap : report.gaps)
        out +=
            command(gap_level(report), gap.file, gap.from, gap.to, "pgcarve", "not analysed: " + gap.reason);
    return out;
}

std::string lint_sarif(model::LintReport const& report, std::vector<model::LintRule> const& rules,
                       std::string const& version) {
    Json out;
    out["$schema"] = "https://json.schemastore.org/sarif-2.1.0.json";
    out["version"] = "2.1.0";
    Json run;
    auto& driver = run["tool"]["driver"];
    driver["name"] = "pgcarve";
    driver["version"] = version;
    driver["rules"] = Json::array();
    for (auto const& rule : rules) {
        Json entry;
        entry["id"] = rule.id;
        entry["name"] = rule.name;
        entry["shortDescription"]["text"] = rule.title;
        entry["fullDescription"]["text"] = rule.why;
        entry["help"]["text"] = rule.fix;
        driver["rules"].push_back(std::move(entry));
    }
    run["columnKind"] = "unicodeCodePoints";
    auto& invocation = run["invocations"][0];
    invocation["executionSuccessful"] = report.gaps.empty() || report.gaps_allowed;
    invocation["toolExecutionNotifications"] = Json::array();
    for (auto const& gap : report.gaps) {
        Json entry;
        entry["level"] = gap_level(report);
        entry["message"]["text"] = "not analysed: " + gap.reason;
        entry["locations"][0] = sarif_location(gap.file, gap.from, gap.to);
        invocation["toolExecutionNotifications"].push_back(std::move(entry));
    }
    run["results"] = Json::array();
    for (auto const& finding : report.findings) {
        Json entry;
        entry["ruleId"] = finding.rule;
        entry["level"] = model::text(finding.severity);
        entry["message"]["text"] = with_fix(finding);
        entry["locations"][0] = sarif_location(finding.file, finding.from, finding.to);
        entry["partialFingerprints"]["pgcarve/v1"] = finding.fingerprint;
        run["results"].push_back(std::move(entry));
    }
    out["runs"][0] = std::move(run);
    return dump(out);
}

std::string lint_gitlab(model::LintReport const& report) {
    auto out = Json::array();
    auto const add = [&](std::string const& rule, std::string const& what, std::string const& fingerprint,
                         char const* severity, std::string const& file, model::Position from,
                         model::Position to) {
        Json entry;
        entry["description"] = what;
        entry["check_name"] = rule;
        entry["fingerprint"] = fingerprint;
        entry["severity"] = severity;
        entry["location"]["path"] = file;
        entry["location"]["lines"]["begin"] = from.line;
        entry["location"]["lines"]["end"] = to.line;
        out.push_back(std::move(entry));
    };
    for (auto const& finding : report.findings)
        add(finding.rule, with_fix(finding), finding.fingerprint, is_error(finding) ? "critical" : "minor",
            finding.file, finding.from, finding.to);
    for (auto const& gap : report.gaps)
        add("not_analysed", "not analysed: " + gap.reason,
            fmt::format("{}:{}:{}", gap.file, gap.from.line, gap.from.column),
            report.gaps_allowed ? "info" : "major", gap.file, gap.from, gap.to);
    return dump(out);
}

std::string lint_junit(model::LintReport const& report) {
    std::string cases;
    std::size_t failed = 0;
    std::size_t broken = 0;
    for (auto const& file : report.files) {
        std::string inner;
        std::string warnings;
        bool fails = false;
        bool breaks = false;
        for (auto const& finding : report.findings) {
            if (finding.file != file)
                continue;
            auto const told = escape_xml(fmt::format("{}:{}:{}: {}: {}", file, finding.from.line,
                                                     finding.from.column, finding.rule, with_fix(finding)));
            if (is_error(finding)) {
                fails = true;
                inner += fmt::format("      <failure type=\"{}\" message=\"{}\"/>\n", finding.rule, told);
            } else {
                warnings += told + "\n";
            }
        }
        for (auto const& gap : report.gaps) {
            if (gap.file != file)
                continue;
            auto const told = escape_xml(
                fmt::format("{}:{}:{}: not analysed: {}", file, gap.from.line, gap.from.column, gap.reason));
            breaks = breaks || !report.gaps_allowed;
            if (report.gaps_allowed)
                warnings += told + "\n";
            else
                inner += fmt::format("      <error type=\"not_analysed\" message=\"{}\"/>\n", told);
        }
        if (!warnings.empty())
            inner += fmt::format("      <system-out>{}</system-out>\n", warnings);
        failed += fails ? 1U : 0U;
        broken += breaks ? 1U : 0U;
        cases +=
            inner.empty()
                ? fmt::format("    <testcase classname=\"pgcarve.lint\" name=\"{}\"/>\n", escape_xml(file))
                : fmt::format("    <testcase classname=\"pgcarve.lint\" name=\"{}\">\n{}    </testcase>\n",
                              escape_xml(file), inner);
    }
    return fmt::format(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"pgcarve lint\" "
        "tests=\"{}\" failures=\"{}\" errors=\"{}\">\n{}  </testsuite>\n</testsuites>\n",
        report.files.size(), failed, broken, cases);
}

std::string lint_markdown(model::LintReport const& report) {
    auto const errors = std::ranges::count_if(report.findings, is_error);
    auto out = fmt::format("### pgcarve lint: {}, {}{}\n\n", plural(errors, "error"),
                           plural(static_cast<std::int64_t>(report.findings.size()) - errors, "warning"),
                           report.gaps.empty() ? "" : fmt::format(", {} not analysed", report.gaps.size()));
    if (!report.findings.empty()) {
        out += "| | rule | where | what | instead |\n|---|---|---|---|---|\n";
        for (auto const& finding : report.findings)
            out += fmt::format(
                "| {} | {} | {}:{} | {}{} | {} |\n", is_error(finding) ? "❌" : "⚠️", finding.rule,
                escape_markdown(finding.file), finding.from.line, escape_markdown(finding.message),
                finding.lock.empty() ? "" : " (" + finding.lock + ")", escape_markdown(finding.fix));
        out += "\n";
    }
    for (auto const& gap : report.gaps)
        out += fmt::format("- not analysed: {}:{}: {}\n", escape_markdown(gap.file), gap.from.line,
                           escape_markdown(gap.reason));
    if (!report.gaps.empty())
        out += "\n";
    out += fmt::format("{} in {} judged.\n",
                       plural(report.coverage.statements - report.coverage.not_analysed, "statement"),
                       plural(static_cast<std::int64_t>(report.files.size()), "file"));
    return out;
}

} // namespace pgcarve::report
