// What the files that use libpq itself share. Private to pg.
#pragma once

#include <memory>
#include <string_view>

#include <libpq-fe.h>

namespace pgcarve::pg {

struct ClearResult {
    void operator()(PGresult* result) const noexcept { PQclear(result); }
};
using Result = std::unique_ptr<PGresult, ClearResult>;

struct FinishConnection {
    void operator()(PGconn* connection) const noexcept { PQfinish(connection); }
};
using Connection = std::unique_ptr<PGconn, FinishConnection>;

// 57P0x: shutdown, crash, terminated by an administrator; 08xxx: connection exceptions; none at all: libpq's own word, not
// the server's, that the connection has broken.
[[nodiscard]] inline bool means_lost(std::string_view sqlstate, PGconn const* connection) {
    return sqlstate.empty() || sqlstate.starts_with("57P0") || sqlstate.starts_with("08") || PQstatus(connection) != CONNECTION_OK;
}

} // namespace pgcarve::pg
