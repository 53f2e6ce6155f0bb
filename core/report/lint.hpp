// What lint found, as the formats which editors, forges and CI systems read.
//
// Every position is 1-based; columns count characters. Each renderer takes the whole report.
// Pure; fingerprints are the report's own, so that a finding keeps its identity between runs.
#pragma once

#include "model/lint.hpp"
#include "report/render.hpp"

namespace pgcarve::report {

[[nodiscard]] std::string text(model::LintReport const& report, Style style);
[[nodiscard]] std::string json(model::LintReport const& report);
[[nodiscard]] std::string lint_gcc(model::LintReport const& report);
[[nodiscard]] std::string lint_github(model::LintReport const& report); // workflow commands
[[nodiscard]] std::string lint_sarif(model::LintReport const& report,
                                     std::vector<model::LintRule> const& rules, std::string const& version);
[[nodiscard]] std::string lint_gitlab(model::LintReport const& report); // code quality
[[nodiscard]] std::string lint_junit(model::LintReport const& report);  // one case for each file
[[nodiscard]] std::string lint_markdown(model::LintReport const& report);

[[nodiscard]] std::string text(std::vector<model::LintRule> const& rules, Style style);
[[nodiscard]] std::string json(std::vector<model::LintRule> const& rules);
[[nodiscard]] std::string text(model::LintRule const& rule, Style style);
[[nodiscard]] std::string json(model::LintRule const& rule);
// The rules' part of docs/lint.md.
[[nodiscard]] std::string rule_reference(std::vector<model::LintRule> const& rules);

} // namespace pgcarve::report
