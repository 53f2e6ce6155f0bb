#include "pg/replication.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <sstream>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <libpq-fe.h>
#include <poll.h>

#include "base/error.hpp"
#include "pg/conninfo.hpp"
#include "pg/libpq.hpp"
#include "pg/session.hpp"
#include "sql/ident.hpp"

namespace pgcarve::pg {

namespace {

using Clock = std::chrono::steady_clock;
constexpr auto never = Clock::time_point::max();

// A string in a replication command. Its lexer knows doubled quotes and nothing else: no E'', no backslashes.
std::string quoted(std::string_view text) {
    std::string out = "'";
    for (char const c : text) {
        if (c == '\'')
            out += '\'';
        out += c;
    }
    return out + "'";
}

std::string first_line(char const* message) {
    std::string text{message != nullptr ? message : ""};
    text.erase(std::min(text.find('\n'), text.size()));
    for (std::string_view const prefix : {"ERROR:  ", "FATAL:  "}) {
        if (text.starts_with(prefix))
            text.erase(0, prefix.size());
    }
    return text.empty() ? "without a reason" : text;
}

// Of a dsn with several hosts each has a line.
std::string all_lines(char const* message) {
    std::string text{message};
    while (!text.empty() && text.back() == '\n')
        text.pop_back();
    return text;
}

std::string field(PGresult const* result, int column) {
    return std::string{PQgetvalue(result, 0, column), static_cast<std::size_t>(PQgetlength(result, 0, column))};
}

base::Lsn lsn_field(PGresult const* result, int column) {
    auto const text = field(result, column);
    auto const lsn = base::Lsn::parse(text);
    if (!lsn)
        base::bug(fmt::format("the server printed the position '{}'", text));
    return *lsn;
}

} // namespace

// ---- terms

StreamTerms stream_terms(int server_version, StreamRequest const& request) {
    StreamTerms terms;
    auto& negotiated = terms.negotiated;
    if (request.streaming == wire::Streaming::parallel && server_version >= 160000) {
        negotiated.protocol = 4;
        negotiated.streaming = wire::Streaming::parallel;
    } else if (request.streaming != wire::Streaming::off && server_version >= 140000) {
        negotiated.protocol = 2;
        negotiated.streaming = wire::Streaming::on;
    }
    negotiated.binary = request.binary && server_version >= 140000;
    terms.messages = request.messages && server_version >= 140000;
    terms.origin_none = request.origin_none && server_version >= 160000;

    if (request.publications.empty())
        base::bug("a stream of no publication");
    std::string names;
    for (auto const& name : request.publications) // the server reads them as identifiers, folding what is not quoted
        names += (names.empty() ? "" : ",") + sql::quote_ident(name);
    auto& options = terms.options;
    options = fmt::format("proto_version '{}', publication_names {}", negotiated.protocol, quoted(names));
    if (negotiated.streaming != wire::Streaming::off)
        options += negotiated.streaming == wire::Streaming::parallel ? ", streaming 'parallel'" : ", streaming 'on'";
    if (negotiated.binary)
        options += ", binary 'true'";
    if (terms.messages)
        options += ", messages 'true'";
    if (terms.origin_none)
        options += ", origin 'none'";
    return terms;
}

// ---- received

void Received::Free::operator()(char* buffer) const noexcept { PQfreemem(buffer); }

Received::Received(Buffer buffer, std::size_t size)
    : buffer_{std::move(buffer)}
    , frame_{wire::parse_frame({buffer_.get(), size})} {}

// ---- connection

struct Replication::Impl {
    enum class State { idle, streaming, lost };
    enum class Wait { ready, woken, late };

    ReplicationSettings settings;
    Connection connection;
    State state = State::idle;
    bool stopped = false; // a stream has been stopped
    base::Lsn sent{};     // nothing behind it has been sent to us, so nothing behind it can be confirmed

    [[noreturn]] void lose(std::string const& why) {
        state = State::lost;
        throw base::Error{base::Exit::unavailable, "server-lost", fmt::format("the connection was lost: {}", why),
                          "run the same command again once the server is reachable: it goes on where it stopped"};
    }
    [[noreturn]] void lose() { lose(first_line(PQerrorMessage(connection.get()))); }

    void want(State wanted, char const* what) {
        if (state == State::lost)
            lose("it had been lost before");
        if (state != wanted)
            base::bug(fmt::format("{} {} a stream", what, wanted == State::idle ? "inside" : "outside"));
    }

    [[noreturn]] void refuse(PGresult const* result, std::string const& statement) {
        auto const part = [&](int code) -> std::string {
            auto const* const text = PQresultErrorField(result, code);
            return text != nullptr ? text : "";
        };
        auto const sqlstate = part(PG_DIAG_SQLSTATE);
        auto message = part(PG_DIAG_MESSAGE_PRIMARY);
        if (message.empty())
            message = first_line(PQresultErrorMessage(result));
        if (means_lost(sqlstate, connection.get()))
            lose(message);
        SqlError error{sqlstate, message, statement};
        if (auto const detail = part(PG_DIAG_MESSAGE_DETAIL); !detail.empty())
            error.with(detail);
        throw error;
    }

    void flush() {
        if (PQflush(connection.get()) < 0)
            lose();
    }

    // Until the socket has something, or takes what is still to be sent.
    Wait wait(Clock::time_point deadline, bool wakeable) {
        for (;;) {
            int const unsent = PQflush(connection.get());
            if (unsent < 0)
                lose();
            std::array<pollfd, 2> watched{};
            watched[0] = {PQsocket(connection.get()), static_cast<short>(POLLIN | (unsent > 0 ? POLLOUT : 0)), 0};
            watched[1] = {wakeable ? settings.wake_fd : -1, POLLIN, 0};
            constexpr base::Millis longest{3'600'000}; // what an int takes, and `never` without an overflow
            auto const now = Clock::now();
            auto pause = longest;
            if (deadline < now + longest)
                pause = std::max(base::Millis{0}, std::chrono::ceil<base::Millis>(deadline - now));
            // Encrypted bytes may have left the socket already without reaching libpq's buffer; nothing says so,
            // so we ask from time to time.
            bool const look = PQsslInUse(connection.get()) != 0 || PQgssEncInUse(connection.get()) != 0;
            constexpr base::Millis slice{100};
            bool const sliced = look && pause > slice;
            if (sliced)
                pause = slice;
            int const found = ::poll(watched.data(), watched.size(), static_cast<int>(pause.count()));
            if (found < 0 && errno != EINTR)
                lose(fmt::format("poll: {}", std::strerror(errno)));
            if (found > 0 && watched[0].revents != 0) // errors too: reading says which
                return Wait::ready;
            if (found > 0 && watched[1].revents != 0)
                return Wait::woken;
            if (found == 0 && sliced)
                return Wait::ready;
            if (Clock::now() >= deadline)
                return Wait::late;
        }
    }

    void consume() {
        if (PQconsumeInput(connection.get()) == 0)
            lose();
    }

    // The next result of a command; null behind the last.
    Result next_result(bool& cancelled) {
        while (PQisBusy(connection.get()) != 0) {
            // A request to cancel that overtakes its command is lost, so it is repeated until there is an answer.
            auto const again = cancelled ? Clock::now() + base::Millis{250} : never;
            if (wait(again, !cancelled) == Wait::ready) {
                consume();
            } else {
                cancelled = true;
                cancel();
            }
        }
        return Result{PQgetResult(connection.get())};
    }

    void cancel() {
        std::unique_ptr<PGcancel, decltype(&PQfreeCancel)> const handle{PQgetCancel(connection.get()), &PQfreeCancel};
        std::array<char, 256> why{};
        if (PQcancel(handle.get(), why.data(), static_cast<int>(why.size())) == 0)
            lose(fmt::format("cancelling: {}", first_line(why.data())));
    }

    Result command(std::string const& statement, ExecStatusType wanted) {
        if (PQsendQuery(connection.get(), statement.c_str()) == 0)
            lose();
        Result last;
        bool cancelled = false;
        for (;;) {
            auto result = next_result(cancelled);
            if (!result)
                break;
            if (!last || PQresultStatus(last.get()) != PGRES_FATAL_ERROR) // the first error is the reason
                last = std::move(result);
            // The stream is open: there is no further result before its end.
            if (PQresultStatus(last.get()) == PGRES_COPY_BOTH)
                break;
        }
        if (!last)
            lose();
        auto const status = PQresultStatus(last.get());
        if (status == wanted)
            return last;
        if (status != PGRES_FATAL_ERROR)
            base::bug(fmt::format("'{}' answered {}", statement, PQresStatus(status)));
        auto const* const sqlstate = PQresultErrorField(last.get(), PG_DIAG_SQLSTATE);
        if (cancelled && sqlstate != nullptr && sqlstate == sqlstate::query_canceled)
            throw base::Error{base::Exit::unavailable, "interrupted", "interrupted",
                              "run the same command again: it goes on where it stopped"};
        refuse(last.get(), statement);
    }

    // The server has ended the stream without being asked to: with a reason, or it shuts down.
    [[noreturn]] void broken_off() {
        Result reason;
        // Bounded: a broken connection ends it, and results of a stream are few.
        while (auto result = Result{PQgetResult(connection.get())}) {
            if (PQresultStatus(result.get()) == PGRES_FATAL_ERROR && !reason)
                reason = std::move(result); // what follows is only that the connection has gone
            else if (PQresultStatus(result.get()) == PGRES_COPY_IN)
                lose("the server has ended the stream");
        }
        if (!reason)
            lose("the server has ended the stream");
        state = State::idle;
        refuse(reason.get(), "START_REPLICATION");
    }

    // A frame's buffer if there is a whole one; `ended` when there will be none any more.
    std::optional<std::pair<Received::Buffer, std::size_t>> take(bool& ended) {
        char* bytes = nullptr;
        int const size = PQgetCopyData(connection.get(), &bytes, 1);
        Received::Buffer buffer{bytes};
        if (size > 0)
            return std::pair{std::move(buffer), static_cast<std::size_t>(size)};
        if (size == -2)
            lose();
        ended = size == -1;
        return std::nullopt;
    }
};

Replication::Replication(ReplicationSettings settings) : impl_{std::make_unique<Impl>()} {
    auto& impl = *impl_;
    auto const given = parse_conninfo(settings.dsn); // the same refusal of a broken one as a Session's
    auto const application = "pgcarve " + settings.purpose;
    auto const timeout = std::to_string(std::max<long long>(
        1, std::chrono::ceil<std::chrono::seconds>(settings.connect_timeout).count()));
    // The string goes in as `dbname` and is expanded by libpq; what comes after it has precedence.
    std::vector<char const*> keys{"dbname", "replication", "application_name", "client_encoding"};
    std::vector<char const*> values{settings.dsn.c_str(), "database", application.c_str(), "UTF8"};
    if (!given.contains("connect_timeout")) {
        keys.push_back("connect_timeout");
        values.push_back(timeout.c_str());
    }
    keys.push_back(nullptr);
    values.push_back(nullptr);
    impl.connection.reset(PQconnectdbParams(keys.data(), values.data(), 1));
    impl.settings = std::move(settings);
    auto* const connection = impl.connection.get();
    if (connection == nullptr || PQstatus(connection) != CONNECTION_OK)
        throw base::Error{base::Exit::unavailable, "unreachable",
                          fmt::format("cannot connect for replication: {}",
                                      connection != nullptr ? all_lines(PQerrorMessage(connection)) : "out of memory"),
                          "check the dsn in pgcarve.toml and that the role has the attribute REPLICATION; "
                          "`psql` with the same connection string and replication=database shows the same"};
    if (PQsetnonblocking(connection, 1) != 0)
        impl.lose();
    // One SELECT, since a walsender takes one statement at a time. They decide how the output functions print, and
    // that waiting for a slot or a stream is not taken for idling.
    std::string pins;
    std::vector<std::pair<std::string, std::string>> wanted{
        {"search_path", "pg_catalog"}, {"datestyle", "ISO, YMD"}, {"intervalstyle", "postgres"}, {"timezone", "UTC"},
        {"extra_float_digits", "3"}, {"bytea_output", "hex"}, {"lc_monetary", "C"}, {"lock_timeout", "0"}, {"statement_timeout", "0"},
        {"idle_in_transaction_session_timeout", "0"}};
    if (server_version() >= 140000)
        wanted.emplace_back("idle_session_timeout", "0");
    if (server_version() >= 170000)
        wanted.emplace_back("transaction_timeout", "0");
    for (auto const& [name, value] : wanted)
        pins += fmt::format("{}pg_catalog.set_config({}, {}, false)", pins.empty() ? "" : ", ", quoted(name), quoted(value));
    impl.command("SELECT " + pins, PGRES_TUPLES_OK);
}

Replication::Replication(Replication&&) noexcept = default;
Replication& Replication::operator=(Replication&&) noexcept = default;
Replication::~Replication() = default;

SystemIdentity Replication::identify() {
    impl_->want(Impl::State::idle, "identify");
    auto const result = impl_->command("IDENTIFY_SYSTEM", PGRES_TUPLES_OK);
    if (PQntuples(result.get()) != 1 || PQnfields(result.get()) < 4)
        base::bug("IDENTIFY_SYSTEM answered with another number of columns");
    return {field(result.get(), 0), std::stoi(field(result.get(), 1)), lsn_field(result.get(), 2), field(result.get(), 3)};
}

std::optional<base::Lsn> Replication::left_timeline(int timeline) {
    auto const now = identify().timeline;
    if (now <= 1) // has no history
        return std::nullopt;
    auto const result = impl_->command(fmt::format("TIMELINE_HISTORY {}", now), PGRES_TUPLES_OK);
    if (PQntuples(result.get()) != 1 || PQnfields(result.get()) < 2)
        base::bug("TIMELINE_HISTORY answered with another number of columns");
    // Lines of a timeline, where it was left, and why; # begins a remark.
    std::istringstream history{field(result.get(), 1)};
    for (std::string line; std::getline(history, line);) {
        std::istringstream words{line};
        int number = 0;
        std::string at;
        if (words >> number >> at && number == timeline)
            return base::Lsn::parse(at);
    }
    return std::nullopt;
}

CreatedSlot Replication::create_slot(std::string const& name, SlotOptions options) {
    impl_->want(Impl::State::idle, "create a slot");
    bool const listed = server_version() >= 150000; // options in parentheses
    if (options.failover && server_version() < 170000)
        throw base::Error{base::Exit::usage, "too-old", "slots that survive a failover exist since PostgreSQL 17",
                          "make the slot without failover"};
    auto const statement = fmt::format(
        "CREATE_REPLICATION_SLOT {}{} LOGICAL pgoutput {}", sql::quote_ident(name), options.temporary ? " TEMPORARY" : "",
        !listed            ? "NOEXPORT_SNAPSHOT"
        : options.failover ? "(SNAPSHOT 'nothing', FAILOVER true)"
                           : "(SNAPSHOT 'nothing')");
    auto const result = impl_->command(statement, PGRES_TUPLES_OK);
    if (PQntuples(result.get()) != 1 || PQnfields(result.get()) < 2)
        base::bug("CREATE_REPLICATION_SLOT answered with another number of columns");
    return {field(result.get(), 0), lsn_field(result.get(), 1)};
}

StreamTerms Replication::start(StreamRequest const& request) {
    impl_->want(Impl::State::idle, "start a stream");
    if (impl_->stopped)
        base::bug("a second stream on one replication connection");
    auto terms = stream_terms(server_version(), request);
    impl_->command(fmt::format("START_REPLICATION SLOT {} LOGICAL {} ({})", sql::quote_ident(request.slot),
                               request.start.text(), terms.options),
                   PGRES_COPY_BOTH);
    impl_->state = Impl::State::streaming;
    impl_->sent = request.start;
    return terms;
}

std::optional<Received> Replication::poll(base::Millis timeout) {
    auto& impl = *impl_;
    impl.want(Impl::State::streaming, "poll");
    auto const deadline = Clock::now() + timeout;
    for (bool looked = false;; looked = true) {
        bool ended = false;
        if (auto taken = impl.take(ended)) {
            Received received{std::move(taken->first), taken->second};
            std::visit([&](auto const& frame) { impl.sent = std::max(impl.sent, frame.end); }, received.frame());
            return received;
        }
        if (ended)
            impl.broken_off();
        // A message of a gigabyte arrives in many pieces; the caller has to report in between.
        if (looked && Clock::now() >= deadline)
            return std::nullopt;
        if (impl.wait(deadline, impl.settings.wake_fd >= 0) != Impl::Wait::ready)
            return std::nullopt;
        impl.consume();
    }
}

void Replication::send_status(base::Lsn written, base::Lsn flushed, base::Lsn applied, bool reply_requested) {
    auto& impl = *impl_;
    impl.want(Impl::State::streaming, "send a status");
    if (flushed > impl.sent)
        base::bug(fmt::format("{} is to be confirmed, the server has sent up to {}", flushed.text(), impl.sent.text()));
    auto const now = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now().time_since_epoch());
    auto const bytes = wire::encode({written, flushed, applied, wire::Timestamp::from_unix_micros(now.count()), reply_requested});
    // 0, "would block", comes only when the buffer cannot grow, which is no way to go on.
    if (PQputCopyData(impl.connection.get(), bytes.data(), static_cast<int>(bytes.size())) != 1)
        impl.lose();
    impl.flush();
}

bool Replication::stop(base::Millis limit) {
    auto& impl = *impl_;
    impl.want(Impl::State::streaming, "stop");
    impl.stopped = true;
    auto const deadline = Clock::now() + limit;
    auto const give_up = [&] {
        impl.state = Impl::State::lost;
        impl.connection.reset();
        return false;
    };
    if (PQputCopyEnd(impl.connection.get(), nullptr) != 1)
        impl.lose();
    for (bool ended = false; !ended;) {
        if (impl.take(ended) || ended) // the frame is dropped: see the header
            continue;
        if (impl.wait(deadline, false) != Impl::Wait::ready)
            return give_up();
        impl.consume();
    }
    for (;;) {
        while (PQisBusy(impl.connection.get()) != 0) {
            if (impl.wait(deadline, false) != Impl::Wait::ready)
                return give_up();
            impl.consume();
        }
        Result const result{PQgetResult(impl.connection.get())};
        if (!result)
            break;
        if (PQresultStatus(result.get()) == PGRES_FATAL_ERROR) {
            impl.state = Impl::State::idle;
            impl.refuse(result.get(), "START_REPLICATION");
        }
    }
    impl.state = Impl::State::idle;
    return true;
}

bool Replication::streaming() const noexcept { return impl_->state == Impl::State::streaming; }
bool Replication::alive() const noexcept {
    return impl_->state != Impl::State::lost && PQstatus(impl_->connection.get()) == CONNECTION_OK;
}
int Replication::server_version() const { return PQserverVersion(impl_->connection.get()); }
int Replication::backend_pid() const { return PQbackendPID(impl_->connection.get()); }

} // namespace pgcarve::pg
