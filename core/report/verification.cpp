#include <algorithm>

#include <fmt/format.h>

#include "report/document.hpp"
#include "report/render.hpp"
#include "report/table.hpp"

namespace pgcarve::report {

namespace {

using model::Verdict;

// A clean service with more tables than this is told in one line.
constexpr std::size_t tables_on_screen = 20;
constexpr std::size_t longest_value = 60;

Tone tone_of(Verdict verdict) {
    switch (verdict) {
    case Verdict::clean:
        return Tone::good;
    case Verdict::different:
        return Tone::bad;
    case Verdict::incomplete:
        return Tone::warn;
    }
    return Tone::plain;
}

std::string value_text(std::optional<std::string> const& value) {
    return value ? cut_middle(printable(*value), longest_value) : "NULL";
}

// So that an empty text and NULL look different.
std::string quoted(std::optional<std::string> const& value) {
    return value ? fmt::format("'{}'", value_text(value)) : "NULL";
}

std::string sample_text(model::Finding const& finding) {
    std::vector<std::string> key;
    for (auto const& [column, value] : finding.key)
        key.push_back(fmt::format("{}={}", printable(column), value_text(value)));
    auto out = fmt::format("    {} {}", model::text(finding.kind), joined(key));
    if (!finding.columns.empty()) {
        std::vector<std::string> columns;
        for (auto const& column : finding.columns)
            columns.push_back(printable(column));
        out += ": " + joined(columns);
    }
    out += '\n';
    for (auto const& [column, source, target] : finding.values)
        out += fmt::format("      {}: source {}, target {}\n", printable(column), quoted(source),
                           quoted(target));
    return out;
}

std::string samples_text(model::TableVerification const& table) {
    if (table.samples.empty() && table.why.empty())
        return {};
    auto out = fmt::format("  {}\n", printable(table.source.display()));
    if (!table.why.empty())
        out += fmt::format("    not proven: {}\n", printable(table.why));
    for (auto const& sample : table.samples)
        out += sample_text(sample);
    auto const found = table.missing + table.extra + table.different;
    auto const shown = static_cast<std::int64_t>(table.samples.size());
    if (found > shown && shown > 0)
        out += fmt::format("    and {} more\n", number(found - shown));
    return out;
}

std::string tables_text(model::Verification const& run, Style style) {
    bool const all_clean = run.verdict == Verdict::clean;
    if (all_clean && run.tables.size() > tables_on_screen)
        return {};
    Table table{{"SOURCE", "TARGET", "VERDICT", "ROWS", "MISSING", "EXTRA", "DIFFERENT"}};
    table.right(3).right(4).right(5).right(6);
    std::size_t clean = 0;
    bool const fold = run.tables.size() > tables_on_screen;
    for (auto const& t : run.tables) {
        clean += t.verdict == Verdict::clean ? 1U : 0U;
        if (fold && t.verdict == Verdict::clean)
            continue;
        table.row({t.source.display(),
                   t.target.display(),
                   {model::text(t.verdict), tone_of(t.verdict)},
                   number(t.rows),
                   number(t.missing),
                   number(t.extra),
                   number(t.different)});
    }
    auto out = table.empty() ? std::string{} : table.text(style);
    if (fold && clean > 0)
        out += fmt::format("  and {}\n", plural(static_cast<std::int64_t>(clean), "clean table"));
    return out;
}

std::string service_text(model::Verification const& run, Style style) {
    auto out = fmt::format(
        "{}: {}, {} in {} compared in {} ({})\n", paint(printable(run.service), Tone::strong, style),
        paint(model::text(run.verdict), tone_of(run.verdict), style), plural(run.rows(), "row"),
        plural(static_cast<std::int64_t>(run.tables.size()), "table"), seconds(run.seconds), run.mode);
    if (!run.proven_time.empty())
        out += fmt::format("  as of {} ({})\n", printable(run.proven_time), run.proven_lsn.text());
    if (!run.oldest_time.empty())
        out += fmt::format("  taken up from a run that was broken off: rows that nobody wrote since were compared from {} on\n", printable(run.oldest_time));
    if (run.rested > 0)
        out += fmt::format("  rested for {} of that, since other sessions were active (--nice-ratio)\n", seconds(run.rested));
    out += tables_text(run, style);
    for (auto const& table : run.tables)
        out += samples_text(table);
    if (run.verdict == Verdict::different)
        out += fmt::format("  next: pgcarve repair {}\n", printable(run.service));
    else if (run.verdict == Verdict::incomplete)
        out += fmt::format("  next: pgcarve verify {}\n", printable(run.service));
    return out;
}

Json sample_json(model::Finding const& finding) {
    Json out;
    out["key"] = Json::object();
    for (auto const& [column, value] : finding.key)
        out["key"][column] = or_null(value);
    out["kind"] = model::text(finding.kind);
    out["columns"] = finding.columns;
    if (finding.values.empty())
        return out;
    out["values"] = Json::array();
    for (auto const& [column, source, target] : finding.values)
        out["values"].push_back(
            {{"column", column}, {"source", or_null(source)}, {"target", or_null(target)}});
    return out;
}

Json table_json(model::TableVerification const& table) {
    Json out;
    out["source"] = table.source.display();
    out["target"] = table.target.display();
    out["verdict"] = model::text(table.verdict);
    out["rows"] = table.rows;
    out["missing"] = table.missing;
    out["extra"] = table.extra;
    out["different"] = table.different;
    out["why"] = table.why.empty() ? Json(nullptr) : Json(table.why);
    out["samples"] = Json::array();
    for (auto const& sample : table.samples)
        out["samples"].push_back(sample_json(sample));
    return out;
}

} // namespace

std::string text(std::vector<model::Verification> const& services, Style style) {
    std::string out;
    for (auto const& run : services)
        out += (out.empty() ? "" : "\n") + service_text(run, style);
    return out;
}

std::string json(std::vector<model::Verification> const& services) {
    auto out = document();
    out["services"] = Json::array();
    for (auto const& run : services) {
        Json entry;
        entry["service"] = run.service;
        entry["id"] = run.id;
        entry["verdict"] = model::text(run.verdict);
        entry["mode"] = run.mode;
        bool const proven = run.verdict != Verdict::incomplete;
        entry["proven_at"]["lsn"] = proven ? Json(run.proven_lsn.text()) : Json(nullptr);
        entry["compared_from"] = run.oldest_time.empty() ? Json(nullptr) : Json(run.oldest_time);
        entry["proven_at"]["time"] = proven ? Json(run.proven_time) : Json(nullptr);
        entry["rows"] = run.rows();
        entry["seconds"] = rounded(run.seconds);
        entry["rested"] = rounded(run.rested);
        entry["tables"] = Json::array();
        for (auto const& table : run.tables)
            entry["tables"].push_back(table_json(table));
        out["services"].push_back(std::move(entry));
    }
    return dump(out);
}

} // namespace pgcarve::report
