#include "pg/session.hpp"

#include <cstdlib>
#include <mutex>
#include <utility>

#include <fmt/format.h>
#include <pqxx/pqxx>

#include "pg/conninfo.hpp"
#include "pg/pinned.hpp"

namespace pgcarve::pg {

SqlError::SqlError(std::string sqlstate, std::string message, std::string statement)
    : base::Error{base::Exit::needs_decision, "sql-" + sqlstate, std::move(message)}
    , sqlstate_{std::move(sqlstate)}
    , statement_{std::move(statement)} {}

// ---- rows

struct Rows::Impl {
    pqxx::result result;
};

std::size_t Rows::size() const noexcept { return impl_->result.size(); }
std::size_t Rows::affected() const noexcept { return impl_->result.affected_rows(); }
Row Rows::operator[](std::size_t index) const { return Row{impl_, index}; }
Row Rows::iterator::operator*() const { return (*rows_)[at_]; }

namespace {

pqxx::field field_of(pqxx::result const& result, std::size_t at, std::string const& column) {
    return result[static_cast<pqxx::result::size_type>(at)][column];
}

pqxx::field field_of(pqxx::result const& result, std::size_t at, int column) {
    return result[static_cast<pqxx::result::size_type>(at)][static_cast<pqxx::row::size_type>(column)];
}

std::optional<std::string> value_of(pqxx::field const& field) {
    if (field.is_null())
        return std::nullopt;
    return std::string{field.c_str(), field.size()};
}

std::string required(std::optional<std::string> value, std::string const& column) {
    if (!value)
        base::bug(fmt::format("column {} of a catalog query is NULL", column));
    return *std::move(value);
}

long long to_integer(std::string const& text) {
    char* end = nullptr;
    auto const number = std::strtoll(text.c_str(), &end, 10);
    if (text.empty() || *end != '\0')
        base::bug(fmt::format("'{}' is not an integer", text));
    return number;
}

} // namespace

std::optional<std::string> Row::maybe(std::string_view column) const {
    return value_of(field_of(impl_->result, at_, std::string{column}));
}
std::optional<std::string> Row::maybe(int column) const { return value_of(field_of(impl_->result, at_, column)); }
std::string Row::text(std::string_view column) const { return required(maybe(column), std::string{column}); }
std::string Row::text(int column) const { return required(maybe(column), fmt::format("#{}", column)); }
long long Row::integer(std::string_view column) const { return to_integer(text(column)); }
long long Row::integer(int column) const { return to_integer(text(column)); }

double Row::real(std::string_view column) const {
    auto const value = text(column);
    char* end = nullptr;
    double const number = std::strtod(value.c_str(), &end);
    if (value.empty() || *end != '\0')
        base::bug(fmt::format("'{}' is not a number", value));
    return number;
}

bool Row::boolean(std::string_view column) const {
    auto const value = text(column);
    if (value != "t" && value != "f")
        base::bug(fmt::format("'{}' is not a boolean", value));
    return value == "t";
}

char Row::letter(std::string_view column) const {
    auto const value = maybe(column);
    return value && !value->empty() ? value->front() : char{0};
}

std::vector<std::string> Row::array(std::string_view column) const {
    auto const value = maybe(column);
    return value ? parse_array(*value) : std::vector<std::string>{};
}

std::vector<std::string> parse_array(std::string_view text) {
    std::vector<std::string> items;
    if (text.size() < 2 || text.front() != '{' || text.back() != '}')
        base::bug(fmt::format("'{}' is not an array", text));
    std::size_t at = 1;
    std::size_t const end = text.size() - 1;
    while (at < end) {
        std::string item;
        if (text[at] == '"') {
            ++at;
            while (at < end && text[at] != '"') {
                if (text[at] == '\\')
                    ++at;
                item += text[at++];
            }
            ++at;
        } else {
            while (at < end && text[at] != ',')
                item += text[at++];
            if (item == "NULL")
                item.clear();
        }
        items.push_back(std::move(item));
        if (at < end && text[at] == ',')
            ++at;
    }
    return items;
}

std::string format_array(std::vector<std::string> const& items) {
    std::string out = "{";
    for (auto const& item : items) {
        if (out.size() > 1)
            out += ',';
        out += '"';
        for (char const c : item) {
            if (c == '"' || c == '\\')
                out += '\\';
            out += c;
        }
        out += '"';
    }
    return out + "}";
}

// ---- session

struct Session::Impl {
    SessionSettings settings;
    std::unique_ptr<pqxx::connection> connection;
    std::unique_ptr<pqxx::quiet_errorhandler> quiet;
    std::unique_ptr<pqxx::nontransaction> work;
    bool in_transaction = false;
    bool lost = false;

    [[nodiscard]] std::string where() const {
        return fmt::format("{}@{}:{}/{}", connection->username() ? connection->username() : "?",
                           connection->hostname() ? connection->hostname() : "local",
                           connection->port() ? connection->port() : "?",
                           connection->dbname() ? connection->dbname() : "?");
    }

    [[noreturn]] void lose(std::string const& why) {
        lost = true;
        in_transaction = false;
        throw base::Error{base::Exit::unavailable, "server-lost", fmt::format("the connection was lost: {}", why),
                          "run the same command again once the server is reachable: it goes on where it stopped"};
    }

    template <typename Run>
    Rows guarded(std::string const& statement, Run run) {
        if (lost)
            lose("it had been lost before");
        try {
            return Rows{std::make_shared<Rows::Impl const>(Rows::Impl{run()})};
        } catch (pqxx::broken_connection const& e) {
            lose(first_line(e.what()));
        } catch (pqxx::deadlock_detected const& e) { // these three come without their SQLSTATE from libpqxx 6
            throw SqlError{std::string{sqlstate::deadlock_detected}, tidy(e.what()), statement};
        } catch (pqxx::serialization_failure const& e) {
            throw SqlError{std::string{sqlstate::serialization_failure}, tidy(e.what()), statement};
        } catch (pqxx::insufficient_privilege const& e) {
            throw SqlError{std::string{sqlstate::insufficient_privilege}, tidy(e.what()), statement};
        } catch (pqxx::sql_error const& e) {
            auto const state = e.sqlstate();
            // 57P0x: shutdown, crash, terminated by an administrator; 08xxx: connection exceptions; none at all: libpq's
            // own word, not the server's, that the connection has broken.
            if (state.empty() || state.starts_with("57P0") || state.starts_with("08") || !connection->is_open())
                lose(first_line(e.what()));
            throw SqlError{state, tidy(e.what()), statement};
        } catch (pqxx::failure const& e) {
            if (!connection->is_open())
                lose(first_line(e.what()));
            throw SqlError{"XX000", tidy(e.what()), statement};
        }
    }

    static std::string first_line(std::string const& text) { return tidy(text.substr(0, text.find('\n'))); }

    // "ERROR:  relation does not exist\nLINE 1: …" -> without the prefix and the trailing newline.
    static std::string tidy(std::string text) {
        for (std::string_view const prefix : {"ERROR:  ", "FATAL:  "}) {
            if (text.starts_with(prefix))
                text.erase(0, prefix.size());
        }
        while (!text.empty() && (text.back() == '\n' || text.back() == ' '))
            text.pop_back();
        return text;
    }
};

std::string pinned_settings(SessionSettings const& settings) {
    return fmt::format("SET search_path = pg_catalog; SET lock_timeout = {}; SET statement_timeout = {};"
                       " SET idle_in_transaction_session_timeout = 0; SET row_security = off;"
                       " SET client_min_messages = warning; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres';"
                       " SET TimeZone = 'UTC'; SET extra_float_digits = 3; SET bytea_output = 'hex';"
                       " SET lc_monetary = 'C';"
                       " SET xmloption = 'content'; SET standard_conforming_strings = on; SET synchronous_commit = on;"
                       " SET default_transaction_read_only = off; SET default_transaction_isolation = 'read committed'",
                       settings.lock_timeout.count(), settings.statement_timeout.count());
}

Session::Session(SessionSettings settings) : impl_{std::make_unique<Impl>()} {
    auto keywords = parse_conninfo(settings.dsn);
    keywords["application_name"] = "pgcarve " + settings.purpose;
    keywords["client_encoding"] = "UTF8";
    if (!keywords.contains("connect_timeout")) {
        auto const seconds = std::chrono::duration_cast<std::chrono::seconds>(settings.connect_timeout).count();
        keywords["connect_timeout"] = std::to_string(seconds);
    }
    impl_->settings = std::move(settings);
    try {
        impl_->connection = std::make_unique<pqxx::connection>(make_conninfo(keywords));
    } catch (pqxx::broken_connection const& e) {
        throw base::Error{base::Exit::unavailable, "unreachable",
                          fmt::format("cannot connect: {}", Impl::tidy(e.what())),
                          "check the dsn in pgcarve.toml and that the server accepts this role; "
                          "`psql` with the same connection string shows the same"};
    }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    // libpqxx 6 reconnects by itself otherwise, and the new session has none of our locks and settings.
    impl_->connection->inhibit_reactivation(true);
#pragma GCC diagnostic pop
    impl_->quiet = std::make_unique<pqxx::quiet_errorhandler>(*impl_->connection);
    impl_->work = std::make_unique<pqxx::nontransaction>(*impl_->connection);
    run(pinned_settings(impl_->settings));
    // A lease's session sits idle for as long as the verb works, a verification is one long transaction.
    if (server_version() >= 140000)
        run("SET idle_session_timeout = 0");
    if (server_version() >= 170000)
        run("SET transaction_timeout = 0");
}

Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;
Session::~Session() = default;

Rows Session::query(sql::Sql const& sql) {
    std::vector<char const*> values;
    values.reserve(sql.values().size());
    for (auto const& value : sql.values())
        values.push_back(value ? value->c_str() : nullptr);
    return impl_->guarded(sql.text(), [&] {
        return impl_->work->exec_params(sql.text(), pqxx::prepare::make_dynamic_params(values.begin(), values.end()));
    });
}

Row Session::one(sql::Sql const& sql) {
    auto const rows = query(sql);
    if (rows.size() != 1)
        base::bug(fmt::format("a query for one row returned {}: {}", rows.size(), sql.text()));
    return rows[0];
}

std::optional<Row> Session::maybe_one(sql::Sql const& sql) {
    auto const rows = query(sql);
    if (rows.size() > 1)
        base::bug(fmt::format("a query for at most one row returned {}: {}", rows.size(), sql.text()));
    if (rows.empty())
        return std::nullopt;
    return rows[0];
}

void Session::run(std::string const& statement) {
    impl_->guarded(statement, [&] { return impl_->work->exec(statement); });
}

int Session::server_version() const { return impl_->connection->server_version(); }
int Session::backend_pid() const { return impl_->connection->backendpid(); }
std::string const& Session::dsn() const { return impl_->settings.dsn; }
bool Session::in_transaction() const { return impl_->in_transaction; }
bool Session::alive() const noexcept { return !impl_->lost && impl_->connection->is_open(); }
std::string Session::describe() const { return impl_->where(); }

void Session::cancel() noexcept {
    try {
        impl_->connection->cancel_query();
    } catch (std::exception const&) { // NOLINT(bugprone-empty-catch)
        // Nothing ran, or the server is gone: either way there is nothing left to cancel.
    }
}

// ---- transaction

Transaction::Transaction(Session& session, Isolation isolation, Access access) : session_{session} {
    if (session_.impl_->in_transaction)
        base::bug("a transaction was begun inside a transaction");
    session_.run(fmt::format("BEGIN ISOLATION LEVEL {} {}",
                             isolation == Isolation::read_committed ? "READ COMMITTED" : "REPEATABLE READ",
                             access == Access::read_write ? "READ WRITE" : "READ ONLY"));
    session_.impl_->in_transaction = true;
}

Transaction::~Transaction() {
    if (!open_)
        return;
    try {
        abort();
    } catch (std::exception const&) { // NOLINT(bugprone-empty-catch)
        // The session is lost, and the server aborts the transaction by itself.
    }
}

void Transaction::commit() {
    open_ = false;
    session_.impl_->in_transaction = false;
    try {
        session_.run("COMMIT");
    } catch (SqlError const&) {
        throw;
    } catch (base::Error const& e) {
        throw base::Error{base::Exit::unavailable, "in-doubt",
                          fmt::format("the connection was lost while a commit was under way: {}", e.message()),
                          "run the same command again: it first looks whether the commit took place"};
    }
}

void Transaction::abort() {
    if (!open_)
        return;
    open_ = false;
    session_.impl_->in_transaction = false;
    if (session_.alive())
        session_.run("ROLLBACK");
}

void Transaction::lock_timeout(base::Millis limit) {
    session_.run(fmt::format("SET LOCAL lock_timeout = {}", limit.count()));
}

void Transaction::statement_timeout(base::Millis limit) {
    session_.run(fmt::format("SET LOCAL statement_timeout = {}", limit.count()));
}

} // namespace pgcarve::pg
