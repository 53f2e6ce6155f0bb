// The queries of a comparison across two databases. Each runs on one side, in a transaction whose snapshot is the moment.
//
// A row is hashed to 64 bits: hash_array_extended() over the bytes of its columns, with a seed that is made of its key.
// The seed is what makes sums of such hashes worth something: that function adds up what it makes of its elements, each
// times a constant, so that with one seed for all rows a sum would not notice two rows that exchanged a value. See
// docs/verification.md for what can go unnoticed, and how likely that is.
//
// Rows are put into buckets, by ranges of the key or by a hash of it; a bucket is its count and the sum of its hashes.
// Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sql/builder.hpp"
#include "verify/across_shape.hpp"
#include "verify/statements.hpp"

namespace pgcarve::verify {

inline constexpr int hash_buckets = 1024;

// What of a table is looked at; all conditions hold together.
struct AcrossScope {
    Range range{};   // only of a shape that is `ordered`
    int parts = 1;   // rows whose key falls in part `part` of so many, by its hash
    int part = 0;
    std::vector<int> buckets{};               // only these, of hash_buckets
    std::vector<Key> const* without = nullptr; // rows with these keys are left out
    std::string where{};                       // the operator's own condition
};

// The key as text, in ascending order: cuts the table into pieces of about `step` rows of the sample.
[[nodiscard]] sql::Sql across_bounds(AcrossShape const& shape, Side side, double percent, double step, AcrossScope const& scope);
// Every `step`-th key of the next `rows` ones behind `after`, and the last of them: n (from 1), key_0 …, in ascending order.
[[nodiscard]] sql::Sql next_keys(AcrossShape const& shape, Side side, std::optional<Key> const& after, long long rows, long long step);
// One row a bucket that holds any: bucket, rows, sum.
[[nodiscard]] sql::Sql digest_buckets(AcrossShape const& shape, Side side, AcrossScope const& scope);
// One row: bucket (0), rows, sum.
[[nodiscard]] sql::Sql digest_one(AcrossShape const& shape, Side side, AcrossScope const& scope);
// One row a range between two bounds that follow each other: bucket (from 1), rows, sum. REQUIRES: two bounds or more.
[[nodiscard]] sql::Sql digest_ranges(AcrossShape const& shape, Side side, std::vector<Key> const& bounds, AcrossScope const& scope);
// A cursor over rows in byte order of their keys: place (of the key in that order), hash, key_0 ….
[[nodiscard]] sql::Sql declare_rows(AcrossShape const& shape, Side side, std::string_view cursor, AcrossScope const& scope);
// Of rows with these keys; one row: rows, sum.
[[nodiscard]] sql::Sql digest_keys(AcrossShape const& shape, Side side, std::vector<Key> const& keys, std::string const& where);
// One row a key that is there: n (which one, from 1), hash.
[[nodiscard]] sql::Sql hash_keys(AcrossShape const& shape, Side side, std::vector<Key> const& keys, std::string const& where);
// One row a key that is there: n, columns (of each, a digest of what a client sees; 'null' for NULL).
[[nodiscard]] sql::Sql column_digests(AcrossShape const& shape, Side side, std::vector<Key> const& keys);
// One row a key that is there: n, v0 … of the columns asked for, as text.
[[nodiscard]] sql::Sql read_columns(AcrossShape const& shape, Side side, std::vector<Key> const& keys, std::vector<std::size_t> const& columns);

// --- parts that repair shares

// ROWS FROM (unnest(…) …) WITH ORDINALITY AS w (k0, …, n)
void add_keys(sql::Sql& q, AcrossShape const& shape, std::vector<Key> const& keys);
// x.key = w.k0::type AND …
void add_key_matches(sql::Sql& q, AcrossShape const& shape, Side side);
void add_row_hash(sql::Sql& q, AcrossShape const& shape, Side side);

} // namespace pgcarve::verify
