// What refuses writes to a table while another database has the authority over it.
//
// Installed disarmed beside a live table, so that the switch has only to enable it. The stream's own session gets through
// (pgcarve.mirror = on). Other names than the fence's: a service that took the schema hop first has both.
// Pure.
#pragma once

#include <string>
#include <vector>

#include "mirrorgen/mirrorgen.hpp"

namespace pgcarve::mirrorgen {

struct WriteLock {
    sql::QName table; // a root
    bool partitioned = false;
    std::vector<sql::QName> partitions; // all levels
    std::vector<std::string> owners;
    std::string message; // of the refusal, SQLSTATE PGC01
    std::string hint;
};

// Reads it off the catalog; `table` must be known there.
[[nodiscard]] WriteLock write_lock_of(model::Table const& table, model::Catalog const& catalog, std::string message, std::string hint);

// For install(), enable(), disable(), drop() and drift().
[[nodiscard]] Machinery write_lock(WriteLock const& lock);

} // namespace pgcarve::mirrorgen
