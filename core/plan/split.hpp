// Plans the schema hop of one service up to dual_writing.
//
// Order: schema and role, tables with all they are made of, mirrors and fences (all tables,
// before any row is copied), the backfill of each table, what has to wait for it, and the
// phase. For strategy "move" there is nothing to copy: schema, role and grants only; the
// tables move in the cutover.
#pragma once

#include <string>
#include <vector>

#include "cutover/phase.hpp"
#include "model/boundary.hpp"
#include "model/catalog.hpp"
#include "model/plan.hpp"
#include "model/setup.hpp"
#include "plan/ownership.hpp"

namespace pgcarve::plan {

// Roots and partitions of the service, every parent before its partitions.
[[nodiscard]] std::vector<model::TablePair> pairs_of(model::Service const& service, Ownership const& ownership,
                                                     model::Catalog const& catalog);

// What `split` will have set up, to be stored before the first step; signatures are of the tables as they are now.
[[nodiscard]] model::Setup setup_of(model::BoundaryMap const& map, model::Service const& service, Ownership const& ownership,
                                    model::Catalog const& catalog);

[[nodiscard]] model::Plan plan_split(model::BoundaryMap const& map, model::Service const& service, Ownership const& ownership,
                                     model::Catalog const& catalog);

struct Reconciliation {
    model::Plan plan;    // empty steps: nothing changed
    model::Setup after;  // what will be set up then
};

// For a service that is split already: what the authority's tables got since (columns, partitions) is given to the follower,
// their mirrors are made anew, and their rows compared and repaired. `setup` with the names of now.
// `reinstall`: mirrors and fences are not as they should be, so those of all tables are made anew.
[[nodiscard]] Reconciliation plan_reconcile(std::string const& service, model::Setup const& setup, cutover::Authority authority,
                                            model::Catalog const& catalog, bool reinstall = false);

} // namespace pgcarve::plan
