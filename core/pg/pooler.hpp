// The admin console of a PgBouncer: holds a database's clients back for a moment without an error, and lets them go on.
//
// The console speaks the simple query protocol only and knows no SQL, so this is no Session. Every call makes a connection
// of its own: a console that was lost in the middle leaves nothing to be mended here.
// Errors: base::Error "pooler" (exit 4) with what the console or libpq said; "bad-dsn" (exit 2).
// Threads: one at a time.
#pragma once

#include <string>

#include "base/duration.hpp"

namespace pgcarve::pg {

class Pooler {
public:
    // `database`: as pgbouncer.ini names it.
    Pooler(std::string dsn, std::string database);

    // Waits until every transaction that runs through the pool has ended; clients that begin another one wait from here
    // on. False when that took longer than `limit`: the pool runs again then.
    [[nodiscard]] bool pause(base::Millis limit);
    // Nothing, when it is not paused.
    void resume();

    [[nodiscard]] std::string const& database() const noexcept { return database_; }

private:
    std::string dsn_;
    std::string database_;
};

} // namespace pgcarve::pg
