#include "verify/pair_ranges.hpp"

#include <algorithm>
#include <cmath>

namespace pgcarve::verify {

namespace {

Key read_key(PairShape const& shape, pg::Row const& row, std::size_t first) {
    Key key;
    for (std::size_t i = 0; i < shape.key.size(); ++i)
        key.push_back(row.text(static_cast<int>(first + i)));
    return key;
}

void add_values(pg::Session& session, PairShape const& shape, Difference const& difference, model::Finding& finding) {
    auto columns = difference.columns;
    if (difference.kind != model::FindingKind::different) {
        for (std::size_t i = 0; i < shape.columns.size(); ++i)
            columns.push_back(i);
    }
    // A result has at most 1664 columns, two for each of ours.
    for (std::size_t from = 0; from < columns.size(); from += 500) {
        auto const end = std::min(columns.size(), from + 500);
        std::vector<std::size_t> const part{columns.begin() + static_cast<std::ptrdiff_t>(from), columns.begin() + static_cast<std::ptrdiff_t>(end)};
        auto const row = session.one(read_values(shape, difference.key, part));
        for (std::size_t i = 0; i < part.size(); ++i)
            finding.values.emplace_back(shape.columns[part[i]].name, row.maybe(static_cast<int>(2 * i)), row.maybe(static_cast<int>(2 * i + 1)));
    }
}

} // namespace

std::vector<Range> cut_pair(pg::Session& session, PairShape const& shape, double rows, double most_rows, std::string const& where) {
    double const all = std::max(shape.source_rows, shape.target_rows);
    double wanted = std::max(rows, all / 10'000);
    bool const in_memory = shape.pages < 16'384; // 128 MB: cached pages cost little to visit in any order
    if (!shape.key_ordered && !in_memory)
        wanted = std::max(wanted, most_rows);
    if (all <= wanted || shape.pages < 1)
        return {Range{}};
    // About five pages a range tell well enough where to cut.
    double const percent = std::clamp(100.0 * 5.0 * (all / wanted) / shape.pages, 0.001, 100.0);
    double const step = std::max(1.0, wanted * percent / 100.0);
    std::vector<Range> ranges;
    Range range;
    for (auto const row : session.query(sample_bounds(shape, percent, step, where))) {
        auto bound = read_key(shape, row, 0);
        range.up_to = bound;
        ranges.push_back(range);
        range = Range{std::move(bound), std::nullopt};
    }
    ranges.push_back(range);
    return ranges;
}

PairShare share_of_pair(pg::Session& session, PairShape const& shape, std::optional<Key> const& after, double all, double rows) {
    auto const count = static_cast<long long>(std::ceil(std::max(1.0, all)));
    auto const step = static_cast<long long>(std::clamp(rows, 1.0, static_cast<double>(count)));
    PairShare share;
    Range range{after, std::nullopt};
    bool end = true;
    for (auto const row : session.query(next_pair_keys(shape, after, count, step))) {
        end = row.integer(0) != count;
        auto bound = read_key(shape, row, 1);
        range.up_to = bound;
        share.ranges.push_back(range);
        range = Range{std::move(bound), std::nullopt};
    }
    if (end)
        share.ranges.push_back(range);
    else
        share.next = range.after;
    return share;
}

RangeResult compare_range(pg::Session& session, PairShape const& shape, Scope const& scope, std::size_t samples, std::size_t valued) {
    RangeResult result;
    auto const counts = session.one(count_differences(shape, scope));
    result.counts.rows = counts.integer("rows");
    result.counts.missing = counts.integer("missing");
    result.counts.extra = counts.integer("extra");
    if (counts.integer("flagged") > 0)
        result.counts.different = session.one(count_different(shape, scope)).integer("different");
    if (!result.counts.clean() && samples > 0) {
        for (auto const& difference : read_differences(shape, session.query(list_differences(shape, scope, Kinds::all, samples)))) {
            result.samples.push_back(to_finding(shape, difference));
            if (result.samples.size() <= valued)
                add_values(session, shape, difference, result.samples.back());
        }
    }
    if (auto const why = changed_since_snapshot(session, {shape.source_oid, shape.target_oid}); !why.empty())
        throw Incomparable{why};
    return result;
}

} // namespace pgcarve::verify
