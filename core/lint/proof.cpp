#include "lint/proof.hpp"

#include <algorithm>
#include <map>
#include <tuple>

#include "lint/observed.hpp"
#include "lint/read.hpp"

namespace pgcarve::lint {

namespace {

bool before(model::Position a, model::Position b) {
    return std::tie(a.line, a.column) < std::tie(b.line, b.column);
}

std::string listed(std::vector<std::string> const& names) {
    std::string out;
    for (auto const& name : names)
        out += (out.empty() ? "" : ", ") + name;
    return out;
}

class Prover {
public:
    Prover(model::LintReport& report, Input const& input)
        : report_{report}
        , input_{input} {
        for (auto const& file : input.files)
            lines_.emplace_back(file.text);
    }

    void statement(Observed const& seen) {
        seen_ = &seen;
        from_ = lines_[seen.file].at(seen.span.begin);
        to_ = lines_[seen.file].at(seen.span.end);
        auto& coverage = report_.coverage;
        if (!seen.ran) {
            for (auto* finding : findings()) {
                if (!seen.refused.empty() && rule(*finding).shows == Shows::refusal)
                    finding->proof = "proved";
            }
            if (!seen.refused.empty() && !sync_forbids())
                refused();
            return;
        }
        bool const gap = forget_gaps();
        --(gap ? coverage.not_analysed : coverage.heuristic);
        ++coverage.proved;
        bool foreseen = false;
        for (auto* finding : findings())
            foreseen = weigh(*finding) || foreseen;
        if (!foreseen)
            tell_unforeseen(gap);
    }

    void finish() {
        std::erase_if(report_.findings, [](model::LintFinding const& finding) { return finding.proof == "withdrawn"; });
    }

private:
    static Rule const& rule(model::LintFinding const& finding) { return *find_rule(finding.rule); }
    [[nodiscard]] std::string const& file() const { return input_.files[seen_->file].name; }
    [[nodiscard]] bool here(std::string const& name, model::Position at) const {
        return name == file() && !before(at, from_) && before(at, to_);
    }

    std::vector<model::LintFinding*> findings() {
        std::vector<model::LintFinding*> found;
        for (auto& finding : report_.findings) {
            if ((finding.rule[0] == 'L' || finding.rule[0] == 'C') && here(finding.file, finding.from))
                found.push_back(&finding);
        }
        return found;
    }

    // True when there was one that nobody had answered for.
    bool forget_gaps() {
        auto const count = std::erase_if(report_.gaps, [&](model::LintGap const& gap) { return here(gap.file, gap.from); });
        return count > 0;
    }

    // The mirror on the scratch server stood in the way, as a sync rule said.
    bool sync_forbids() {
        bool said = false;
        for (auto& finding : report_.findings) {
            if (finding.rule[0] != 'S' || !here(finding.file, finding.from))
                continue;
            finding.proof = "proved";
            said = true;
        }
        return said;
    }

    void refused() {
        for (auto const* finding : findings()) {
            if (finding->proof == "proved")
                return; // told already
        }
        bool const open = std::ranges::any_of(report_.gaps, [&](model::LintGap const& gap) { return here(gap.file, gap.from); });
        report_.gaps.push_back({file(), from_, to_, "the scratch server refuses it: " + seen_->refused,
                                std::string{lines_[seen_->file].line(seen_->span.begin)}});
        if (!open) {
            --report_.coverage.heuristic;
            ++report_.coverage.not_analysed;
        }
    }

    // Whether the finding tells of a rewrite, scan or build, so that what is seen of these was foreseen.
    bool weigh(model::LintFinding& finding) const {
        auto const shows = rule(finding).shows;
        auto const decide = [&](bool shown) { finding.proof = shown ? "proved" : "withdrawn"; };
        switch (shows) {
        case Shows::rewrite: // a type may leave the rows, and not the indexes
            decide(!seen_->rewrites.empty() || (finding.rule == "L06" && !seen_->builds.empty()));
            return true;
        case Shows::scan:
            decide(!seen_->scans.empty());
            return true;
        case Shows::build: // a primary key may take over an index, and read for NULL
            decide(!seen_->builds.empty() || !seen_->scans.empty());
            return true;
        case Shows::lock:
            if (seen_->watched && !finding.lock.empty())
                decide(std::ranges::any_of(seen_->held, [&](TableLock const& lock) { return finding.lock == text(lock.mode); }) ||
                       finding.rule == "C01"); // what is dropped is not there to be looked up
            return finding.rule == "L17" || finding.rule == "L18" || finding.rule == "L19";
        case Shows::refusal:
        case Shows::nothing:
            if (finding.rule == "L04" && !seen_->scans.empty()) { // it looks for rows, which would make it fail
                finding.proof = "proved";
                return true;
            }
            if (finding.rule == "L20" && seen_->watched)
                decide(blocks_writes(seen_->strongest_taken()) || seen_->strongest_taken() == Lock::none);
            if (finding.rule == "L20" && finding.proof == "withdrawn" && !finding.lock.empty())
                finding.proof = "heuristic"; // the first statement of a file stands for those behind it
            return false;
        }
        return false;
    }

    // TRUNCATE makes the indexes anew, of no rows.
    [[nodiscard]] bool empties() const {
        auto const statement = read_statement(input_.files[seen_->file].text, seen_->span);
        return !statement.actions.empty() && std::ranges::all_of(statement.actions, [](Action const& action) { return action.verb == Verb::truncate; });
    }

    void tell_unforeseen(bool whole) {
        std::string what;
        auto const add = [&](char const* verb, std::vector<std::string> const& tables) {
            std::vector<std::string> blocked;
            for (auto const& table : tables) {
                if (blocks_writes(seen_->holds(table)) || !seen_->watched)
                    blocked.push_back(table);
            }
            if (!blocked.empty())
                what += (what.empty() ? "" : ", ") + std::string{verb} + " " + listed(blocked);
        };
        add("rewrites", seen_->rewrites);
        add("reads every row of", seen_->scans);
        if (seen_->watched && !empties()) // CONCURRENTLY is not
            add("builds an index on", seen_->builds);
        if (what.empty() && whole && blocks_writes(seen_->strongest_taken()))
            what = "takes " + std::string{text(seen_->strongest_taken())};
        if (what.empty())
            return;
        auto finding = observed_finding("L28", input_.options, file(), lines_[seen_->file], seen_->span);
        if (!finding)
            return;
        finding->message = "the scratch server " + what;
        finding->lock = text(seen_->strongest_taken());
        auto const statement = std::string_view{input_.files[seen_->file].text}.substr(seen_->span.begin, seen_->span.end - seen_->span.begin);
        finding->fingerprint = fingerprint(finding->rule, finding->file, statement, occurrences_[finding->file + std::string{statement}]++);
        report_.findings.push_back(std::move(*finding));
    }

    model::LintReport& report_;
    Input const& input_;
    std::vector<Lines> lines_;
    Observed const* seen_ = nullptr;
    model::Position from_;
    model::Position to_;
    std::map<std::string, int> occurrences_;
};

} // namespace

Lock Observed::strongest_taken() const {
    auto strongest = Lock::none;
    for (auto const& lock : taken)
        strongest = std::max(strongest, lock.mode);
    return strongest;
}

Lock Observed::holds(std::string const& table) const {
    auto strongest = Lock::none;
    for (auto const& lock : held) {
        if (lock.table.display() == table)
            strongest = std::max(strongest, lock.mode);
    }
    return strongest;
}

void prove_rewrites(model::LintReport& report, std::vector<RewriteTried> const& tried) {
    for (auto const& one : tried) {
        auto& fix = report.findings[one.rewrite.finding].fix;
        for (auto const& statement : one.rewrite.sql)
            fix += "\n" + statement + ";";
        fix += one.trouble.empty() ? "\n(run on the scratch server: no rewrite, no scan and no index build while others wait)"
                                   : "\n(on the scratch server this does not do: " + one.trouble + ")";
    }
}

void prove(model::LintReport& report, Input const& input, std::vector<Observed> const& observed, std::vector<Unproven> const& unproven) {
    Prover prover{report, input};
    for (auto const& seen : observed)
        prover.statement(seen);
    prover.finish();
    for (auto const& what : unproven)
        report.gaps.push_back({what.file, what.at, what.at, what.reason, {}});
    std::map<std::string, std::size_t> order;
    for (std::size_t i = 0; i < report.files.size(); ++i)
        order.emplace(report.files[i], i);
    auto const place = [&](auto const& one) {
        auto const at = order.find(one.file);
        return std::tuple{at == order.end() ? report.files.size() : at->second, one.from.line, one.from.column};
    };
    std::ranges::stable_sort(report.findings, {}, place);
    std::ranges::stable_sort(report.gaps, {}, place);
}

} // namespace pgcarve::lint
