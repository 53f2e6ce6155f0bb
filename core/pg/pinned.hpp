// What every connection is pinned to. Private to pg.
#pragma once

#include <string>

#include "pg/session.hpp"

namespace pgcarve::pg {

// The statements that do it, but for those that only later versions know.
[[nodiscard]] std::string pinned_settings(SessionSettings const& settings);

} // namespace pgcarve::pg
