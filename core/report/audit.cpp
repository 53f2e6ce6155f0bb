#include "report/audit.hpp"

#include <fmt/format.h>

#include "report/document.hpp"
#include "report/table.hpp"

namespace pgcarve::report {

namespace {

constexpr std::size_t longest_value = 60;

std::string key_text(model::Finding const& finding) {
    std::vector<std::string> parts;
    for (auto const& [column, value] : finding.key)
        parts.push_back(fmt::format("{}={}", printable(column), value ? cut_middle(printable(*value), static_cast<int>(longest_value)) : "NULL"));
    return joined(parts);
}

std::string row_text(model::AuditRow const& row) {
    auto const source = printable(row.source.display());
    auto const target = printable(row.target.display());
    if (row.finding.key.empty()) // the table as a whole
        return row.finding.kind == model::FindingKind::extra ? fmt::format("  {} was emptied, {} was not\n", source, target)
                                                             : fmt::format("  {} was emptied, {} was not\n", target, source);
    auto const key = key_text(row.finding);
    switch (row.finding.kind) {
    case model::FindingKind::missing:
        return fmt::format("  {} {}: not in {}\n", source, key, target);
    case model::FindingKind::extra:
        return fmt::format("  {} {}: not in {}\n", target, key, source);
    case model::FindingKind::different:
        break;
    }
    std::vector<std::string> columns;
    for (auto const& column : row.finding.columns)
        columns.push_back(printable(column));
    return fmt::format("  {} {}: differs from {} in {}\n", source, key, target, joined(columns));
}

Json event(char const* name, std::string const& service) {
    auto out = document();
    out["event"] = name;
    out["service"] = service;
    return out;
}

std::string line(Json const& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"; }

} // namespace

std::string text(model::AuditDifference const& d, Style style) {
    auto out = fmt::format("{} transaction {} at {}: {}\n", printable(d.committed_at), d.xid, d.commit_lsn.text(),
                           paint(plural(d.rows, "row differs", "rows differ"), Tone::bad, style));
    for (auto const& row : d.samples)
        out += row_text(row);
    auto const more = d.rows - static_cast<std::int64_t>(d.samples.size());
    if (more > 0)
        out += fmt::format("  and {} more\n", number(more));
    return out;
}

std::string text(model::AuditEqual const& e, Style style) {
    return fmt::format("{} transaction {} at {}: what differed at {} is {} after {}\n", printable(e.equal_at), e.xid, e.equal_lsn.text(), e.commit_lsn.text(),
                       paint("equal again", Tone::good, style), seconds(e.seconds));
}

std::string text(model::AuditSummary const& s, Style style) {
    auto const found = s.differences > 0 ? paint(plural(s.differences, "transaction differs", "transactions differ"), Tone::bad, style)
                                         : paint("no difference", s.lost || s.undecided > 0 ? Tone::plain : Tone::good, style);
    auto out = fmt::format("{}: {} in {} ({}) up to {}{}\n", paint(printable(s.service), Tone::strong, style), found, plural(s.transactions, "transaction"),
                           plural(s.changes, "change"), s.position.text(), s.equal_again > 0 ? fmt::format(", {} equal again", number(s.equal_again)) : "");
    if (s.undecided > 0)
        out += fmt::format("  not proven: {} could not be judged\n", plural(s.undecided, "row"));
    if (s.lost)
        out += fmt::format("  not proven from there on: {}\n  next: pgcarve verify {}, then begin the audit anew\n", printable(*s.lost), printable(s.service));
    if (!s.ended.empty())
        out += fmt::format("  ended: {}\n", printable(s.ended));
    return out;
}

std::string json_line(std::string const& service, model::AuditDifference const& d) {
    auto out = event("difference", service);
    out["id"] = d.id;
    out["xid"] = d.xid;
    out["committed_at"] = d.committed_at;
    out["lsn"] = d.commit_lsn.text();
    out["rows"] = d.rows;
    out["truncated"] = d.truncated;
    out["samples"] = Json::array();
    for (auto const& row : d.samples) {
        Json one;
        one["source"] = row.source.display();
        one["target"] = row.target.display();
        one["key"] = Json::object();
        for (auto const& [column, value] : row.finding.key)
            one["key"][column] = or_null(value);
        one["kind"] = model::text(row.finding.kind);
        one["columns"] = row.finding.columns;
        out["samples"].push_back(std::move(one));
    }
    return line(out);
}

std::string json_line(std::string const& service, model::AuditEqual const& e) {
    auto out = event("equal_again", service);
    out["lsn"] = e.commit_lsn.text();
    out["by"]["xid"] = e.xid;
    out["by"]["lsn"] = e.equal_lsn.text();
    out["by"]["committed_at"] = e.equal_at;
    out["seconds"] = rounded(e.seconds);
    return line(out);
}

std::string json_line(model::AuditSummary const& s) {
    auto out = event("summary", s.service);
    out["from"] = s.from.text();
    out["position"] = s.position.text();
    out["transactions"] = s.transactions;
    out["changes"] = s.changes;
    out["differences"] = s.differences;
    out["equal_again"] = s.equal_again;
    out["undecided"] = s.undecided;
    out["ended"] = s.ended;
    out["lost"] = or_null(s.lost);
    return line(out);
}

} // namespace pgcarve::report
