// Plans the end of the schema hop: the old tables lose their mirror and their dependants,
// get another name and are held; `purge` drops them after the hold.
//
// Whatever still reads or refers to the old tables would from then on see rows that no longer
// change. So views are pointed at the new tables, foreign keys of other services are moved
// over, sequences change hands, and what cannot be moved by itself refuses the plan by name.
#pragma once

#include <string>
#include <vector>

#include "model/catalog.hpp"
#include "model/plan.hpp"
#include "model/setup.hpp"

namespace pgcarve::plan {

// The name under which the old table is held.
[[nodiscard]] sql::QName held_name(sql::QName const& source);
// The name that an old table has after `complete`: one that stands aside for a view keeps the name it has.
// `setup` with the names of now, as in all functions below but purge_statements.
[[nodiscard]] sql::QName retired_name(model::Setup const& setup, model::TablePair const& pair);

struct Dependants {
    std::vector<sql::QName> views;              // ordinary views, to be pointed at the new tables, dependants last
    std::vector<sql::QName> materialized_views; // to be rebuilt
    std::vector<model::Notice> notices;         // functions and the like; refuses = must be mended first
};
// What hangs on the old tables, the service's own partitions and pgcarve's objects left out.
[[nodiscard]] Dependants dependants(model::Setup const& setup, model::Catalog const& catalog);

// Foreign keys of tables outside the service that refer to its old tables: ADD … NOT VALID towards the new
// table, VALIDATE, each a step of its own. The old ones are dropped by `retire_statements`.
[[nodiscard]] std::vector<model::Step> move_incoming_keys(model::Setup const& setup, model::Catalog const& catalog);

// For the one transaction that retires the old tables: drops moved keys, hands sequences over, renames.
[[nodiscard]] std::vector<std::string> retire_statements(model::Setup const& setup, model::Catalog const& catalog);

// DROP TABLE of all held tables, in one statement, without CASCADE.
[[nodiscard]] std::vector<std::string> purge_statements(model::Setup const& setup, model::Catalog const& catalog);

// `definition`, as the server deparsed it while the old tables had their held names, with the new tables in their place.
[[nodiscard]] std::string retarget_view(std::string const& definition, model::Setup const& setup);

} // namespace pgcarve::plan
