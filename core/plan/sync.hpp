// Plans the database hop of one service up to syncing.
//
// Order: publication before slot (a slot decodes with the catalog of its own time, and fails on a publication that is
// younger), slot before the first row is copied, then the target's bare tables, the copy, their keys, and what the tables
// are besides. The keys are made by the copy, as soon as a table is there or the stream is to write to it. Steps whose id begins with "target:" run in the other database.
#pragma once

#include <optional>
#include <string>

#include "cutover/phase.hpp"
#include "ddl/target.hpp"
#include "model/boundary.hpp"
#include "model/catalog.hpp"
#include "model/foundation.hpp"
#include "model/plan.hpp"
#include "model/setup.hpp"

namespace pgcarve::plan {

// Of a service's publication, slot and stream.
[[nodiscard]] std::string stream_name(std::string const& service);

// What will be streamed: the tables of the side that has authority. `setup`: of a split, or what a split would set up.
[[nodiscard]] model::DatabaseSetup database_setup(model::Service const& service, model::Setup const& setup, cutover::Authority authority);

struct Sides {
    model::Catalog const& source;
    model::Foundation const& foundation;
    model::Catalog const& target;
    model::Foundation const& target_foundation;
};
[[nodiscard]] model::Plan plan_sync(model::Service const& service, model::DatabaseSetup const& setup, Sides const& sides);

// Takes the hop back. `drop_locks`: what cutovers have left in the shared database (plan/database_finish.hpp).
[[nodiscard]] model::Plan plan_cancel_sync(std::string const& service, model::DatabaseSetup const& setup, std::vector<model::Step> const& drop_locks);

} // namespace pgcarve::plan
