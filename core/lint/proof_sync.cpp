// The part of the proof that is about running syncs.
#include <algorithm>
#include <optional>

#include "lint/observed.hpp"
#include "lint/proof.hpp"

namespace pgcarve::lint {

namespace {

struct Touch {
    std::size_t file = 0;
    Span span;
};

// The first statement that names a table by its own name, with its schema or with none.
std::optional<Touch> first_touch(Input const& input, sql::QName const& table) {
    for (std::size_t i = 0; i < input.files.size(); ++i) {
        for (auto const& statement : read_script(input.files[i], input.options.runner).statements) {
            auto const names = [&](sql::QName const& name) {
                return name.name == table.name && (name.schema.empty() || name.schema == table.schema);
            };
            bool const touches = std::ranges::any_of(statement.actions, [&](Action const& action) { return names(action.on) || names(action.other); }) ||
                                 std::ranges::any_of(statement.refs, [&](Ref const& ref) { return names(ref.name); });
            if (touches)
                return Touch{i, statement.span};
        }
    }
    return std::nullopt;
}

} // namespace

std::vector<model::SyncedTable> touched_syncs(Input const& input) {
    std::vector<model::SyncedTable> out;
    if (!input.sync)
        return out;
    for (auto const& pair : input.sync->tables) {
        if (first_touch(input, pair.source.table) || first_touch(input, pair.target.table))
            out.push_back(pair);
    }
    return out;
}

void prove_syncs(model::LintReport& report, Input const& input, std::vector<SyncTried> const& tried) {
    for (auto const& one : tried) {
        if (one.broken.empty())
            continue;
        bool foreseen = false;
        for (auto& finding : report.findings) {
            bool const about = finding.object.starts_with(one.table.source.table.display()) || finding.object.starts_with(one.table.target.table.display());
            if (finding.rule[0] != 'S' || !about)
                continue;
            finding.proof = "proved";
            finding.message += " (shown on the scratch server: " + one.broken + ")";
            foreseen = true;
        }
        auto touch = first_touch(input, one.table.source.table);
        if (!touch)
            touch = first_touch(input, one.table.target.table);
        if (foreseen || !touch)
            continue;
        auto const& file = input.files[touch->file];
        auto finding = observed_finding("S13", input.options, file.name, Lines{file.text}, touch->span);
        if (!finding)
            continue;
        finding->message = one.table.source.table.display() + ", a source of service " + one.table.service + ": " + one.broken;
        finding->object = one.table.source.table.display();
        finding->fingerprint = fingerprint(finding->rule, file.name, finding->object, 0);
        report.findings.push_back(std::move(*finding));
    }
}

} // namespace pgcarve::lint
