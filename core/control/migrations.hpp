// The control schema's numbered migrations: embedded in the binary, applied in order, each in
// its own transaction together with its line in pgcarve.migration, never changed once released.
//
// Errors: "not-initialised", "control-older" (both: run `pgcarve init`), "control-newer" (this
// binary is too old), "control-changed" (a recorded checksum is not the embedded one).
#pragma once

#include <span>
#include <string>
#include <vector>

#include "pg/session.hpp"

namespace pgcarve::control {

struct Migration {
    int version;
    char const* name;
    char const* sql;
};

[[nodiscard]] std::span<Migration const> embedded_migrations();

// What `init` would apply now; empty when the schema is up to date.
[[nodiscard]] std::vector<Migration> pending_migrations(pg::Session& session, std::span<Migration const> all);
// Applies what is pending under an advisory lock, so that two operators do not race; returns what was applied.
std::vector<Migration> migrate(pg::Session& session, std::span<Migration const> all);
// Throws unless the schema is exactly the one which this binary knows.
void require_current(pg::Session& session, std::span<Migration const> all);

} // namespace pgcarve::control
