// Prepares another database for a service's tables: what must be made there before rows are
// copied, what after it, and what only when the target becomes the authority.
//
// Pure. The one entry is plan_target: it takes both sides as they are and plans what is
// missing, so that a rerun after a kill at any step (each is one transaction) is the same
// call. What exists and is equal yields no step; what exists and differs is a refusing
// Notice with the difference. A table that exists is listed in `existing`: the caller makes
// sure that it is empty (`is_empty_statement`) or holds what an interrupted copy left.
//
// Left behind on purpose: tablespaces (the other server's disks are laid out in another
// way), rights that an owner took from himself (the stream writes as the owner), rights of
// roles that the target does not have (a notice each), publications, security labels (refused).
// Policies for a role that is missing are refused: without them other rows are seen.
//
// Triggers are made disabled, row security is not forced on the owner before the authority
// moves (arm_triggers, force_row_security), foreign keys come then (foreign_key_steps).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ddl/carry.hpp"
#include "ddl/foundation.hpp"
#include "ddl/keys.hpp"
#include "model/foundation.hpp"
#include "sql/builder.hpp"

namespace pgcarve::ddl {

struct TargetPlan {
    std::vector<model::Step> pre_load;  // schemas, foundation, tables with columns, checks and the key, partitions
                                        // (late_keys_step(): may wait for the rows, but not for the first change)
    std::vector<model::Step> post_load; // other indexes, checks that are NOT VALID, triggers, policies, rights, comments
    std::vector<model::Notice> notices;
    std::vector<sql::QName> existing; // tables that the target has already, in the target's names
};

// `pairs`: every target in `target_schema`, parents before their partitions; `foundation` read for exactly their tables.
[[nodiscard]] TargetPlan plan_target(model::Catalog const& source, model::Foundation const& foundation, model::Catalog const& target,
                                     model::Foundation const& target_foundation, Pairs const& pairs, std::string const& target_schema,
                                     FoundationOptions const& options = {});

// The id of the step that gives a new table, with its partitions, their keys. `root`: its name at the target.
[[nodiscard]] std::string late_keys_step(std::string const& root);

// One row, one column `empty`.
[[nodiscard]] sql::Sql is_empty_statement(sql::QName const& table);

// Keys inside the service. `add_each` and `validate` without what the target has already.
[[nodiscard]] ForeignKeys foreign_key_steps(model::Catalog const& source, model::Catalog const& target, Pairs const& pairs);

// Statements for one side: its user triggers get the state that `like` (the catalog of the side that had authority, before
// it was disarmed) says, or all are disabled. `to_target`: the statements are for the target.
[[nodiscard]] std::vector<std::string> arm_triggers(model::Catalog const& like, Pairs const& pairs, bool to_target);
[[nodiscard]] std::vector<std::string> disarm_triggers(model::Catalog const& there, Pairs const& pairs, bool at_target);
// FORCE (or NO FORCE) ROW LEVEL SECURITY where the source has it.
[[nodiscard]] std::vector<std::string> force_row_security(model::Catalog const& source, Pairs const& pairs, bool on);

// Sequences that both sides have: owned by the tables, or free-standing and drawn from by their defaults.
struct SequenceHandover {
    sql::QName source;
    sql::QName target;
};
[[nodiscard]] std::vector<SequenceHandover> sequence_handovers(model::Catalog const& source, model::Foundation const& foundation,
                                                               Pairs const& pairs);
// One row: value, called, increment, minimum, maximum.
[[nodiscard]] sql::Sql read_sequence(sql::QName const& sequence);
struct SequenceState {
    long long value = 0;
    bool called = false;
    long long increment = 1;
    long long minimum = 1;
    long long maximum = 0;
};
// setval() for the other server: goes on where `state` stopped, `margin` values further on (numbers that sessions may
// draw between the reading and the fence); never beyond the sequence's own bounds.
[[nodiscard]] sql::Sql write_sequence(sql::QName const& sequence, SequenceState const& state, long long margin = 0);

} // namespace pgcarve::ddl
