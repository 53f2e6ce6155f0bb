// The describing half of the foundation reader: oids in, values out. Only foundation.cpp uses it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "model/foundation.hpp"
#include "pg/session.hpp"

namespace pgcarve::catalog {

using Oids = std::vector<std::uint32_t>;

// oids by the catalog in which they stand: "pg_type", "pg_proc" …
using OidsByClass = std::map<std::string, Oids>;

[[nodiscard]] std::string oid_array(Oids const& oids);

// Fills every list of things that `oids` names, and returns the id under which each of them is known in Foundation::needs.
// What is not described has no id.
std::map<std::pair<std::string, std::uint32_t>, std::string> describe(pg::Session& session, model::Foundation& out,
                                                                      OidsByClass const& oids);
// Database, schemas, extensions; the role's rights to make more.
void describe_database(pg::Session& session, model::Foundation& out);

} // namespace pgcarve::catalog
