#include "run/proof/verified_tables.hpp"

#include <fmt/format.h>

namespace pgcarve::run {

using model::FindingKind;
using verify::Difference;
using verify::Key;

namespace {

constexpr std::size_t most_remembered = 100'000; // differences that are not counted twice
constexpr std::size_t most_of_a_piece = 200;

Key key_of(model::Finding const& finding) {
    Key key;
    for (auto const& [column, value] : finding.key)
        key.push_back(value.value_or(""));
    return key;
}

void count(verify::AcrossCounts& to, FindingKind kind) {
    (kind == FindingKind::missing ? to.missing : kind == FindingKind::extra ? to.extra : to.different) += 1;
}

} // namespace

VerifiedTables::VerifiedTables(std::vector<model::TablePair> const& pairs, verify::CompareOptions const& options, AcrossFound const& told)
    : pairs_{pairs}, options_{options}, told_{told}, tables_(pairs.size()) {}

void VerifiedTables::fail(std::size_t i, std::string why) {
    std::lock_guard const lock{mutex_};
    if (tables_[i].why.empty())
        tables_[i].why = std::move(why);
}

std::set<std::size_t> VerifiedTables::failed() {
    std::lock_guard const lock{mutex_};
    std::set<std::size_t> all;
    for (std::size_t i = 0; i < tables_.size(); ++i) {
        if (tables_[i].failed())
            all.insert(i);
    }
    return all;
}

// Under the lock.
void VerifiedTables::tell(std::size_t i, Difference const& difference) {
    auto& table = tables_[i];
    if (!told_ || table.told.contains(difference.key))
        return;
    if (remembered_ < most_remembered) {
        ++remembered_;
        table.told.insert(difference.key);
    }
    told_(i, *table.shape, difference);
}

model::Finding VerifiedTables::finding(verify::TwoSessions const& sessions, Table& table, Difference const& difference, bool sample) {
    auto result = verify::to_finding(*table.shape, difference);
    if (sample && options_.show_values) {
        verify::add_values(sessions, *table.shape, difference, result);
        std::lock_guard const lock{mutex_};
        table.valued.emplace(difference.key, result);
    }
    return result;
}

std::optional<model::Finding> VerifiedTables::found(verify::TwoSessions const& sessions, std::size_t i, Difference const& difference, std::size_t already) {
    {
        std::lock_guard const lock{mutex_};
        tell(i, difference);
        ++tables_[i].differences;
    }
    if (already >= most_of_a_piece)
        return std::nullopt;
    return finding(sessions, tables_[i], difference, already < options_.max_samples);
}

void VerifiedTables::found_again(verify::TwoSessions const& sessions, std::size_t i, Difference const& difference) {
    {
        std::lock_guard const lock{mutex_};
        tell(i, difference);
    }
    found_again(i, verify::to_finding(*tables_[i].shape, difference), difference.key,
                [&](model::Finding& finding) { verify::add_values(sessions, *tables_[i].shape, difference, finding); });
}

void VerifiedTables::found_again(std::size_t i, model::Finding const& found, Key const& key, std::function<void(model::Finding&)> const& values) {
    auto& table = tables_[i];
    bool sample = false;
    {
        std::lock_guard const lock{mutex_};
        if (table.again.contains(key))
            return;
        ++table.differences;
        if (remembered_ >= most_remembered) {
            count(table.again_more, found.kind);
            return;
        }
        ++remembered_;
        sample = table.again.size() < options_.max_samples;
    }
    auto finding = found;
    if (sample && options_.show_values)
        values(finding);
    std::lock_guard const lock{mutex_};
    table.again.emplace(key, std::move(finding));
}

void VerifiedTables::again_counted(std::size_t i, std::int64_t rows) {
    std::lock_guard const lock{mutex_};
    tables_[i].rows += rows;
    tables_[i].rows_again += rows;
}

void VerifiedTables::progress(std::size_t i, verify::AcrossCounts const& counts) {
    std::lock_guard const lock{mutex_};
    tables_[i].rows += counts.rows;
}

void VerifiedTables::expect(std::size_t i, double rows) {
    std::lock_guard const lock{mutex_};
    tables_[i].rows_expected = rows;
}

void VerifiedTables::piece_done(std::size_t i, verify::AcrossCounts const& counts, std::vector<model::Finding> const& found) {
    std::lock_guard const lock{mutex_};
    auto& table = tables_[i];
    ++table.units_done;
    table.rows += counts.rows;
    table.differences += counts.missing + counts.extra + counts.different;
    for (auto const& finding : found) {
        if (!finding.values.empty())
            table.valued.emplace(key_of(finding), finding);
    }
}

void VerifiedTables::forget(std::size_t i) {
    std::lock_guard const lock{mutex_};
    auto& table = tables_[i];
    table.units_done = 0;
    table.rows = 0;
    table.differences = 0;
    table.valued.clear();
}

verify::CompareProgress VerifiedTables::progress() {
    verify::CompareProgress now;
    std::lock_guard const lock{mutex_};
    now.tables = tables_.size();
    for (auto const& table : tables_) {
        auto const done = static_cast<double>(table.rows);
        now.tables_done += table.failed() || (table.units > 0 && table.units <= table.units_done) ? 1U : 0U;
        now.rows_done += table.rows;
        now.rows_estimated += everything_ ? std::max(done, table.rows_expected) : done;
        now.differences += table.differences;
    }
    return now;
}

std::vector<model::TableVerification> VerifiedTables::results(std::vector<Ranges::State> const& states, std::string const& stopped, std::set<int> const& settled) {
    std::lock_guard const lock{mutex_};
    std::vector<model::TableVerification> all(tables_.size());
    std::vector<std::set<Key>> known(tables_.size());
    std::vector<std::size_t> pieces(tables_.size());
    std::vector<std::size_t> proven(tables_.size());
    std::vector<std::size_t> holding(tables_.size());
    auto const sample = [&](std::size_t i, Key const& key, model::Finding const& finding) {
        if (all[i].samples.size() >= options_.max_samples)
            return;
        auto const valued = tables_[i].valued.find(key);
        all[i].samples.push_back(valued == tables_[i].valued.end() ? finding : valued->second);
    };
    for (auto const& state : states) {
        ++pieces[state.table];
        if (!state.proof)
            continue;
        ++proven[state.table];
        holding[state.table] += settled.contains(state.n) ? 1U : 0U;
        auto& result = all[state.table];
        result.rows += state.proof->counts.rows;
        result.missing += state.proof->counts.missing;
        result.extra += state.proof->counts.extra;
        result.different += state.proof->counts.different;
        for (auto const& finding : state.proof->found) {
            auto key = key_of(finding);
            sample(state.table, key, finding);
            known[state.table].insert(std::move(key));
        }
    }
    for (std::size_t i = 0; i < tables_.size(); ++i) {
        auto& table = tables_[i];
        auto& result = all[i];
        result.source = pairs_[i].source;
        result.target = pairs_[i].target;
        result.rows += table.rows_again;
        auto more = table.again_more;
        for (auto const& [key, finding] : table.again) {
            if (known[i].contains(key))
                continue;
            count(more, finding.kind);
            sample(i, key, finding);
        }
        result.missing += more.missing;
        result.extra += more.extra;
        result.different += more.different;
        bool const whole = !table.failed() && proven[i] == pieces[i] && (stopped.empty() || (pieces[i] > 0 && holding[i] == pieces[i]));
        result.why = table.why;
        if (!whole && result.why.empty())
            result.why = fmt::format("{} after {} of {} pieces", stopped, proven[i], pieces[i]);
        // A difference that was seen is proven, however much was not looked at; `why` still says that.
        bool const differs = result.missing + result.extra + result.different > 0;
        result.verdict = differs ? model::Verdict::different : whole ? model::Verdict::clean : model::Verdict::incomplete;
    }
    return all;
}

model::Verification VerifiedTables::conclude(std::vector<Ranges::State> const& states, std::set<int> const& taken_up, std::string const& stopped,
                                             std::set<int> const& settled, std::map<std::string, std::string>& turns) {
    model::Verification all;
    for (auto const& state : states) {
        if (state.proof && taken_up.contains(state.n) && !state.proof->time.empty() && (all.oldest_time.empty() || state.proof->time < all.oldest_time))
            all.oldest_time = state.proof->time;
    }
    all.tables = results(states, stopped, settled);
    for (std::size_t i = 0; i < tables_.size(); ++i) {
        if (!all.tables[i].why.empty())
            turns.erase(pairs_[i].source.quoted());
    }
    all.verdict = model::overall(all.tables);
    all.mode = everything_ ? "full" : "incremental";
    return all;
}

} // namespace pgcarve::run
