// The mirrors and fences of a service as a whole: all its tables, both directions.
//
// The shared side's authority: forward mirrors and the service side's fences are enabled.
// The service's authority: reverse mirrors and the shared side's fences are. Under
// dual_write = "application" the application writes both sides until the cutover, so the
// forward direction has neither mirror nor fence.
#pragma once

#include <string>
#include <vector>

#include "cutover/phase.hpp"
#include "mirrorgen/mirrorgen.hpp"
#include "model/catalog.hpp"
#include "model/plan.hpp"
#include "model/setup.hpp"

namespace pgcarve::plan {

// `catalog` plus, for every pair whose target does not exist yet, the table that it will be: the source's definition
// under the target's name, without foreign keys.
[[nodiscard]] model::Catalog with_targets(model::Catalog const& catalog, std::vector<model::TablePair> const& pairs);

// `catalog` after the tables named in `from` got the names in `to` (same order).
[[nodiscard]] model::Catalog with_new_names(model::Catalog const& catalog, std::vector<model::TablePair> const& from,
                                            std::vector<model::TablePair> const& to);

// The setup while the old tables stand aside for the views that took their names.
[[nodiscard]] model::Setup with_held_names(model::Setup setup);

struct PairMachinery {
    model::TablePair pair; // a root
    mirrorgen::Machinery forward_mirror;
    mirrorgen::Machinery forward_fence;
    mirrorgen::Machinery reverse_mirror;
    mirrorgen::Machinery reverse_fence;
};

// REQUIRES: `catalog` knows every table of the setup (with_targets). Roots only, in the setup's order.
[[nodiscard]] std::vector<PairMachinery> machinery(std::string const& service, model::Setup const& setup,
                                                   model::Catalog const& catalog);

// That of tables which still exist on both sides; that of a table that is gone went with it.
[[nodiscard]] std::vector<PairMachinery> existing_machinery(std::string const& service, model::Setup setup, model::Catalog const& catalog);

// One step a table: "mirror:NAME", installing both directions with the shared side as the authority.
[[nodiscard]] std::vector<model::Step> install_steps(std::vector<PairMachinery> const& all, model::Setup const& setup);

// For the switch, in order: what is to be disabled and enabled so that `authority` takes the writes.
[[nodiscard]] std::vector<std::string> hand_over(std::vector<PairMachinery> const& all, model::Setup const& setup,
                                                 cutover::Authority authority);

// One step a table: "unmirror:NAME".
[[nodiscard]] std::vector<model::Step> drop_steps(std::vector<PairMachinery> const& all);

// What is missing, altered, or enabled on the wrong side.
struct MachineryState {
    mirrorgen::Machinery const* machinery = nullptr;
    bool enabled = false;
};
[[nodiscard]] std::vector<MachineryState> expected(std::vector<PairMachinery> const& all, model::Setup const& setup,
                                                   cutover::Authority authority);

} // namespace pgcarve::plan
