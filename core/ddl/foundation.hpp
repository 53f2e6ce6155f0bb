// Makes in another database what tables stand on, and tells where the two differ.
//
// Pure. `here` is the source's Foundation, `there` what the target has under its names
// (catalog::read_foundation_like), so a rerun plans only what is still missing. Nothing that
// exists is changed: it may serve others. What differs is refused with the difference.
//
// Functions whose text names tables that the target will not have are refused while the
// target has no function of their signature, and taken as they are once it has one: that is
// how an operator gives the target a body that works there, and how a false alarm (the search
// reads text) is overruled.
#pragma once

#include <string>
#include <vector>

#include "ddl/names.hpp"
#include "model/foundation.hpp"
#include "model/plan.hpp"

namespace pgcarve::ddl {

struct FoundationOptions {
    bool mentions_refuse = true;           // false: a notice only, and the function is made as it is
    bool collation_versions_refuse = true; // false: a notice only
};

// Ids: "schema:x", "extension:x", "type:s.x", "collation:s.x", "function:s.x(int)", "sequence:s.x",
// "dictionary:s.x", "configuration:s.x". In order of need. Sequences start where they start; see target_sequences.
// `roles`: of the target, for grants.
[[nodiscard]] std::vector<model::Step> foundation_steps(model::Foundation const& here, model::Foundation const& there,
                                                        std::vector<std::string> const& roles);

// `tables`: the service's, source → target.
[[nodiscard]] std::vector<model::Notice> foundation_notices(model::Foundation const& here, model::Foundation const& there,
                                                            std::vector<std::pair<sql::QName, sql::QName>> const& tables,
                                                            FoundationOptions const& options = {});

} // namespace pgcarve::ddl
