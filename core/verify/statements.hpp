// The queries of a comparison and the statements of a repair.
//
// Equality is that of values as a client sees them, strictly: NULL is not '', 1.0 is not
// 1.00, -0 is not 0. It is decided in two steps. The filter compares every column of a
// joined pair by its bytes: for types whose `=` means identical bytes (PairShape says
// which) with IS DISTINCT FROM, the rest in one record image comparison (`*<>`), which is
// three times cheaper than building both whole rows. Identical bytes are identical values, so the
// filter never misses. What it flags gets a second opinion column by column from the type's
// text output, and from its binary output where the text may be lossy: an array may be stored
// in two ways that print the same, and that is no difference. No digests, so no collisions.
//
// In every query the pair is `s` and `t`, restricted to one Range or to a list of keys.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/verification.hpp"
#include "sql/builder.hpp"
#include "verify/shape.hpp"

namespace pgcarve::verify {

using Key = std::vector<std::string>; // the values of the key columns as text, in PairShape::key's order

// Keys above `after` (open when absent) up to and with `up_to` (open when absent).
struct Range {
    std::optional<Key> after;
    std::optional<Key> up_to;
};

// What the pair is restricted to.
struct Scope {
    Range range;
    std::string where;                     // the operator's own condition, applied to both sides; empty: none
    std::optional<std::vector<Key>> keys{}; // only these
};

// Bounds that cut the bigger side into pieces of about `rows_per_item`, in ascending order: the key as text.
[[nodiscard]] sql::Sql sample_bounds(PairShape const& shape, double percent, double step, std::string const& where);

// Of the source's next `rows` rows behind `after`: the key of every `step`-th and of the last, behind its number.
[[nodiscard]] sql::Sql next_pair_keys(PairShape const& shape, std::optional<Key> const& after, long long rows, long long step);

// One row: rows, missing, extra, flagged.
[[nodiscard]] sql::Sql count_differences(PairShape const& shape, Scope const& scope);
// One row: different. What remains of the flagged rows after the second opinion.
[[nodiscard]] sql::Sql count_different(PairShape const& shape, Scope const& scope);

enum class Kinds { all, extra, missing_or_different };
// At most `limit` differences in the order of the key. Columns: kind, key_1 …, columns (ordinals that differ, from 0).
[[nodiscard]] sql::Sql list_differences(PairShape const& shape, Scope const& scope, Kinds kinds, std::size_t limit);

struct Difference {
    model::FindingKind kind = model::FindingKind::different;
    Key key;
    std::vector<std::size_t> columns; // indexes into PairShape::columns; empty unless `different`
};
[[nodiscard]] std::vector<Difference> read_differences(PairShape const& shape, pg::Rows const& rows);

// One row: the values of these columns as a client sees them, source_1, target_1, ….
[[nodiscard]] sql::Sql read_values(PairShape const& shape, Key const& key, std::vector<std::size_t> const& columns);

[[nodiscard]] model::Finding to_finding(PairShape const& shape, Difference const& difference);

// --- parts that repair shares

// x."a" OPERATOR(…) …
void add_operator(sql::Sql& q, sql::QName const& name);
// EXISTS (…) that holds for rows of `x` with one of the keys.
void add_key_in(sql::Sql& q, PairShape const& shape, std::vector<Key> const& keys);
// x.key = y.key, column by column, for the two aliases given.
void add_key_join(sql::Sql& q, PairShape const& shape, std::string_view left, std::string_view right);

} // namespace pgcarve::verify
