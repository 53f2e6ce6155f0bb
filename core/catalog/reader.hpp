// Reads pg_catalog into a model::Catalog: every user table with all that it is made of, and
// what hangs on it.
//
// Left out: the server's own schemas, temporary tables, the schema "pgcarve", objects that
// belong to an extension, and the triggers that pgcarve made. Nothing needs more rights
// than an ordinary role has.
//
// The queries run in the session's open transaction, or else in a read-only REPEATABLE READ
// one of their own, so that they see one state. Their number does not depend on the number
// of tables. Sizes of tables that somebody holds (or wants) exclusively are taken from the
// statistics instead of waiting for them.
//
// Errors: those of the session; "server-version" (exit 2).
#pragma once

#include "model/catalog.hpp"
#include "pg/session.hpp"

namespace pgcarve::catalog {

[[nodiscard]] model::Catalog read_catalog(pg::Session& session);

} // namespace pgcarve::catalog
