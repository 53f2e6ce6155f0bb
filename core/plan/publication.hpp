// What a stream carries: its publication. Pure.
#pragma once

#include <string>
#include <vector>

#include "model/plan.hpp"

namespace pgcarve::plan {

// Of the pairs' tables at the side that `name_of` gives; partitions come with their root. `server_version`: of that side's server.
[[nodiscard]] std::string create_publication(std::string const& name, std::vector<model::TablePair> const& pairs, sql::QName model::TablePair::*side,
                                             int server_version);
[[nodiscard]] std::string drop_publication(std::string const& name);

} // namespace pgcarve::plan
