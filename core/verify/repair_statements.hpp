// The statements by which repair locks and changes rows, and what constraints allow them.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "verify/statements.hpp"

namespace pgcarve::verify {

// A foreign key of another row that refers to the target, whose action would change that row.
struct Reaction {
    sql::QName table; // that refers
    std::string constraint;
    std::vector<std::string> referring;
    std::vector<std::string> referenced;
    std::vector<sql::QName> operators; // referenced = referring
    char on_delete = 'a';
};

struct TargetRules {
    std::vector<Reaction> reactions;        // CASCADE, SET NULL, SET DEFAULT
    bool replaceable = true;                // no foreign key reacts to, or forbids (RESTRICT), a row's replacement
    std::set<std::string> nullable_uniques; // columns of unique indexes beside the key that can be NULL meanwhile
};

[[nodiscard]] TargetRules read_rules(pg::Session& session, PairShape const& shape);

[[nodiscard]] sql::Sql lock_source(PairShape const& shape, std::vector<Key> const& keys);
[[nodiscard]] sql::Sql lock_target(PairShape const& shape, std::vector<Key> const& keys);
[[nodiscard]] sql::Sql insert_rows(PairShape const& shape, std::vector<Key> const& keys);
[[nodiscard]] sql::Sql delete_rows(PairShape const& shape, TargetRules const& rules, std::vector<Key> const& keys);
// Sets exactly these columns; generated ones follow from the others.
[[nodiscard]] sql::Sql update_rows(PairShape const& shape, std::vector<std::size_t> const& columns,
                                   std::vector<Key> const& keys);
// Deletes and inserts in one statement, so that foreign keys without an action see no gap.
[[nodiscard]] sql::Sql replace_rows(PairShape const& shape, std::vector<Key> const& keys);
// Sets columns to NULL, to get their unique values out of the way.
[[nodiscard]] sql::Sql park_rows(PairShape const& shape, std::set<std::string> const& columns,
                                 std::vector<Key> const& keys);
// An UPDATE cannot write one of these columns (GENERATED ALWAYS AS IDENTITY).
[[nodiscard]] bool must_replace(PairShape const& shape, std::vector<std::size_t> const& columns);

// The statement for one difference, for people: the key as literals, everything else read from the source.
[[nodiscard]] std::string display_statement(PairShape const& shape, Difference const& difference);

} // namespace pgcarve::verify
