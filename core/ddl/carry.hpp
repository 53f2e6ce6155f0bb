// The SQL that makes new tables in a service's schema carry everything of the tables they
// are copies of. Pure: the catalog says what there is, the steps say what to run.
//
// Names stay as they are; only the schema changes. S is the source table, T its copy.
// Each step is one transaction; T is new in it, so that no step locks more than ACCESS SHARE
// on a table in use. What cannot be carried is a refusing Notice of `carry_notices`; the
// steps throw Error "cannot-carry" (exit 5) for a definition that was refused there.
//
// Kept apart, because of when it must happen:
//   triggers        made, but disabled: they are the authority's business (`hand_over_triggers`)
//   checks that are NOT VALID at S    after the backfill, since old rows may break them
//   foreign keys    when T becomes the authority (keys.hpp)
#pragma once

#include <string>
#include <vector>

#include "model/catalog.hpp"
#include "model/plan.hpp"

namespace pgcarve::ddl {

using Pairs = std::vector<model::TablePair>; // roots and partitions, every parent before its partitions

struct CarryOptions {
    bool needs_key = true; // rows are mirrored or backfilled, so they must be told apart
};

// The pair of one table; key and columns from the catalog.
[[nodiscard]] model::TablePair make_pair(model::Table const& source, std::string const& schema);

// What is refused, and what the operator should know.
[[nodiscard]] std::vector<model::Notice> carry_notices(model::Catalog const& catalog, Pairs const& pairs,
                                                       CarryOptions const& options = {});

// One step per root: the table, its partitions, and all that belongs to them. Id: "table:NAME".
[[nodiscard]] std::vector<model::Step> carry_table_steps(model::Catalog const& catalog, Pairs const& pairs);

// The checks that are NOT VALID at S. Id: "check:TABLE.NAME".
[[nodiscard]] std::vector<model::Step> after_backfill_steps(model::Catalog const& catalog, Pairs const& pairs);

// Partitions which S got since T was made: `fresh` are the topmost new ones (their own partitions are in `pairs`).
// Rows that meanwhile went to T's DEFAULT partition are moved. Id: "partition:NAME".
[[nodiscard]] std::vector<model::Step> carry_new_partition_steps(model::Catalog const& catalog, Pairs const& pairs,
                                                                 Pairs const& fresh);

// Gives the follower's triggers the state which the authority's have, and disables the authority's. `catalog` as it is
// at the switch; `to_target`: authority moves from S to T.
[[nodiscard]] std::vector<std::string> hand_over_triggers(model::Catalog const& catalog, Pairs const& pairs, bool to_target);

// Sequences that each side has for itself (identity columns): at every switch the one must go on where the other stopped.
struct SequencePair {
    sql::QName source;
    sql::QName target;
};
[[nodiscard]] std::vector<SequencePair> sequence_pairs(model::Catalog const& catalog, Pairs const& pairs);
// setval() that makes `to` hand out, next, what `from` would have; lossless also when `from` was never used.
[[nodiscard]] std::string continue_sequence(sql::QName const& from, sql::QName const& to);

} // namespace pgcarve::ddl
