#include "verify/across.hpp"

#include <algorithm>
#include <cmath>
#include <future>
#include <map>

#include <fmt/format.h>

namespace pgcarve::verify {

namespace {

using sql::Sql;

constexpr Side sides[]{Side::source, Side::target};
constexpr std::size_t page = 2'000;   // rows fetched at a time
constexpr long long few_rows = 16;   // of a bucket: they are read at once
constexpr std::size_t opinions = 500; // keys looked at column by column at a time

// The same question to both at once.
BothSides<std::optional<pg::Rows>> ask(TwoSessions const& sessions, std::function<Sql(Side)> const& statement) {
    auto const source = statement(Side::source);
    auto const target = statement(Side::target);
    auto other = std::async(std::launch::async, [&] { return sessions.source.query(source); });
    BothSides<std::optional<pg::Rows>> answers;
    try {
        answers[Side::target] = sessions.target.query(target);
    } catch (...) {
        sessions.source.cancel(); // nobody wants its answer any more
        throw;
    }
    answers[Side::source] = other.get();
    return answers;
}

struct Digest {
    long long rows = 0;
    std::string sum;
    bool operator==(Digest const&) const = default;
};
using Digests = std::map<int, Digest>; // without empty buckets

void add(Digests& to, pg::Rows const& rows, int first) {
    for (auto const row : rows) {
        if (row.integer("rows") > 0)
            to[first + static_cast<int>(row.integer("bucket"))] = {row.integer("rows"), row.text("sum")};
    }
}

std::vector<int> differing(BothSides<Digests> const& digests) {
    std::set<int> all;
    for (auto const side : sides) {
        for (auto const& [bucket, digest] : digests[side]) {
            auto const& others = digests[side == Side::source ? Side::target : Side::source];
            auto const other = others.find(bucket);
            if (other == others.end() || other->second != digest)
                all.insert(bucket);
        }
    }
    return {all.begin(), all.end()};
}

// Rows of one side in byte order of their keys, a page at a time.
class Cursor {
public:
    Cursor(pg::Session& session, Sql const& declare, std::size_t keys) : session_{session}, keys_{keys} { session_.query(declare); }
    Cursor(Cursor const&) = delete;
    Cursor& operator=(Cursor const&) = delete;
    ~Cursor() {
        try {
            session_.run("CLOSE pgcarve_rows");
        } catch (base::Error const&) { // NOLINT(bugprone-empty-catch)
            // The transaction has failed already, and with it the cursor is gone.
        }
    }

    struct Line {
        std::string place;
        std::string hash;
        Key key;
    };
    [[nodiscard]] Line const* line() {
        if (at_ == rows_.size() && !over_)
            fetch();
        return at_ < rows_.size() ? &rows_[at_] : nullptr;
    }
    void next() { ++at_; }

private:
    void fetch() {
        rows_.clear();
        at_ = 0;
        auto const rows = session_.query(Sql{"FETCH "}.number(page).add(" FROM pgcarve_rows"));
        for (auto const row : rows) {
            Line line{row.text("place"), row.text("hash"), {}};
            for (std::size_t i = 0; i < keys_; ++i)
                line.key.push_back(row.text(static_cast<int>(2 + i)));
            rows_.push_back(std::move(line));
        }
        over_ = rows.size() < page;
    }

    pg::Session& session_;
    std::size_t keys_;
    std::vector<Line> rows_;
    std::size_t at_ = 0;
    bool over_ = false;
};

// Rows that are on both sides and have different hashes: are they different to a client?
class Opinions {
public:
    Opinions(TwoSessions const& sessions, AcrossShape const& shape, AcrossCounts& counts, Found const& found)
        : sessions_{sessions}, shape_{shape}, counts_{counts}, found_{found} {}

    void add(Key key) {
        keys_.push_back(std::move(key));
        if (keys_.size() >= opinions)
            flush();
    }
    void flush() {
        if (keys_.empty())
            return;
        auto const answers = ask(sessions_, [&](Side side) { return column_digests(shape_, side, keys_); });
        std::map<long long, std::vector<std::string>> source;
        for (auto const row : *answers[Side::source])
            source[row.integer("n")] = row.array("columns");
        for (auto const row : *answers[Side::target]) {
            auto const there = row.array("columns");
            auto const& here = source.at(row.integer("n"));
            Difference difference{model::FindingKind::different, keys_[static_cast<std::size_t>(row.integer("n") - 1)], {}};
            for (std::size_t i = 0; i < there.size(); ++i) {
                if (here[i] != there[i])
                    difference.columns.push_back(i);
            }
            if (difference.columns.empty())
                continue;
            ++counts_.different;
            found_(difference);
        }
        keys_.clear();
    }

private:
    TwoSessions const& sessions_;
    AcrossShape const& shape_;
    AcrossCounts& counts_;
    Found const& found_;
    std::vector<Key> keys_;
};

// Cursors stay open while columns are asked for: these are other statements of the same transactions.
void read_rows(TwoSessions const& sessions, AcrossShape const& shape, AcrossScope const& scope, AcrossCounts& counts, Found const& found) {
    Cursor source{sessions.source, declare_rows(shape, Side::source, "pgcarve_rows", scope), shape.key.size()};
    Cursor target{sessions.target, declare_rows(shape, Side::target, "pgcarve_rows", scope), shape.key.size()};
    Opinions second{sessions, shape, counts, found};
    for (;;) {
        auto const* const here = source.line();
        auto const* const there = target.line();
        if (here == nullptr && there == nullptr)
            break;
        auto const order = here == nullptr ? 1 : there == nullptr ? -1 : here->place.compare(there->place);
        if (order < 0) {
            ++counts.missing;
            found({model::FindingKind::missing, here->key, {}});
        } else if (order > 0) {
            ++counts.extra;
            found({model::FindingKind::extra, there->key, {}});
        } else if (here->hash != there->hash) {
            second.add(here->key);
        }
        if (order <= 0)
            source.next();
        if (order >= 0)
            target.next();
    }
    second.flush();
}

AcrossCounts by_hash(TwoSessions const& sessions, AcrossShape const& shape, AcrossScope scope, Found const& found) {
    BothSides<Digests> digests;
    auto const answers = ask(sessions, [&](Side side) { return digest_buckets(shape, side, scope); });
    for (auto const side : sides)
        add(digests[side], *answers[side], 0);
    AcrossCounts counts;
    for (auto const& [bucket, digest] : digests[Side::source])
        counts.rows += digest.rows;
    scope.buckets = differing(digests);
    if (!scope.buckets.empty())
        read_rows(sessions, shape, scope, counts, found);
    return counts;
}

} // namespace

void AcrossCounts::add(AcrossCounts const& more) {
    rows += more.rows;
    missing += more.missing;
    extra += more.extra;
    different += more.different;
}

std::vector<Key> across_bounds(TwoSessions const& sessions, AcrossShape const& shape, double rows, std::string const& where) {
    if (shape.pages < 1)
        return {};
    auto const side = shape.bigger();
    // About one page a bucket tells well enough where to cut, but not too few of them.
    double const wanted = std::max(shape.rows[side] / rows, 100.0);
    double const percent = std::clamp(100.0 * wanted / shape.pages, 0.001, 100.0);
    AcrossScope scope;
    scope.where = where;
    std::vector<Key> bounds;
    for (auto const row : sessions[side].query(across_bounds(shape, side, percent, std::max(1.0, rows * percent / 100.0), scope))) {
        Key bound;
        for (std::size_t i = 0; i < shape.key.size(); ++i)
            bound.push_back(row.text(static_cast<int>(i)));
        bounds.push_back(std::move(bound));
    }
    return bounds;
}

NextRows next_rows(TwoSessions const& sessions, AcrossShape const& shape, std::optional<Key> const& after, long long rows, long long step) {
    NextRows next{{}, true};
    for (auto const row : sessions.source.query(next_keys(shape, Side::source, after, rows, std::min(step, rows)))) {
        Key bound;
        for (std::size_t i = 0; i < shape.key.size(); ++i)
            bound.push_back(row.text(static_cast<int>(1 + i)));
        next.bounds.push_back(std::move(bound));
        next.end = row.integer("n") != rows;
    }
    return next;
}

AcrossCounts compare_scope(TwoSessions const& sessions, AcrossShape const& shape, AcrossScope const& scope, std::vector<Key> const& bounds,
                           Found const& found) {
    if (bounds.empty() && !scope.range.after && !scope.range.up_to && !shape.ranged)
        return by_hash(sessions, shape, scope, found);
    // The outermost ranges are those of the scope, perhaps without a bound.
    auto const range_of = [&](std::size_t bucket) {
        auto range = scope.range;
        if (bucket > 0)
            range.after = bounds[bucket - 1];
        if (bucket < bounds.size())
            range.up_to = bounds[bucket];
        return range;
    };
    auto const outer = [&](std::size_t bucket) {
        auto part = scope;
        part.range = range_of(bucket);
        return part;
    };
    BothSides<Digests> digests;
    auto const collect = [&](int first, std::function<Sql(Side)> const& statement) {
        auto const answers = ask(sessions, statement);
        for (auto const side : sides)
            add(digests[side], *answers[side], first);
    };
    // Both sides wait for each other at the end of a statement: so as few of them as can be.
    auto edges = bounds;
    if (scope.range.after)
        edges.insert(edges.begin(), *scope.range.after);
    if (scope.range.up_to)
        edges.push_back(*scope.range.up_to);
    if (!scope.range.after)
        collect(0, [&](Side side) { return digest_one(shape, side, outer(0)); });
    if (edges.size() > 1) {
        auto inner = scope;
        inner.range = {};
        collect(scope.range.after ? -1 : 0, [&](Side side) { return digest_ranges(shape, side, edges, inner); });
    }
    if (!scope.range.up_to && !edges.empty())
        collect(static_cast<int>(bounds.size()), [&](Side side) { return digest_one(shape, side, outer(bounds.size())); });
    AcrossCounts counts;
    for (auto const& [bucket, digest] : digests[Side::source])
        counts.rows += digest.rows;
    for (auto const bucket : differing(digests)) {
        auto const part = outer(static_cast<std::size_t>(bucket));
        if (std::ranges::all_of(sides, [&](Side side) { return digests[side].contains(bucket) && digests[side][bucket].rows > few_rows; })) {
            // Which of its rows, digests tell at less cost than reading all of them.
            auto deeper = by_hash(sessions, shape, part, found);
            deeper.rows = 0; // counted above
            counts.add(deeper);
        } else {
            read_rows(sessions, shape, part, counts, found);
        }
    }
    return counts;
}

AcrossCounts compare_keys(TwoSessions const& sessions, AcrossShape const& shape, std::vector<Key> const& keys, std::string const& where,
                          Found const& found) {
    AcrossCounts counts;
    if (keys.empty())
        return counts;
    // Nearly always all are equal: two digests tell it without a row on the way.
    auto const digests = ask(sessions, [&](Side side) { return digest_keys(shape, side, keys, where); });
    auto const rows = (*digests[Side::source])[0].integer("rows");
    if (rows == (*digests[Side::target])[0].integer("rows") && (*digests[Side::source])[0].maybe("sum") == (*digests[Side::target])[0].maybe("sum")) {
        counts.rows = rows;
        return counts;
    }
    auto const answers = ask(sessions, [&](Side side) { return hash_keys(shape, side, keys, where); });
    BothSides<std::map<long long, std::string>> hashes;
    for (auto const side : sides) {
        for (auto const row : *answers[side])
            hashes[side][row.integer(0)] = row.text(1);
    }
    counts.rows = static_cast<std::int64_t>(hashes[Side::source].size());
    Opinions second{sessions, shape, counts, found};
    for (std::size_t i = 0; i < keys.size(); ++i) {
        auto const n = static_cast<long long>(i + 1);
        auto const here = hashes[Side::source].find(n);
        auto const there = hashes[Side::target].find(n);
        bool const absent_here = here == hashes[Side::source].end();
        bool const absent_there = there == hashes[Side::target].end();
        if (absent_here && absent_there)
            continue;
        if (absent_there) {
            ++counts.missing;
            found({model::FindingKind::missing, keys[i], {}});
        } else if (absent_here) {
            ++counts.extra;
            found({model::FindingKind::extra, keys[i], {}});
        } else if (here->second != there->second) {
            second.add(keys[i]);
        }
    }
    second.flush();
    return counts;
}

void check_unchanged(TwoSessions const& sessions, AcrossShape const& shape) {
    for (auto const side : sides) {
        if (auto const why = changed_since_snapshot(sessions[side], {shape.oid[side]}); !why.empty())
            throw Incomparable{why};
    }
}

model::Finding to_finding(AcrossShape const& shape, Difference const& difference) {
    model::Finding finding;
    finding.kind = difference.kind;
    for (std::size_t i = 0; i < shape.key.size(); ++i)
        finding.key.emplace_back(shape.columns[shape.key[i].column].name, difference.key[i]);
    for (auto const column : difference.columns)
        finding.columns.push_back(shape.columns[column].name);
    return finding;
}

void add_values(TwoSessions const& sessions, AcrossShape const& shape, Difference const& difference, model::Finding& finding) {
    auto columns = difference.columns;
    if (difference.kind != model::FindingKind::different) {
        for (std::size_t i = 0; i < shape.columns.size(); ++i)
            columns.push_back(i);
    }
    for (std::size_t from = 0; from < columns.size(); from += 500) { // a result has at most 1664 columns
        std::vector<std::size_t> const part{columns.begin() + static_cast<std::ptrdiff_t>(from),
                                            columns.begin() + static_cast<std::ptrdiff_t>(std::min(columns.size(), from + 500))};
        auto const answers = ask(sessions, [&](Side side) { return read_columns(shape, side, {difference.key}, part); });
        auto const value = [&](Side side, std::size_t i) {
            return answers[side]->empty() ? std::nullopt : (*answers[side])[0].maybe(static_cast<int>(1 + i));
        };
        for (std::size_t i = 0; i < part.size(); ++i)
            finding.values.emplace_back(shape.columns[part[i]].name, value(Side::source, i), value(Side::target, i));
    }
}

} // namespace pgcarve::verify
