// Which objects of a shared database span two owners, for all owners at once.
#pragma once

#include "model/assessment.hpp"
#include "model/boundary.hpp"
#include "plan/ownership.hpp"

namespace pgcarve::plan {

// Tables of [reference] are an owner of their own; so are the tables that nobody owns, taken together.
// Proposals: a table that nobody owns and that hangs, by its foreign keys and views, on tables of services only is
// proposed for the one that it hangs on most; confidence is that one's share.
[[nodiscard]] model::Assessment assess(model::Catalog catalog, Ownership const& ownership);

} // namespace pgcarve::plan
