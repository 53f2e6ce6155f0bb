// Whether anything of what pg_catalog says was changed since one looked last, at little cost.
//
// Errors: those of the session. Threads: as the session.
#pragma once

#include <string>

#include "pg/session.hpp"

namespace pgcarve::catalog {

// Made of who wrote each row of the catalogs that describe tables, types and what they lean on. As long as it stays the
// same, so does everything that read_catalog() says of them. The other way round it may differ though nothing that
// matters does: a temporary table was made, for instance.
[[nodiscard]] std::string catalog_state(pg::Session& session);

} // namespace pgcarve::catalog
