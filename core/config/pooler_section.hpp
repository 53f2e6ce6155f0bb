// Private to config/: the section that parse() judges and pooler_of() reads.
#pragma once

#include <optional>

#include "config/section.hpp"
#include "model/pooler.hpp"

namespace pgcarve::config {

// nullopt: it is not there. What is wrong with it is reported where `parent` reports.
std::optional<model::PoolerSettings> read_pooler(Section& parent);

} // namespace pgcarve::config
