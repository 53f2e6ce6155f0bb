#include "lint/observed.hpp"

namespace pgcarve::lint {

Rule observed_rule(ObservedAbout const& about) {
    Rule rule;
    rule.about.id = about.id;
    rule.about.name = about.name;
    rule.about.title = about.title;
    rule.about.why = std::string{about.why} + " Needs --scratch or --scratch-dsn.";
    rule.about.fix = about.fix;
    return rule;
}

std::optional<model::LintFinding> observed_finding(char const* id, Options const& options, std::string const& file, Lines const& lines, Span span) {
    auto const& about = find_rule(id)->about;
    model::LintFinding finding;
    finding.severity = options.chosen(about.id, file).value_or(about.severity);
    if (finding.severity == model::Severity::off)
        return std::nullopt;
    finding.rule = about.id;
    finding.file = file;
    finding.from = lines.at(span.begin);
    finding.to = lines.at(span.end);
    finding.excerpt = lines.line(span.begin);
    finding.fix = about.fix;
    finding.proof = "proved";
    return finding;
}

} // namespace pgcarve::lint
