#include "pg/trace.hpp"

#include <fmt/format.h>

#include "base/error.hpp"
#include "pg/conninfo.hpp"
#include "pg/libpq.hpp"

namespace pgcarve::pg {

namespace {

constexpr std::size_t most_said = 10'000; // a loop may say something for every row

struct FreeCancel {
    void operator()(PGcancel* cancel) const noexcept { PQfreeCancel(cancel); }
};

std::string field(PGresult const* result, int code) {
    auto const* const text = PQresultErrorField(result, code);
    return text != nullptr ? text : "";
}

} // namespace

struct Trace::Impl {
    Connection connection;
    std::unique_ptr<PGcancel, FreeCancel> canceller;
    std::vector<std::string>* said = nullptr;

    static void hear(void* self, PGresult const* result) {
        auto* const said = static_cast<Impl*>(self)->said;
        if (said != nullptr && said->size() < most_said)
            said->push_back(field(result, PG_DIAG_MESSAGE_PRIMARY));
    }

    [[noreturn]] void lost() const {
        std::string message = PQerrorMessage(connection.get());
        while (!message.empty() && message.back() == '\n')
            message.pop_back();
        throw base::Error{base::Exit::unavailable, "server-lost", message.empty() ? "the connection was lost" : message, {}};
    }

    void feed(std::string const& copied) {
        bool const sent = copied.empty() || PQputCopyData(connection.get(), copied.data(), static_cast<int>(copied.size())) == 1;
        if (!sent || PQputCopyEnd(connection.get(), nullptr) != 1)
            lost();
    }

    void drain() {
        char* buffer = nullptr;
        while (PQgetCopyData(connection.get(), &buffer, 0) > 0)
            PQfreemem(buffer);
    }

    Ran run(std::string const& statement, std::string const& copied) {
        Ran ran;
        said = &ran.said;
        if (PQsendQuery(connection.get(), statement.c_str()) != 1)
            lost();
        ran.ok = true;
        while (Result result{PQgetResult(connection.get())}) {
            switch (PQresultStatus(result.get())) {
            case PGRES_COPY_IN:
                feed(copied);
                break;
            case PGRES_COPY_OUT:
                drain();
                break;
            case PGRES_FATAL_ERROR:
                ran.sqlstate = field(result.get(), PG_DIAG_SQLSTATE);
                if (means_lost(ran.sqlstate, connection.get()))
                    lost();
                ran.ok = false;
                ran.message = field(result.get(), PG_DIAG_MESSAGE_PRIMARY);
                break;
            case PGRES_TUPLES_OK:
                take(ran, result.get());
                break;
            default:
                break;
            }
        }
        said = nullptr;
        return ran;
    }

    static void take(Ran& ran, PGresult const* result) {
        ran.rows.clear();
        for (int i = 0; i < PQntuples(result); ++i) {
            auto& row = ran.rows.emplace_back();
            for (int j = 0; j < PQnfields(result); ++j) {
                if (PQgetisnull(result, i, j) != 0)
                    row.emplace_back(std::nullopt);
                else
                    row.emplace_back(std::string{PQgetvalue(result, i, j), static_cast<std::size_t>(PQgetlength(result, i, j))});
            }
        }
    }
};

Trace::Trace(std::string const& dsn, base::Millis statement_timeout) : impl_{std::make_unique<Impl>()} {
    auto keywords = parse_conninfo(dsn);
    keywords.try_emplace("application_name", "pgcarve lint");
    keywords.try_emplace("client_encoding", "UTF8");
    impl_->connection.reset(PQconnectdb(make_conninfo(keywords).c_str()));
    if (PQstatus(impl_->connection.get()) != CONNECTION_OK) {
        std::string message = PQerrorMessage(impl_->connection.get());
        while (!message.empty() && message.back() == '\n')
            message.pop_back();
        throw base::Error{base::Exit::unavailable, "unreachable", message, {}};
    }
    PQsetNoticeReceiver(impl_->connection.get(), Impl::hear, impl_.get());
    impl_->canceller.reset(PQgetCancel(impl_->connection.get()));
    ask(fmt::format("SET client_min_messages = debug1; SET statement_timeout = {}", statement_timeout.count()));
}

Trace::~Trace() = default;

Ran Trace::run(std::string const& statement, std::string const& copied) {
    return impl_->run(statement, copied);
}

std::vector<std::vector<std::optional<std::string>>> Trace::ask(std::string const& query) {
    auto ran = impl_->run(query, {});
    if (!ran.ok)
        base::bug(fmt::format("{}: {}", query, ran.message));
    return std::move(ran.rows);
}

Trace::State Trace::state() const {
    switch (PQtransactionStatus(impl_->connection.get())) {
    case PQTRANS_INTRANS:
        return State::in_transaction;
    case PQTRANS_INERROR:
        return State::failed;
    default:
        return State::idle;
    }
}

void Trace::cancel() noexcept {
    char ignored[256];
    if (impl_->canceller)
        PQcancel(impl_->canceller.get(), ignored, sizeof ignored);
}

} // namespace pgcarve::pg
