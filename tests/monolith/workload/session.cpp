#include "session.hpp"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace monolith {

Resolver::Resolver(std::string shared, std::map<std::string, std::string> carved, bool start_shared)
    : shared_{std::move(shared)}
    , carved_{std::move(carved)} {
    for (auto const& entry : carved_) {
        in_shared_[entry.first] = start_shared;
    }
}

std::string const& Resolver::schema_of(std::string const& service) const {
    auto const at = carved_.find(service);
    return at == carved_.end() || in_shared_.at(service) ? shared_ : at->second;
}

bool Resolver::toggle(std::string const& service) {
    auto const at = in_shared_.find(service);
    if (at == in_shared_.end()) {
        return false;
    }
    at->second = !at->second;
    ++epoch_;
    return true;
}

std::string quoted(std::string_view identifier) {
    std::string out = "\"";
    for (char const c : identifier) {
        out += c;
        if (c == '"') {
            out += c;
        }
    }
    return out + '"';
}

std::string_view Rows::at(int row, int column) const {
    if (row >= size()) { // a row that this client wrote and nobody else may delete
        throw SqlError{"P0002", "a row that must be there is missing", false};
    }
    return {PQgetvalue(result_.get(), row, column),
            static_cast<std::size_t>(PQgetlength(result_.get(), row, column))};
}

std::int64_t Rows::number(int row, int column) const {
    auto const text = at(row, column);
    std::int64_t n = 0;
    auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
    if (error != std::errc{} || end != text.data() + text.size()) {
        throw std::runtime_error{fmt::format("not a number: '{}'", text)};
    }
    return n;
}

std::string array(std::vector<std::string> const& items) {
    return fmt::format("{{{}}}", fmt::join(items, ","));
}

// ---------------------------------------------------------------- Session

Session::Session(std::string dsn, Resolver resolver, bool prepared, int statement_timeout_ms,
                 std::string name)
    : dsn_{std::move(dsn)}
    , resolver_{std::move(resolver)}
    , prepared_{prepared}
    , statement_timeout_ms_{statement_timeout_ms}
    , name_{std::move(name)} {
    connect();
}

void Session::disconnect() {
    {
        std::lock_guard const lock{cancel_mutex_};
        cancel_.reset();
    }
    connection_.reset();
    cache_.clear();
}

void Session::connect() {
    disconnect();
    char const* const keys[] = {"dbname", "fallback_application_name", "client_encoding", nullptr};
    char const* const values[] = {dsn_.c_str(), name_.c_str(), "UTF8", nullptr};
    connection_.reset(PQconnectdbParams(keys, values, 1));
    if (PQstatus(connection_.get()) != CONNECTION_OK) {
        std::string const message = PQerrorMessage(connection_.get());
        connection_.reset();
        throw SqlError{"08001", message, true};
    }
    {
        std::lock_guard const lock{cancel_mutex_};
        cancel_.reset(PQgetCancel(connection_.get()));
    }
    run("SELECT set_config('TimeZone', 'UTC', false), set_config('DateStyle', 'ISO', false), "
        "set_config('bytea_output', 'hex', false), set_config('extra_float_digits', '1', false), "
        "set_config('statement_timeout', $1, false)",
        args(statement_timeout_ms_));
}

void Session::cancel() noexcept {
    std::lock_guard const lock{cancel_mutex_};
    char reason[256];
    if (cancel_) {
        PQcancel(cancel_.get(), reason, sizeof reason);
    }
}

Session::Rendered& Session::render(std::string_view statement) {
    if (cache_epoch_ != resolver_.epoch()) { // statements prepared for the old place stay there unused
        cache_.clear();
        cache_epoch_ = resolver_.epoch();
    }
    auto const [at, fresh] = cache_.try_emplace(std::string{statement});
    auto& rendered = at->second;
    while (fresh) {
        auto const open = statement.find('{');
        rendered.sql += statement.substr(0, open);
        if (open == std::string_view::npos) {
            break;
        }
        auto const close = statement.find('}', open);
        auto const name = statement.substr(open + 1, close - open - 1);
        if (name.substr(0, 1) == "=") {
            rendered.sql += find_spec(name.substr(1))->columns();
        } else {
            auto const service = service_of(name);
            rendered.sql += quoted(resolver_.schema_of(service)) + "." + quoted(name);
            rendered.services.push_back(service);
        }
        statement.remove_prefix(close + 1);
    }
    return rendered;
}

void Session::fail(PGresult const* result, std::vector<std::string> const& services) {
    bool const lost = PQstatus(connection_.get()) != CONNECTION_OK;
    char const* const state = result == nullptr ? nullptr : PQresultErrorField(result, PG_DIAG_SQLSTATE);
    char const* const primary =
        result == nullptr ? nullptr : PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    std::string message = primary == nullptr ? PQerrorMessage(connection_.get()) : primary;
    while (!message.empty() && message.back() == '\n') {
        message.pop_back();
    }
    SqlError error{state == nullptr ? "08006" : state, message, lost};
    error.services = services;
    if (lost) {
        disconnect();
    }
    throw error;
}

Rows Session::checked(PGresult* result, std::vector<std::string> const& services) {
    Rows rows{result};
    auto const status = PQresultStatus(result);
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK && status != PGRES_COPY_IN &&
        status != PGRES_COPY_OUT) {
        fail(result, services);
    }
    return rows;
}

Rows Session::run(std::string_view statement, std::vector<Value> const& parameters) {
    if (!connection_) {
        throw SqlError{"08003", "not connected", true};
    }
    auto& rendered = render(statement);
    services_used_.insert(services_used_.end(), rendered.services.begin(), rendered.services.end());
    std::vector<char const*> values;
    for (auto const& p : parameters) {
        values.push_back(p ? p->c_str() : nullptr);
    }
    auto const count = static_cast<int>(values.size());
    auto* const connection = connection_.get();
    if (!prepared_ || rendered.services.empty()) {
        return checked(count == 0 ? PQexec(connection, rendered.sql.c_str())
                                  : PQexecParams(connection, rendered.sql.c_str(), count, nullptr,
                                                 values.data(), nullptr, nullptr, 0),
                       rendered.services);
    }
    if (rendered.name.empty()) {
        auto const name = fmt::format("w{}", next_statement_++);
        checked(PQprepare(connection, name.c_str(), rendered.sql.c_str(), count, nullptr), rendered.services);
        rendered.name = name;
    }
    return checked(
        PQexecPrepared(connection, rendered.name.c_str(), count, values.data(), nullptr, nullptr, 0),
        rendered.services);
}

void Session::copy(std::string_view statement, std::string const& lines) {
    if (!connection_) {
        throw SqlError{"08003", "not connected", true};
    }
    auto const rendered = render(statement);
    services_used_.insert(services_used_.end(), rendered.services.begin(), rendered.services.end());
    auto* const connection = connection_.get();
    checked(PQexec(connection, rendered.sql.c_str()), rendered.services);
    if (PQputCopyData(connection, lines.data(), static_cast<int>(lines.size())) != 1 ||
        PQputCopyEnd(connection, nullptr) != 1) {
        fail(nullptr, rendered.services);
    }
    Rows const end = checked(PQgetResult(connection), rendered.services);
    while (PGresult* more = PQgetResult(connection)) {
        PQclear(more);
    }
}

// ---------------------------------------------------------------- Transaction

Transaction::Transaction(Session& session, LedgerWriter& ledger, TransactionId id, Session* reader)
    : session_{session}
    , reader_{reader}
    , ledger_{ledger}
    , id_{id} {
    session_.forget_services();
}

void Transaction::record(Write write) {
    // Written twice in one transaction: the last one stands. Versions are each recorded.
    auto const same = std::find_if(writes_.begin(), writes_.end(), [&write](Write const& w) {
        return w.table == write.table && w.rank == write.rank && w.key == write.key;
    });
    if (same == writes_.end()) {
        writes_.push_back(std::move(write));
    } else {
        *same = std::move(write);
    }
}

void Transaction::record_rows(Table table, Rows const& rows, char rank_kind, std::int64_t rank,
                              bool deleted) {
    auto const& columns = spec(table);
    auto const keys = static_cast<int>(columns.key.size());
    auto const version = std::find(columns.content.begin(), columns.content.end(), "version");
    for (int row = 0; row < rows.size(); ++row) {
        std::string key;
        RowHash content;
        for (int c = 0; c < keys; ++c) {
            key += (c == 0 ? "" : "/") + rows.text(row, c);
        }
        for (int c = keys; c < rows.width() && !deleted; ++c) {
            content.add(rows.is_null(row, c) ? std::nullopt : std::optional{rows.at(row, c)});
        }
        if (rank_kind == 'v') {
            rank = rows.number(row, keys + static_cast<int>(version - columns.content.begin()));
        }
        record({table, std::move(key), rank_kind, rank, deleted ? 0 : content.value()});
    }
}

void Transaction::put(Table table, Rows const& rows) {
    record_rows(table, rows, 's', id_.number, false);
}
void Transaction::put_versioned(Table table, Rows const& rows) {
    record_rows(table, rows, 'v', 0, false);
}
void Transaction::put_under(Table table, Rows const& rows, std::int64_t parent_version) {
    record_rows(table, rows, 'w', parent_version, false);
}
void Transaction::gone(Table table, Rows const& rows) {
    record_rows(table, rows, 's', id_.number, true);
}
void Transaction::gone_under(Table table, Rows const& rows, std::int64_t parent_version) {
    record_rows(table, rows, 'w', parent_version, true);
}

void Transaction::put_values(Table table, std::vector<Value> const& values) {
    std::string key;
    RowHash content;
    auto const keys = spec(table).key.size();
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (i < keys) {
            key += (i == 0 ? "" : "/") + values[i].value();
        } else {
            content.add(values[i]);
        }
    }
    record({table, std::move(key), 's', id_.number, content.value()});
}

void Transaction::audited(std::string_view table, std::string_view key, char operation, std::int64_t version,
                          bool of_seeded) {
    record({Table::audit_log, fmt::format("{}:{}:{}:{}", table, key, operation, version),
            of_seeded ? 'w' : 's', of_seeded ? version : id_.number, RowHash{}.value()});
}

void Transaction::begin(std::string_view isolation) {
    session_.run(fmt::format("BEGIN ISOLATION LEVEL {}", isolation));
    begun_ = true;
}

template <class Action>
void Transaction::settle(std::string_view kind, Action&& action) {
    if (!writes_.empty()) {
        ledger_.intent(id_, kind, writes_);
    }
    auto const refuse = [this] {
        if (!writes_.empty()) {
            ledger_.refused(id_);
        }
    };
    try {
        Rows const answer = action();
        // COMMIT of a failed transaction is answered by ROLLBACK, and is no error.
        if (std::string_view{PQcmdStatus(answer.raw())} == "ROLLBACK") {
            throw SqlError{"25P02", "COMMIT was answered by ROLLBACK", false};
        }
    } catch (SqlError& e) {
        if (e.lost) {
            throw InDoubt{e.what()};
        }
        if (e.services.empty()) {
            e.services = session_.services_used();
        }
        refuse();
        throw;
    }
    if (!writes_.empty()) {
        ledger_.acknowledged(id_);
    }
}

void Transaction::commit(std::string_view kind) {
    begun_ = false; // whatever the answer is
    settle(kind, [this] { return session_.run("COMMIT"); });
}

void Transaction::autocommit(std::string_view kind, std::string_view statement,
                             std::vector<Value> const& parameters) {
    settle(kind, [&] { return session_.run(statement, parameters); });
}

void Transaction::rollback() {
    if (!begun_ || !session_.connected()) {
        return;
    }
    begun_ = false;
    try {
        session_.run("ROLLBACK");
    } catch (SqlError const& e) {
        if (!e.lost) {
            throw;
        }
    }
}

} // namespace monolith
