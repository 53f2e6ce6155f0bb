// Private to config/: the section that parse() judges and sync_limits_of() reads.
#pragma once

#include "config/section.hpp"
#include "model/sync_limits.hpp"

namespace pgcarve::config {

// What is wrong with it is reported where `top` reports.
model::SyncLimits read_sync_limits(Section& top);

} // namespace pgcarve::config
