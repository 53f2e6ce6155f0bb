// What one pair of tables looks like to a comparison: columns with how each is compared, and
// the operators of its key. Read from the catalog as the session's snapshot shows it.
//
// Column names are matched by name; their physical order may differ.
//
// Errors: Incomparable (the pair cannot be compared as it stands; the message says why);
// pg::SqlError. Threads: as the session.
#pragma once

#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/types.hpp"
#include "model/plan.hpp"
#include "pg/session.hpp"

namespace pgcarve::verify {

class Incomparable : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

struct ColumnShape {
    std::string name;
    std::string type;     // qualified, without modifier, as a cast takes it
    bool exact = false;   // its `=` in pg_catalog holds for identical values only
    bool textual = false; // text or varchar: compared under collation "C"
    // The type's binary output function where its text may say less: types of extensions, and reg… types
    // (two functions of one name). Elsewhere it may say more than the value: array_send() shows how NULLs are stored.
    std::optional<sql::QName> send;
    bool generated = false;         // in the target
    bool identity_always = false;   // in the target
    bool nullable = true;           // in the target
};

// One btree operator family member: the five comparisons of a key column.
struct KeyOperators {
    sql::QName less, less_equal, equal, greater_equal, greater;
};

struct KeyColumn {
    std::size_t column = 0; // index into PairShape::columns
    KeyOperators operators;
};

struct PairShape {
    sql::QName source;
    sql::QName target;
    base::Oid source_oid{};
    base::Oid target_oid{};
    std::vector<ColumnShape> columns; // in the source's order
    std::vector<KeyColumn> key;       // in the order of the source's index
    double source_rows = 0;           // estimates
    double target_rows = 0;
    double pages = 0;         // of the bigger side
    bool key_ordered = true;  // the rows of both lie on disk about in the order of the key
    bool sample_target = false; // the target is the bigger side
};

[[nodiscard]] PairShape read_shape(pg::Session& session, model::TablePair const& pair);

// A text that is empty while these tables still hold what the session's snapshot saw: a rewrite, a TRUNCATE or a
// change of partitions since then makes rows vanish from an older snapshot. Call it after the query in question
// and in the same transaction, whose locks keep the answer true.
[[nodiscard]] std::string changed_since_snapshot(pg::Session& session, std::vector<base::Oid> const& tables);

} // namespace pgcarve::verify
