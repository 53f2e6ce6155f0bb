// What the tests of lint's examples share: their schema for a server whose roles are everybody's, and what lint says of an
// example for a server of some version.
#pragma once

#include <set>
#include <string>

#include "lint/lint.hpp"

namespace pgcarve::test {

inline std::string example_schema() {
    std::string text{lint::example_schema()};
    for (std::string const role : {"CREATE ROLE checkout_app;\n", "CREATE ROLE crm_app;\n"})
        text.erase(text.find(role), role.size());
    return text;
}

// The ids of the rules.
inline std::set<std::string> found_in_example(std::string const& sql, int version) {
    lint::Input input;
    input.schema.push_back({"schema.sql", std::string{lint::example_schema()}});
    input.files.push_back({"m.sql", sql});
    input.options.server_version = version;
    input.options.today = "2026-11-25";
    for (auto const* const rule : lint::all_rules())
        input.options.severity[rule->about.id] = model::Severity::error; // also those that are off
    std::set<std::string> ids;
    for (auto const& finding : lint::lint(input).findings)
        ids.insert(finding.rule);
    return ids;
}

} // namespace pgcarve::test
