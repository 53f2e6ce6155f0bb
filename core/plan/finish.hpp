// Plans the ends of the schema hop: cancel, complete, purge.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "model/catalog.hpp"
#include "model/plan.hpp"
#include "model/setup.hpp"
#include "plan/retire.hpp"

namespace pgcarve::plan {

// A view that reads old tables, as the server deparses it while these have their held names.
struct ViewDefinition {
    sql::QName name;
    bool materialized = false;
    std::string definition;
    std::vector<std::string> options;
    std::vector<std::string> indexes; // of a materialized view
    std::string owner;
    std::optional<std::string> comment;
    std::vector<std::string> grants; // GRANT statements
};

// Mirrors and fences first, then the copies, then schema and role if `split` made them. Steps tolerate what is not there.
[[nodiscard]] model::Plan plan_cancel(std::string const& service, model::Setup const& setup, model::Catalog const& catalog);

// Step "retire" is the one transaction after which the old tables are history.
[[nodiscard]] model::Plan plan_complete(std::string const& service, model::Setup const& setup, model::Catalog const& catalog,
                                        std::vector<ViewDefinition> const& views);

[[nodiscard]] model::Plan plan_purge(std::string const& service, model::Setup const& setup, model::Catalog const& catalog);

} // namespace pgcarve::plan
