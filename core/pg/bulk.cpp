#include "pg/bulk.hpp"

#include <array>
#include <charconv>
#include <cstring>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>
#include <libpq-fe.h>

#include "base/error.hpp"
#include "pg/conninfo.hpp"
#include "pg/libpq.hpp"
#include "pg/pinned.hpp"

namespace pgcarve::pg {

namespace {

constexpr unsigned text_type = 25;
constexpr std::size_t array_header = 20;
constexpr std::size_t copy_message = 64U << 10U;

void put_int(std::string& to, std::uint32_t value) {
    std::array<char, 4> const bytes{static_cast<char>(value >> 24), static_cast<char>(value >> 16), static_cast<char>(value >> 8),
                                    static_cast<char>(value)};
    to.append(bytes.data(), bytes.size());
}

std::string without_newline(char const* message) {
    std::string text{message != nullptr ? message : ""};
    while (!text.empty() && (text.back() == '\n' || text.back() == ' '))
        text.pop_back();
    return text;
}

// Message, detail and hint, as psql shows them.
std::string message_of(PGresult const* result) {
    auto const part = [&](int field) { return PQresultErrorField(result, field); };
    std::string text = part(PG_DIAG_MESSAGE_PRIMARY) != nullptr ? part(PG_DIAG_MESSAGE_PRIMARY) : without_newline(PQresultErrorMessage(result));
    if (auto const* const detail = part(PG_DIAG_MESSAGE_DETAIL))
        text += fmt::format("\nDETAIL:  {}", detail);
    if (auto const* const context = part(PG_DIAG_CONTEXT))
        text += fmt::format("\nCONTEXT:  {}", context);
    return text;
}

} // namespace

// ---- arrays

void TextArray::clear() {
    buffer_.assign(array_header, '\0');
    size_ = 0;
}

void TextArray::add(std::string_view value) {
    put_int(buffer_, static_cast<std::uint32_t>(value.size()));
    buffer_.append(value);
    ++size_;
}

void TextArray::add_null() {
    put_int(buffer_, 0xFFFFFFFFU);
    ++size_;
}

std::string_view TextArray::finish() {
    std::string header;
    put_int(header, size_ > 0 ? 1 : 0); // dimensions
    put_int(header, 1);                 // may hold NULLs
    put_int(header, text_type);
    put_int(header, static_cast<std::uint32_t>(size_));
    put_int(header, 1); // the first index
    std::memcpy(buffer_.data(), header.data(), array_header);
    return size_ > 0 ? std::string_view{buffer_} : std::string_view{buffer_}.substr(0, 12);
}

// ---- connection

struct Bulk::Impl {
    SessionSettings settings;
    Connection connection;
    std::unordered_map<std::string, std::string> prepared; // statement -> name
    bool lost = false;

    [[noreturn]] void lose(std::string const& why) {
        lost = true;
        throw base::Error{base::Exit::unavailable, "server-lost", fmt::format("the connection was lost: {}", why),
                          "run the same command again once the server is reachable: it goes on where it stopped"};
    }

    PGconn* usable() {
        if (lost)
            lose("it had been lost before");
        return connection.get();
    }

    Result checked(PGresult* raw, std::string const& statement) {
        Result result{raw};
        auto const status = PQresultStatus(result.get());
        if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_COPY_IN || status == PGRES_COPY_OUT)
            return result;
        fail(result.get(), statement);
    }

    [[noreturn]] void fail(PGresult const* result, std::string const& statement) {
        auto const* const state = result != nullptr ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : nullptr;
        std::string_view const code = state != nullptr ? state : "";
        if (means_lost(code, connection.get()))
            lose(without_newline(result != nullptr ? PQresultErrorMessage(result) : PQerrorMessage(connection.get())));
        throw SqlError{std::string{code}, message_of(result), statement};
    }

    // After a COPY, and where a statement may have more than one result.
    long long drain(std::string const& statement) {
        long long rows = 0;
        std::exception_ptr first;
        while (auto* const raw = PQgetResult(connection.get())) {
            try {
                auto const result = checked(raw, statement);
                std::string_view const count = PQcmdTuples(result.get());
                std::from_chars(count.data(), count.data() + count.size(), rows);
            } catch (...) {
                if (!first)
                    first = std::current_exception();
                if (lost)
                    break;
            }
        }
        if (first)
            std::rethrow_exception(first);
        return rows;
    }

    std::string const& prepare(std::string const& statement, std::size_t parameters) {
        auto const at = prepared.find(statement);
        if (at != prepared.end())
            return at->second;
        constexpr Oid text_array = 1009;
        std::vector<Oid> const types(parameters, text_array);
        auto name = fmt::format("pgcarve_{}", prepared.size() + 1);
        checked(PQprepare(usable(), name.c_str(), statement.c_str(), static_cast<int>(parameters), types.data()), statement);
        return prepared.emplace(statement, std::move(name)).first->second;
    }
};

Bulk::Bulk(SessionSettings const& settings) : impl_{std::make_unique<Impl>()} {
    auto keywords = parse_conninfo(settings.dsn);
    keywords["application_name"] = "pgcarve " + settings.purpose;
    keywords["client_encoding"] = "UTF8";
    if (!keywords.contains("connect_timeout"))
        keywords["connect_timeout"] = std::to_string(std::chrono::duration_cast<std::chrono::seconds>(settings.connect_timeout).count());
    impl_->settings = settings;
    impl_->connection.reset(PQconnectdb(make_conninfo(keywords).c_str()));
    if (PQstatus(impl_->connection.get()) != CONNECTION_OK) {
        throw base::Error{base::Exit::unavailable, "unreachable",
                          fmt::format("cannot connect: {}", without_newline(PQerrorMessage(impl_->connection.get()))),
                          "check the dsn in pgcarve.toml and that the server accepts this role; "
                          "`psql` with the same connection string shows the same"};
    }
    PQsetNoticeProcessor(impl_->connection.get(), [](void*, char const*) {}, nullptr);
    run(pinned_settings(settings));
    if (server_version() >= 140000)
        run("SET idle_session_timeout = 0");
    if (server_version() >= 170000)
        run("SET transaction_timeout = 0");
}

Bulk::Bulk(Bulk&&) noexcept = default;
Bulk& Bulk::operator=(Bulk&&) noexcept = default;
Bulk::~Bulk() = default;

void Bulk::run(std::string const& statement) { impl_->checked(PQexec(impl_->usable(), statement.c_str()), statement); }

std::optional<std::string> Bulk::value(sql::Sql const& sql) {
    std::vector<char const*> values;
    for (auto const& v : sql.values())
        values.push_back(v ? v->c_str() : nullptr);
    auto const result = impl_->checked(PQexecParams(impl_->usable(), sql.text().c_str(), static_cast<int>(values.size()), nullptr,
                                                    values.data(), nullptr, nullptr, 0),
                                       sql.text());
    if (PQntuples(result.get()) == 0 || PQnfields(result.get()) == 0 || PQgetisnull(result.get(), 0, 0) != 0)
        return std::nullopt;
    return std::string{PQgetvalue(result.get(), 0, 0), static_cast<std::size_t>(PQgetlength(result.get(), 0, 0))};
}

long long Bulk::execute(std::string const& statement, std::span<TextArray> columns) {
    auto const& name = impl_->prepare(statement, columns.size());
    std::vector<char const*> values;
    std::vector<int> lengths;
    std::vector<int> const formats(columns.size(), 1);
    for (auto& column : columns) {
        auto const bytes = column.finish();
        values.push_back(bytes.data());
        lengths.push_back(static_cast<int>(bytes.size()));
    }
    auto const result = impl_->checked(PQexecPrepared(impl_->usable(), name.c_str(), static_cast<int>(columns.size()), values.data(),
                                                      lengths.data(), formats.data(), 0),
                                       statement);
    std::string_view const count = PQcmdTuples(result.get());
    long long rows = 0;
    std::from_chars(count.data(), count.data() + count.size(), rows);
    return rows;
}

void Bulk::begin(Isolation isolation, Access access) {
    run(fmt::format("BEGIN ISOLATION LEVEL {} {}", isolation == Isolation::read_committed ? "READ COMMITTED" : "REPEATABLE READ",
                    access == Access::read_write ? "READ WRITE" : "READ ONLY"));
}

void Bulk::commit() {
    auto* const connection = impl_->usable(); // lost before it was sent, nothing is in doubt
    try {
        auto const result = impl_->checked(PQexec(connection, "COMMIT"), "COMMIT");
        if (std::string_view{PQcmdStatus(result.get())} == "ROLLBACK") // of a transaction that had failed
            base::bug("a failed transaction was committed");
    } catch (SqlError const&) {
        throw;
    } catch (base::Error const& e) {
        if (e.code() != "server-lost")
            throw;
        throw base::Error{base::Exit::unavailable, "in-doubt",
                          fmt::format("the connection was lost while a commit was under way: {}", e.message()),
                          "run the same command again: it first looks whether the commit took place"};
    }
}

void Bulk::rollback() {
    if (alive())
        run("ROLLBACK");
}

bool Bulk::in_transaction() const { return PQtransactionStatus(impl_->connection.get()) != PQTRANS_IDLE; }

// ---- COPY

void Bulk::copy_out(std::string const& statement, std::function<void(std::string_view)> const& take) {
    impl_->checked(PQexec(impl_->usable(), statement.c_str()), statement);
    auto* const connection = impl_->connection.get();
    struct Free {
        void operator()(char* p) const noexcept { PQfreemem(p); }
    };
    for (;;) {
        char* raw = nullptr;
        int const length = PQgetCopyData(connection, &raw, 0);
        std::unique_ptr<char, Free> const piece{raw};
        if (length < 0)
            break; // the end, or an error which drain() throws
        try {
            take({piece.get(), static_cast<std::size_t>(length)});
        } catch (...) {
            cancel();
            try {
                char* rest = nullptr;
                while (PQgetCopyData(connection, &rest, 0) > 0) {
                    PQfreemem(rest);
                    rest = nullptr;
                }
                impl_->drain(statement);
            } catch (base::Error const&) { // NOLINT(bugprone-empty-catch)
                // The cancellation that was asked for, or a connection lost as well: the reason is the first error.
            }
            throw;
        }
    }
    impl_->drain(statement);
}

Bulk::CopyIn::CopyIn(Bulk& bulk, std::string const& statement) : bulk_{bulk}, statement_{statement} {
    bulk_.impl_->checked(PQexec(bulk_.impl_->usable(), statement.c_str()), statement);
}

Bulk::CopyIn::~CopyIn() {
    if (!open_ || !bulk_.alive())
        return;
    try {
        PQputCopyEnd(bulk_.impl_->connection.get(), "broken off");
        bulk_.impl_->drain(statement_);
    } catch (base::Error const&) { // NOLINT(bugprone-empty-catch)
        // The failure that was asked for.
    }
}

void Bulk::CopyIn::feed(std::string_view bytes) {
    if (pending_.size() + bytes.size() <= copy_message) {
        pending_ += bytes;
        return;
    }
    send(pending_);
    pending_.clear();
    if (bytes.size() < copy_message)
        pending_ += bytes;
    else
        send(bytes);
}

void Bulk::CopyIn::send(std::string_view bytes) {
    if (bytes.empty())
        return;
    auto* const connection = bulk_.impl_->connection.get();
    if (PQputCopyData(connection, bytes.data(), static_cast<int>(bytes.size())) == 1)
        return;
    open_ = false;
    bulk_.impl_->drain(statement_); // the server's reason, when there is one
    bulk_.impl_->lose(without_newline(PQerrorMessage(connection)));
}

long long Bulk::CopyIn::finish() {
    send(pending_);
    open_ = false;
    if (PQputCopyEnd(bulk_.impl_->connection.get(), nullptr) != 1)
        bulk_.impl_->lose(without_newline(PQerrorMessage(bulk_.impl_->connection.get())));
    return bulk_.impl_->drain(statement_);
}

int Bulk::server_version() const { return PQserverVersion(impl_->connection.get()); }

bool Bulk::alive() const noexcept { return !impl_->lost && PQstatus(impl_->connection.get()) == CONNECTION_OK; }

void Bulk::cancel() noexcept {
    if (auto* const cancel = PQgetCancel(impl_->connection.get())) {
        std::array<char, 256> why{};
        PQcancel(cancel, why.data(), static_cast<int>(why.size())); // failing, there is nothing left to cancel
        PQfreeCancel(cancel);
    }
}

} // namespace pgcarve::pg
