// One connection to one server, for catalog and control queries.
//
// A session that is lost stays lost (Errors with code "server-lost", exit 4): it never
// reconnects by itself, since a new connection would have forgotten locks, settings and
// snapshots. Every session is pinned: search_path = pg_catalog, UTF8, ISO dates in UTC,
// full float digits, row_security = off (an error instead of silently filtered rows).
//
// Errors: SqlError (the server refused a statement, with its SQLSTATE), base::Error
// "unreachable" / "server-lost" / "in-doubt" (a COMMIT was sent and its answer was lost:
// re-read the state before acting).
//
// Threads: one thread at a time; only cancel() may be called from another one.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/duration.hpp"
#include "base/error.hpp"
#include "sql/builder.hpp"

namespace pgcarve::pg {

// The server refused a statement.
class SqlError : public base::Error {
public:
    SqlError(std::string sqlstate, std::string message, std::string statement);
    [[nodiscard]] std::string const& sqlstate() const noexcept { return sqlstate_; }
    [[nodiscard]] std::string const& statement() const noexcept { return statement_; }

private:
    std::string sqlstate_;
    std::string statement_;
};

namespace sqlstate {
inline constexpr std::string_view lock_not_available = "55P03";
inline constexpr std::string_view deadlock_detected = "40P01";
inline constexpr std::string_view serialization_failure = "40001";
inline constexpr std::string_view disk_full = "53100";
inline constexpr std::string_view insufficient_privilege = "42501";
inline constexpr std::string_view query_canceled = "57014";
inline constexpr std::string_view undefined_table = "42P01";
inline constexpr std::string_view undefined_column = "42703";
inline constexpr std::string_view unique_violation = "23505";
inline constexpr std::string_view foreign_key_violation = "23503";
inline constexpr std::string_view moved = "PGC01"; // raised by pgcarve's fences
} // namespace sqlstate

class Row;

// The rows of one query. Cheap to copy; valid independently of the session.
class Rows {
public:
    [[nodiscard]] std::size_t size() const noexcept;
    [[nodiscard]] bool empty() const noexcept { return size() == 0; }
    [[nodiscard]] Row operator[](std::size_t index) const;
    [[nodiscard]] std::size_t affected() const noexcept; // rows that INSERT/UPDATE/DELETE touched

    class iterator {
    public:
        iterator(Rows const* rows, std::size_t at) : rows_{rows}, at_{at} {}
        Row operator*() const;
        iterator& operator++() { ++at_; return *this; }
        bool operator!=(iterator const& other) const { return at_ != other.at_; }

    private:
        Rows const* rows_;
        std::size_t at_;
    };
    [[nodiscard]] iterator begin() const { return {this, 0}; }
    [[nodiscard]] iterator end() const { return {this, size()}; }

    struct Impl;
    explicit Rows(std::shared_ptr<Impl const> impl) : impl_{std::move(impl)} {}

private:
    friend class Row;
    std::shared_ptr<Impl const> impl_;
};

// Columns are taken by name or position; a NULL read by a getter without "maybe" is a bug and throws so.
class Row {
public:
    Row(std::shared_ptr<Rows::Impl const> impl, std::size_t at) : impl_{std::move(impl)}, at_{at} {}
    [[nodiscard]] std::string text(std::string_view column) const;
    [[nodiscard]] std::string text(int column) const;
    [[nodiscard]] std::optional<std::string> maybe(std::string_view column) const;
    [[nodiscard]] std::optional<std::string> maybe(int column) const;
    [[nodiscard]] long long integer(std::string_view column) const;
    [[nodiscard]] long long integer(int column) const;
    [[nodiscard]] double real(std::string_view column) const;
    [[nodiscard]] bool boolean(std::string_view column) const;
    [[nodiscard]] char letter(std::string_view column) const; // a "char" column; 0 when empty or NULL
    // A one-dimensional text[] without NULLs; NULL reads as empty.
    [[nodiscard]] std::vector<std::string> array(std::string_view column) const;

private:
    std::shared_ptr<Rows::Impl const> impl_;
    std::size_t at_;
};

// Parses the text form of a one-dimensional array; NULL elements become empty strings.
[[nodiscard]] std::vector<std::string> parse_array(std::string_view text);
// The text form that a text[] parameter takes.
[[nodiscard]] std::string format_array(std::vector<std::string> const& items);

struct SessionSettings {
    std::string dsn;     // any libpq connection string; environment and service files apply
    std::string purpose; // shown in application_name as "pgcarve <purpose>"
    base::Millis lock_timeout{2000};
    base::Millis statement_timeout{0}; // 0: none
    base::Millis connect_timeout{10'000};
};

class Session {
public:
    explicit Session(SessionSettings settings);
    Session(Session&&) noexcept;
    Session& operator=(Session&&) noexcept;
    ~Session();

    // One statement with its bound values, in the open transaction or on its own.
    Rows query(sql::Sql const& sql);
    // Exactly one row, else a bug.
    Row one(sql::Sql const& sql);
    // None or one row.
    std::optional<Row> maybe_one(sql::Sql const& sql);
    // A statement (or several, separated by ;) without values, as planned steps hold them.
    void run(std::string const& statement);

    [[nodiscard]] int server_version() const; // server_version_num
    [[nodiscard]] int backend_pid() const;
    [[nodiscard]] std::string const& dsn() const;
    [[nodiscard]] bool in_transaction() const;
    [[nodiscard]] bool alive() const noexcept;

    // Asks the server to cancel what runs now. The one call allowed from another thread.
    void cancel() noexcept;

    // The host, port, database and user which the connection has, for messages: no password.
    [[nodiscard]] std::string describe() const;

private:
    friend class Transaction;
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

enum class Isolation { read_committed, repeatable_read };
enum class Access { read_write, read_only };

// A transaction that aborts in its destructor unless committed. One at a time per session.
class Transaction {
public:
    explicit Transaction(Session& session, Isolation isolation = Isolation::read_committed,
                         Access access = Access::read_write);
    Transaction(Transaction const&) = delete;
    Transaction& operator=(Transaction const&) = delete;
    ~Transaction();

    void commit(); // throws "in-doubt" when the answer was lost
    void abort();

    // SET LOCAL lock_timeout / statement_timeout for the rest of the transaction.
    void lock_timeout(base::Millis limit);
    void statement_timeout(base::Millis limit);

    [[nodiscard]] Session& session() noexcept { return session_; }

private:
    Session& session_;
    bool open_ = true;
};

} // namespace pgcarve::pg
