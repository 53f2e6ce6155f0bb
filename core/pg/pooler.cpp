#include "pg/pooler.hpp"

#include <chrono>

#include <fmt/format.h>
#include <poll.h>

#include "base/error.hpp"
#include "pg/conninfo.hpp"
#include "pg/libpq.hpp"
#include "sql/ident.hpp"

namespace pgcarve::pg {

namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void fail(std::string const& database, char const* what) {
    std::string text{what};
    while (!text.empty() && text.back() == '\n')
        text.pop_back();
    throw base::Error{base::Exit::unavailable, "pooler", fmt::format("PgBouncer's console, database {}: {}", database, text),
                      "see [pgbouncer] in pgcarve.toml; the user has to be one of admin_users"};
}

Connection connect(std::string const& dsn, std::string const& database) {
    auto keywords = parse_conninfo(dsn);
    keywords.try_emplace("connect_timeout", "5");
    keywords["application_name"] = "pgcarve pause";
    keywords.try_emplace("dbname", "pgbouncer");
    Connection connection{PQconnectdb(make_conninfo(keywords).c_str())};
    if (PQstatus(connection.get()) != CONNECTION_OK)
        fail(database, PQerrorMessage(connection.get()));
    return connection;
}

// False: no answer within `limit`.
bool answered(PGconn* connection, base::Millis limit) {
    for (auto const deadline = Clock::now() + limit; PQisBusy(connection) != 0;) {
        auto const left = std::chrono::duration_cast<base::Millis>(deadline - Clock::now()).count();
        if (left <= 0)
            return false;
        pollfd wait{PQsocket(connection), POLLIN, 0};
        poll(&wait, 1, static_cast<int>(left));
        if (PQconsumeInput(connection) == 0)
            return true; // with an error, which the result tells
    }
    return true;
}

} // namespace

Pooler::Pooler(std::string dsn, std::string database) : dsn_{std::move(dsn)}, database_{std::move(database)} {}

bool Pooler::pause(base::Millis limit) {
    auto const connection = connect(dsn_, database_);
    if (PQsendQuery(connection.get(), ("PAUSE " + sql::quote_ident(database_)).c_str()) == 0)
        fail(database_, PQerrorMessage(connection.get()));
    if (!answered(connection.get(), limit)) {
        resume(); // the console goes on pausing for a client that has gone
        return false;
    }
    Result const result{PQgetResult(connection.get())};
    if (PQresultStatus(result.get()) != PGRES_COMMAND_OK)
        fail(database_, result ? PQresultErrorMessage(result.get()) : PQerrorMessage(connection.get()));
    return true;
}

void Pooler::resume() {
    auto const connection = connect(dsn_, database_);
    Result const result{PQexec(connection.get(), ("RESUME " + sql::quote_ident(database_)).c_str())};
    if (PQresultStatus(result.get()) == PGRES_COMMAND_OK)
        return;
    std::string const message{result ? PQresultErrorMessage(result.get()) : PQerrorMessage(connection.get())};
    if (message.find("not paused") == std::string::npos)
        fail(database_, message.c_str());
}

} // namespace pgcarve::pg
