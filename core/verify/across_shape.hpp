// What one pair of tables of two databases looks like to a comparison: how each column is put into bytes that say the
// same on both servers, and how its rows are found and divided.
//
// A value goes by the binary output function of its type, which no session setting changes and which keeps what equality
// forgets (1.0 is not 1.00, -0 is not 0). Where that names objects of the catalog by number (composite types, reg…), may
// differ between equal values (arrays say how NULLs are stored) or does not exist, it goes by its text. Domains go by what
// they are based on, enums by their labels. Names of types are compared without their schemas: a service's own types
// have moved with it. Columns are matched by name, whatever their order.
//
// Errors: Incomparable; pg::SqlError. Threads: as the sessions, which are used from two.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "base/types.hpp"
#include "model/plan.hpp"
#include "pg/session.hpp"
#include "verify/shape.hpp"

namespace pgcarve::verify {

enum class Side : std::size_t { source = 0, target = 1 };

template <class T>
struct BothSides {
    std::array<T, 2> values{};
    [[nodiscard]] T& operator[](Side side) { return values[static_cast<std::size_t>(side)]; }
    [[nodiscard]] T const& operator[](Side side) const { return values[static_cast<std::size_t>(side)]; }
};

struct AcrossColumn {
    std::string name;
    bool by_text = false;
    bool by_both = false; // of an extension: its text may say less than its bytes, which decide then
    bool whole_number = false; // int2, int4, int8
    BothSides<std::string> type; // base type of a domain, qualified, without modifier
    BothSides<sql::QName> send;  // unless by_text
    BothSides<bool> domain;
    bool generated = false;       // in the target
    bool identity_always = false; // in the target
};

struct AcrossKey {
    std::size_t column = 0; // index into columns
    BothSides<sql::QName> equal; // the operator of the key's index
};

// How a row becomes a number: with hash_array_extended() where both servers have the same one, else with sha256().
enum class RowHash { array, sha256 };

struct AcrossShape {
    BothSides<sql::QName> table;
    BothSides<base::Oid> oid;
    std::vector<AcrossColumn> columns; // in the source's order
    std::vector<AcrossKey> key;        // in the order of the source's index
    // Both sides order the key alike, whatever their collations, and find a range of it by an index without reading all.
    bool ranged = false;
    bool ordered = false; // the same, but rows lie in no such order on disk
    bool listed = false;  // the key is one column, whose values a built-in array holds; no partitions
    BothSides<double> rows; // estimates
    double pages = 0;       // of the bigger side
    RowHash hash = RowHash::array;
    [[nodiscard]] Side bigger() const { return rows[Side::target] > rows[Side::source] ? Side::target : Side::source; }
};

// The transactions of the two sessions decide what is seen. Both are asked at once.
[[nodiscard]] AcrossShape read_across(pg::Session& source, pg::Session& target, model::TablePair const& pair, RowHash hash);

// Hashes fixed values on both servers.
[[nodiscard]] RowHash common_hash(pg::Session& source, pg::Session& target);

} // namespace pgcarve::verify
