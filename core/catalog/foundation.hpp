// Reads what tables stand on into a model::Foundation: types, functions, sequences, collations,
// text search, extensions and the schemas that hold them.
//
// The closure follows pg_depend. Bodies of functions are text to the server, so they are
// searched for names: of tables (Function::mentions) and of functions that they call, which
// then belong to it too (Function::by_text). Types and sequences that only a body names are
// not found.
//
// The queries run in the session's open transaction, or else in a read-only REPEATABLE READ
// one of their own; an ordinary role may run them all.
//
// Errors: those of the session; "server-version" (exit 2).
#pragma once

#include <vector>

#include "base/types.hpp"
#include "model/foundation.hpp"
#include "pg/session.hpp"

namespace pgcarve::catalog {

// `tables`: of one service, partitions too.
[[nodiscard]] model::Foundation read_foundation(pg::Session& session, std::vector<base::Oid> const& tables);

// What another database has under the names of `wanted`; all schemas and extensions, and what can be installed.
[[nodiscard]] model::Foundation read_foundation_like(pg::Session& session, model::Foundation const& wanted);

} // namespace pgcarve::catalog
