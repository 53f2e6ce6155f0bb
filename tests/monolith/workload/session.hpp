// One connection of the workload: statements whose tables are found through a resolver, and
// transactions whose writes are recorded in the ledger.
//
// A statement is written as a template: {orders} becomes the table's qualified name in the schema where
// its service lives now, {=orders} the columns that the ledger vouches for.
//
// Shares no code with pgcarve on purpose: it is the witness.
//
// Errors: SqlError for what the server (or its absence) answers.
// Threads: a session belongs to one thread; cancel() may be called from another.
#pragma once

#include <libpq-fe.h>

#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ledger.hpp"
#include "tables.hpp"

namespace monolith {

struct SqlError : std::runtime_error {
    SqlError(std::string state, std::string const& message, bool is_lost)
        : std::runtime_error{message}
        , sqlstate{std::move(state)}
        , lost{is_lost} {}
    std::string sqlstate; // 08006 when the connection is lost without one
    bool lost;            // the connection is gone
    std::vector<std::string>
        services{}; // whose tables the refused statement named; all of the transaction's at COMMIT
};

// Thrown after COMMIT was sent and no answer came.
struct InDoubt : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Where each service's tables are: the shared schema, or a schema of the service's own.
class Resolver {
public:
    Resolver(std::string shared, std::map<std::string, std::string> carved, bool start_shared);

    [[nodiscard]] std::string const& schema_of(std::string const& service) const;
    // Turns to the other place. False when the service has only one.
    bool toggle(std::string const& service);
    [[nodiscard]] int epoch() const { return epoch_; } // changes with every toggle

private:
    std::string shared_;
    std::map<std::string, std::string> carved_;
    std::map<std::string, bool> in_shared_;
    int epoch_ = 0;
};

[[nodiscard]] std::string quoted(std::string_view identifier);

class Rows {
public:
    explicit Rows(PGresult* result)
        : result_{result, &PQclear} {}
    [[nodiscard]] int size() const { return PQntuples(result_.get()); }
    [[nodiscard]] bool empty() const { return size() == 0; }
    [[nodiscard]] int width() const { return PQnfields(result_.get()); }
    [[nodiscard]] bool is_null(int row, int column) const {
        return PQgetisnull(result_.get(), row, column) != 0;
    }
    [[nodiscard]] std::string_view at(int row, int column) const;
    [[nodiscard]] std::string text(int row, int column) const { return std::string{at(row, column)}; }
    [[nodiscard]] std::int64_t number(int row, int column) const;
    [[nodiscard]] PGresult* raw() const { return result_.get(); }

private:
    std::unique_ptr<PGresult, void (*)(PGresult*)> result_;
};

// args(1, "x", std::nullopt): parameters as text.
inline Value arg(std::nullopt_t) {
    return std::nullopt;
}
inline Value arg(Value v) {
    return v;
}
inline Value arg(std::string v) {
    return v;
}
inline Value arg(std::string_view v) {
    return std::string{v};
}
inline Value arg(char const* v) {
    return std::string{v};
}
inline Value arg(bool v) {
    return std::string{v ? "t" : "f"};
}
inline Value arg(std::int64_t v) {
    return std::to_string(v);
}
inline Value arg(int v) {
    return std::to_string(v);
}
template <class... Args>
std::vector<Value> args(Args&&... a) {
    return {arg(std::forward<Args>(a))...};
}
// {1,2,3}; the items need no quotes
[[nodiscard]] std::string array(std::vector<std::string> const& items);

class Session {
public:
    Session(std::string dsn, Resolver resolver, bool prepared, int statement_timeout_ms, std::string name);

    void connect(); // again, after a loss
    [[nodiscard]] bool connected() const { return connection_ != nullptr; }
    Rows run(std::string_view statement, std::vector<Value> const& parameters = {});
    // COPY … FROM STDIN; lines in text format, each with its line end.
    void copy(std::string_view statement, std::string const& lines);
    void cancel() noexcept; // whatever runs now
    Resolver& resolver() { return resolver_; }

    void forget_services() { services_used_.clear(); }
    [[nodiscard]] std::vector<std::string> const& services_used() const { return services_used_; }

private:
    struct Rendered {
        std::string sql;
        std::string name; // of the prepared statement; "" until prepared
        std::vector<std::string> services;
    };
    Rendered& render(std::string_view statement);
    Rows checked(PGresult* result, std::vector<std::string> const& services);
    [[noreturn]] void fail(PGresult const* result, std::vector<std::string> const& services);
    void disconnect();

    std::string dsn_;
    Resolver resolver_;
    bool prepared_;
    int statement_timeout_ms_;
    std::string name_;
    std::unique_ptr<PGconn, void (*)(PGconn*)> connection_{nullptr, &PQfinish};
    std::mutex cancel_mutex_;
    std::unique_ptr<PGcancel, void (*)(PGcancel*)> cancel_{nullptr, &PQfreeCancel};
    std::unordered_map<std::string, Rendered> cache_;
    int cache_epoch_ = 0;
    int next_statement_ = 0;
    std::vector<std::string> services_used_;
};

// One transaction in flight, in one database: what it wrote is collected, and goes to the ledger with its COMMIT.
class Transaction {
public:
    // `reader`: what read() asks when that is not this database; nullptr: it is.
    Transaction(Session& session, LedgerWriter& ledger, TransactionId id, Session* reader = nullptr);

    Rows run(std::string_view statement, std::vector<Value> const& parameters = {}) {
        return session_.run(statement, parameters);
    }
    // Of another service's tables, as they are now.
    Rows read(std::string_view statement, std::vector<Value> const& parameters = {}) {
        return (reader_ == nullptr ? session_ : *reader_).run(statement, parameters);
    }
    Session& session() { return session_; }
    [[nodiscard]] TransactionId id() const { return id_; }
    [[nodiscard]] bool wrote() const { return !writes_.empty(); }
    void belongs_to(TransactionId id) { id_ = id; } // for the one that makes the tenant

    // Records every row of a result whose columns are {=table}.
    void put(Table table, Rows const& rows);           // written by this client alone
    void put_versioned(Table table, Rows const& rows); // by anybody: ranked by its version column
    void put_under(Table table, Rows const& rows, std::int64_t parent_version);
    void put_values(Table table, std::vector<Value> const& values); // the same, known without asking
    void gone(Table table, Rows const& rows); // deleted; only the key columns are looked at
    void gone_under(Table table, Rows const& rows, std::int64_t parent_version);
    // The row that an audit trigger writes about this; of_seeded: for a row that is not our tenant's.
    void audited(std::string_view table, std::string_view key, char operation, std::int64_t version,
                 bool of_seeded = false);

    void begin(std::string_view isolation);
    void commit(std::string_view kind); // throws InDoubt, SqlError
    void rollback();                    // swallows a lost connection: then nothing was committed either
    // A single statement that is its own transaction; the writes must be known beforehand.
    void autocommit(std::string_view kind, std::string_view statement, std::vector<Value> const& parameters);

private:
    void record(Write write);
    void record_rows(Table table, Rows const& rows, char rank_kind, std::int64_t rank, bool deleted);
    template <class Action>
    void settle(std::string_view kind, Action&& action);

    Session& session_;
    Session* reader_;
    LedgerWriter& ledger_;
    TransactionId id_;
    std::vector<Write> writes_;
    bool begun_ = false;
};

} // namespace monolith
