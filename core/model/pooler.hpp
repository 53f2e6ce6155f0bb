// A PgBouncer whose clients are held back while authority moves. No part of the boundary map: it says how clients wait, not
// what belongs to whom.
#pragma once

#include <string>

namespace pgcarve::model {

struct PoolerSettings {
    std::string dsn;      // of its console
    std::string database; // as pgbouncer.ini names it
};

} // namespace pgcarve::model
