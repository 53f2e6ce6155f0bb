#include "run/proof/across_units.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/error.hpp"

namespace pgcarve::run {

using nlohmann::json;
using verify::AcrossShape;
using verify::Key;
using verify::Side;

namespace {

constexpr int turn_parts = 64; // of a table that is not ordered
// What a server hashes in a second, at the least: for the size of what has to fit into one snapshot.
constexpr double rows_per_second = 100'000;

// Units of about unit_rows within a range that the bounds divide.
void add_ranges(std::vector<Unit>& to, std::size_t table, verify::Range const& whole, std::vector<Key> const& bounds, CutSizes const& sizes) {
    auto const step = static_cast<std::size_t>(std::max(1.0, sizes.unit_rows / sizes.bucket_rows));
    auto range = whole;
    for (std::size_t from = 0;; from += step) {
        bool const last = from + step >= bounds.size();
        Unit unit{table, {}, {bounds.begin() + static_cast<std::ptrdiff_t>(std::min(from, bounds.size())),
                              last ? bounds.end() : bounds.begin() + static_cast<std::ptrdiff_t>(from + step)}};
        unit.scope.range = range;
        unit.scope.range.up_to = whole.up_to;
        if (!last) { // its last bound is its end
            unit.scope.range.up_to = unit.bounds.back();
            range.after = unit.bounds.back();
            unit.bounds.pop_back();
        }
        to.push_back(std::move(unit));
        if (last)
            return;
    }
}

json to_json(Unit const& unit) {
    json scope{{"parts", unit.scope.parts}, {"part", unit.scope.part}, {"bounds", unit.bounds}};
    scope["after"] = unit.scope.range.after ? json(*unit.scope.range.after) : json(nullptr);
    scope["up_to"] = unit.scope.range.up_to ? json(*unit.scope.range.up_to) : json(nullptr);
    return scope;
}

Unit to_unit(std::size_t table, control::VerifyRange const& range) {
    Unit unit{table, {.parts = range.scope.at("parts").get<int>(), .part = range.scope.at("part").get<int>()}, range.scope.at("bounds").get<std::vector<Key>>(), range.n};
    if (auto const& after = range.scope.at("after"); !after.is_null())
        unit.scope.range.after = after.get<Key>();
    if (auto const& up_to = range.scope.at("up_to"); !up_to.is_null())
        unit.scope.range.up_to = up_to.get<Key>();
    return unit;
}

// Keys and names of columns; no values.
json to_json(std::vector<model::Finding> const& findings) {
    auto all = json::array();
    for (auto const& finding : findings) {
        auto key = json::array();
        for (auto const& [column, value] : finding.key)
            key.push_back({column, value ? json(*value) : json(nullptr)});
        all.push_back({{"kind", static_cast<int>(finding.kind)}, {"key", key}, {"columns", finding.columns}});
    }
    return all;
}

std::vector<model::Finding> to_findings(json const& all) {
    std::vector<model::Finding> findings;
    if (all.is_null())
        return findings;
    for (auto const& one : all) {
        model::Finding finding;
        finding.kind = static_cast<model::FindingKind>(one.at("kind").get<int>());
        for (auto const& part : one.at("key"))
            finding.key.emplace_back(part.at(0).get<std::string>(), part.at(1).is_null() ? std::nullopt : std::optional{part.at(1).get<std::string>()});
        finding.columns = one.at("columns").get<std::vector<std::string>>();
        findings.push_back(std::move(finding));
    }
    return findings;
}

} // namespace

std::vector<Unit> cut(verify::TwoSessions const& sessions, std::size_t table, AcrossShape const& shape, std::string const& where, CutSizes const& sizes) {
    std::vector<Unit> units;
    if (!shape.ranged) {
        double const fits = std::max(1.0, rows_per_second * static_cast<double>(sizes.snapshot_limit.count()) / 1000.0 / 2);
        int const parts = static_cast<int>(std::clamp(std::ceil(shape.rows[shape.bigger()] / fits), 1.0, 1000.0));
        for (int part = 0; part < parts; ++part)
            units.push_back({table, {.parts = parts, .part = part}, {}});
        return units;
    }
    add_ranges(units, table, {}, verify::across_bounds(sessions, shape, sizes.bucket_rows, where), sizes);
    return units;
}

Share cut_share(verify::TwoSessions const& sessions, std::size_t table, AcrossShape const& shape, double share, std::string const& turn,
                CutSizes const& sizes) {
    auto const place = turn.empty() ? std::vector<std::string>{} : pg::parse_array(turn);
    Share result;
    if (!shape.ordered) {
        int from = 0;
        if (place.size() == 2 && place[0] == "part")
            std::from_chars(place[1].data(), place[1].data() + place[1].size(), from);
        int const count = static_cast<int>(std::clamp(std::ceil(share * turn_parts), 1.0, static_cast<double>(turn_parts)));
        for (int n = 0; n < count; ++n)
            result.units.push_back({table, {.parts = turn_parts, .part = (from + n) % turn_parts}, {}});
        result.next = pg::format_array({"part", std::to_string((from + count) % turn_parts)});
        return result;
    }
    verify::Range range;
    if (place.size() == shape.key.size() + 1 && place[0] == "key")
        range.after = Key{place.begin() + 1, place.end()};
    auto const rows = static_cast<long long>(std::ceil(std::max(sizes.bucket_rows, share * shape.rows[Side::source])));
    auto next = verify::next_rows(sessions, shape, range.after, rows, static_cast<long long>(sizes.bucket_rows));
    std::vector<std::string> then;
    if (!next.end) {
        range.up_to = next.bounds.back();
        next.bounds.pop_back();
        then = *range.up_to;
        then.insert(then.begin(), "key");
    }
    result.next = pg::format_array(then); // empty: from the beginning
    add_ranges(result.units, table, range, next.bounds, sizes);
    return result;
}

// ---- of one process

bool OwnRanges::attach(std::optional<base::Lsn> /*touched_from*/) { return false; }

void OwnRanges::begin(std::vector<Unit> units) {
    std::lock_guard const guard{mutex_};
    for (auto& unit : units) {
        unit.n = static_cast<int>(lines_.size());
        lines_.push_back({std::move(unit), false, {}});
    }
}

std::optional<Unit> OwnRanges::take(std::set<std::size_t> const& failed) {
    std::lock_guard const guard{mutex_};
    for (auto& line : lines_) {
        if (line.taken || line.replaced || failed.contains(line.unit.table))
            continue;
        line.taken = true;
        return line.unit;
    }
    return std::nullopt;
}

void OwnRanges::let_go(Unit const& unit) {
    std::lock_guard const guard{mutex_};
    lines_[static_cast<std::size_t>(unit.n)].taken = false;
}

bool OwnRanges::prove(Unit const& unit, Proof const& proof) {
    std::lock_guard const guard{mutex_};
    lines_[static_cast<std::size_t>(unit.n)].proof = proof;
    return true;
}

std::vector<Ranges::State> OwnRanges::state() {
    std::lock_guard const guard{mutex_};
    std::vector<State> all;
    for (auto const& line : lines_) {
        if (!line.replaced)
            all.push_back({line.unit.table, line.unit.n, line.proof, false});
    }
    return all;
}

void OwnRanges::replace(std::size_t table, std::vector<Unit> units) {
    {
        std::lock_guard const guard{mutex_};
        for (auto& line : lines_)
            line.replaced = line.replaced || line.unit.table == table;
    }
    begin(std::move(units));
}

void OwnRanges::raise(std::vector<int> const& numbers, std::optional<base::Lsn> since, base::Lsn from, base::Lsn at, std::optional<std::uint64_t> horizon) {
    std::lock_guard const guard{mutex_};
    for (auto const n : numbers) {
        auto& proof = lines_[static_cast<std::size_t>(n)].proof;
        if (since && proof->from < *since)
            continue;
        proof->from = from;
        proof->at = at;
        proof->horizon = horizon;
    }
}

void OwnRanges::forget_before(std::optional<base::Lsn> limit) {
    std::lock_guard const guard{mutex_};
    for (auto& line : lines_) {
        if (line.proof && (!limit || line.proof->from < *limit)) {
            line.proof.reset();
            line.taken = false;
        }
    }
}

void OwnRanges::forget_table(std::size_t table) {
    std::lock_guard const guard{mutex_};
    for (auto& line : lines_) {
        if (line.unit.table == table) {
            line.proof.reset();
            line.taken = false;
        }
    }
}

// ---- shared

SharedRanges::SharedRanges(control::VerifyRun& run, std::vector<std::string> tables, base::Millis max_age, bool fresh, std::function<void()> waiting)
    : run_{run}, tables_{std::move(tables)}, max_age_{max_age}, fresh_{fresh}, waiting_{std::move(waiting)} {}

std::size_t SharedRanges::table(std::string const& quoted) const {
    auto const at = std::ranges::find(tables_, quoted);
    if (at == tables_.end())
        base::bug("a range of a table that is not compared: " + quoted);
    return static_cast<std::size_t>(at - tables_.begin());
}

bool SharedRanges::attach(std::optional<base::Lsn> touched_from) {
    if (!run_.attach(max_age_, fresh_, waiting_))
        return false;
    run_.forget_before(touched_from);
    pieces_ = run_.ranges().size();
    return true;
}

void SharedRanges::begin(std::vector<Unit> units) {
    std::vector<control::VerifyRange> ranges;
    for (auto const& unit : units)
        ranges.push_back({static_cast<int>(ranges.size()), tables_[unit.table], to_json(unit)});
    run_.begin(ranges);
    pieces_ = ranges.size();
}

std::optional<Unit> SharedRanges::take(std::set<std::size_t> const& failed) {
    std::set<std::string> names;
    for (auto const i : failed)
        names.insert(tables_[i]);
    auto const range = run_.claim(names);
    return range ? std::optional{to_unit(table(range->source_table), *range)} : std::nullopt;
}

void SharedRanges::let_go(Unit const& unit) { run_.let_go(unit.n); }

bool SharedRanges::prove(Unit const& unit, Proof const& proof) {
    return run_.prove(unit.n, {proof.from, proof.at, {}, proof.counts.rows, proof.counts.missing, proof.counts.extra, proof.counts.different,
                               proof.found.empty() ? json(nullptr) : to_json(proof.found), proof.horizon});
}

std::vector<Ranges::State> SharedRanges::state() {
    std::vector<State> all;
    for (auto const& range : run_.ranges()) {
        State state{table(range.source_table), range.n, {}, range.held};
        if (auto const& proof = range.proof)
            state.proof = Proof{proof->from, proof->at, proof->compared_at, {proof->rows, proof->missing, proof->extra, proof->different}, to_findings(proof->found), proof->horizon};
        all.push_back(std::move(state));
    }
    if (all.size() != pieces_) // nothing proven must not read as nothing to prove
        throw base::Error{base::Exit::not_proven, "not-proven", "what this verification had proven is gone from the control schema", "run it again"};
    return all;
}

void SharedRanges::raise(std::vector<int> const& numbers, std::optional<base::Lsn> since, base::Lsn from, base::Lsn at, std::optional<std::uint64_t> horizon) {
    run_.raise(numbers, since, from, at, horizon);
}
void SharedRanges::forget_before(std::optional<base::Lsn> limit) { run_.forget_before(limit); }
void SharedRanges::forget_table(std::size_t table) { run_.forget_table(tables_[table]); }

void SharedRanges::alive() {
    auto const now = std::chrono::steady_clock::now();
    if (now - renewed_ < control::VerifyRun::hold / 6)
        return;
    renewed_ = now;
    run_.renew();
}

} // namespace pgcarve::run
