// What was set up for a service when it was split, as it was split: later verbs act on this
// and not on a pgcarve.toml that may have been edited since.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "model/boundary.hpp"
#include "model/plan.hpp"

namespace pgcarve::model {

// A foreign key between the service and other tables, which two databases cannot have: dropped by the cutover, made
// again by a rollback. Names and codes as in model::Constraint.
struct SeveredKey {
    sql::QName child; // that has the constraint
    std::string name;
    std::string definition; // as pg_get_constraintdef prints it
    // What stands in for it meanwhile: loose and replicate, pgcarve's own action on the child; drop, nothing.
    CrossingDecision decision = CrossingDecision::drop;
    sql::QName parent{};
    bool parent_moves = false; // the parent is the service's, and the child stays; else the other way round
    std::vector<std::string> columns{};
    std::vector<std::string> referenced{};
    std::vector<std::string> equals{};
    std::vector<std::string> referenced_equals{};
    std::vector<std::string> set_columns{};
    char on_delete = 'a';
    char on_update = 'a';
    char match = 's';

    [[nodiscard]] bool loose() const { return decision == CrossingDecision::loose || decision == CrossingDecision::replicate; }
};

// The database hop: what is streamed where.
struct DatabaseSetup {
    std::string schema; // in the other database
    std::string name;   // of the publication, the slot and the stream; those of the way back have back_name()
    std::vector<TablePair> tables; // from the side that had authority to the other database; roots and partitions
    std::vector<SeveredKey> severed{}; // while the other database is the authority
    // Tables of others that the service reads: always from the shared database to the other one, by a stream of their own.
    std::vector<TablePair> reference{};

    [[nodiscard]] std::string back_name() const { return name + "_back"; }
    [[nodiscard]] std::string reference_name() const { return name + "_ref"; }
};

struct Setup {
    std::string shared_schema;
    std::string schema;
    Strategy strategy = Strategy::copy;
    DualWrite dual_write = DualWrite::trigger;
    Legacy legacy = Legacy::refuse;
    std::optional<std::string> role;
    bool created_schema = false;
    bool created_role = false;
    std::vector<TablePair> tables; // roots and partitions
    // table (quoted) -> its signature when the mirror was made for it, both sides
    std::map<std::string, std::string> signatures;
    std::optional<DatabaseSetup> database; // while a database hop is under way
};

} // namespace pgcarve::model
