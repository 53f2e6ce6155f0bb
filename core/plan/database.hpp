// Plans the two switches of the database hop: cutover to the other database, rollback from it.
//
// Steps whose id begins with "other:" run in the other database, "switch" moves the authority (run/authority/database_move.hpp), the
// rest runs in the shared one. Only one direction streams at a time: its slot is made before the switch, while the other
// side is still fenced, and the slot of the former direction goes after it.
#pragma once

#include <string>
#include <vector>

#include "cutover/phase.hpp"
#include "mirrorgen/write_lock.hpp"
#include "model/boundary.hpp"
#include "model/catalog.hpp"
#include "model/plan.hpp"
#include "model/setup.hpp"

namespace pgcarve::plan {

struct DatabaseSides {
    model::Catalog const& shared;
    model::Catalog const& other;
};

// Foreign keys between the service's tables (all that it has in the shared database) and other tables there.
struct CrossingKey {
    model::SeveredKey key;
    model::Constraint const* constraint = nullptr; // in the catalog given
    sql::QName original_child;      // under the names that pgcarve.toml knows
    sql::QName original_parent;
};
[[nodiscard]] std::vector<CrossingKey> crossing_keys(model::Setup const& setup, model::Catalog const& shared);

// What refuses writes at the shared side and at the other side; roots only.
[[nodiscard]] std::vector<mirrorgen::Machinery> shared_locks(std::string const& service, model::Setup const& setup, model::Catalog const& shared);
[[nodiscard]] std::vector<mirrorgen::Machinery> other_locks(std::string const& service, model::Setup const& setup, model::Catalog const& other);

// What the other database keeps of who has the authority, so that it can be told from there alone: `shared` or `database`.
[[nodiscard]] std::string record_authority(model::DatabaseSetup const& database, std::string const& service, cutover::Authority authority);

// `severed`: the crossing keys that are dropped.
[[nodiscard]] model::Plan plan_database_cutover(std::string const& service, model::Setup const& setup, DatabaseSides const& sides,
                                                std::vector<model::SeveredKey> const& severed);
[[nodiscard]] model::Plan plan_database_rollback(std::string const& service, model::Setup const& setup, DatabaseSides const& sides);

// The roots at the side that takes writes, referenced tables first: what the switch locks.
[[nodiscard]] std::vector<sql::QName> database_tables_to_lock(model::DatabaseSetup const& setup, model::Catalog const& catalog, bool other_side);

// The same pairs seen from the other database.
[[nodiscard]] std::vector<model::TablePair> turned(std::vector<model::TablePair> pairs);

} // namespace pgcarve::plan
