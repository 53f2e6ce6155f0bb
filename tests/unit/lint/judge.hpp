// What every test of lint needs: judge a text, look at what was found.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "config/parse.hpp"
#include "lint/lint.hpp"

namespace pgcarve::test {

struct Judged {
    model::LintReport report;
    [[nodiscard]] std::vector<std::string> rules() const {
        std::vector<std::string> ids;
        for (auto const& finding : report.findings)
            ids.push_back(finding.rule);
        return ids;
    }
    [[nodiscard]] bool has(std::string const& rule) const {
        auto const ids = rules();
        return std::ranges::find(ids, rule) != ids.end();
    }
    [[nodiscard]] std::string all() const { // for messages
        std::string out;
        for (auto const& f : report.findings)
            out += f.rule + " " + std::to_string(f.from.line) + ":" + std::to_string(f.from.column) + " " +
                   f.message + "\n";
        for (auto const& g : report.gaps)
            out += "gap " + std::to_string(g.from.line) + ":" + std::to_string(g.from.column) + " " +
                   g.reason + "\n";
        return out;
    }
};

struct Setting {
    lint::Options options{.today = "2026-11-22"};
    std::string schema;
    std::string config;
    std::string file = "m.sql";
    std::optional<lint::Baseline> baseline;
    std::optional<model::SyncState> sync;
    std::string database;
};

inline Judged judge(std::string const& sql, Setting setting = {}) {
    // lock-timeout-missing and boundary-unowned would be everywhere: tests ask for them by rule.
    auto const parsed = config::parse(setting.config, "pgcarve.toml");
    lint::Input input;
    if (!setting.schema.empty())
        input.schema.push_back({"schema.sql", setting.schema});
    input.files.push_back({setting.file, sql});
    if (!setting.config.empty())
        input.map = &parsed.map;
    input.baseline = setting.baseline;
    input.sync = setting.sync;
    input.database = setting.database;
    input.options = setting.options;
    return {lint::lint(input)};
}

// Without lock-timeout-missing, which most statements draw.
inline Judged judge_locks(std::string const& sql, Setting setting = {}) {
    setting.options.severity["L20"] = model::Severity::off;
    return judge(sql, std::move(setting));
}

} // namespace pgcarve::test
