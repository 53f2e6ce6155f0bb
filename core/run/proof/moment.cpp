#include "run/proof/moment.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <mutex>
#include <random>
#include <thread>

#include <fmt/format.h>

#include "model/mark.hpp"

namespace pgcarve::run {

using base::Error;
using base::Exit;
using sql::Sql;
using Clock = std::chrono::steady_clock;

SourceSnapshot::SourceSnapshot(std::string const& text, bool standby) : snapshot_{sync::Snapshot::parse(text)}, standby_{standby} {
    std::uint64_t oldest = 0;
    auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), oldest);
    if (error != std::errc{} || *end != ':')
        base::bug("a snapshot that is none: " + text);
    oldest_ = static_cast<std::uint32_t>(oldest);
}

bool SourceSnapshot::sees(wire::TransactionId xid) const {
    if (standby_) // xids go round: older is less than half of them behind
        return static_cast<std::int32_t>(xid.value - oldest_) < 0;
    return snapshot_.sees(xid);
}

void patient(pg::Session& session) {
    session.query(Sql{"SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN ('idle_in_transaction_session_timeout',"
                      " 'idle_session_timeout', 'transaction_timeout')"});
}

bool Moment::doubts(sync::Touched const& line) const {
    return std::ranges::any_of(line.xids, [&](auto const xid) { return !seen.sees(xid); });
}

// The stream's part, when no `sync` does it.
class Moments::Own {
public:
    Own(Context& context, Route const& route, sync::Mapping const& mapping)
        : lease_{context.shared("lease"), route.service, "verify", context.operator_name}
        , stream_{open_stream(context, route, mapping, -1)}
        , thread_{[this] { run(); }} {}
    Own(Own const&) = delete;
    Own& operator=(Own const&) = delete;
    ~Own() {
        stop_.request("the moment is taken");
        if (thread_.joinable())
            thread_.join();
        try {
            stream_->stop();
        } catch (Error const&) { // NOLINT(bugprone-empty-catch)
            // What it had broken on comes again with the next one; what it has applied is committed.
        }
    }

    void check() {
        std::lock_guard const lock{mutex_};
        if (error_)
            std::rethrow_exception(error_);
    }

private:
    void run() {
        try {
            while (!stop_.requested())
                stream_->run_until(base::Lsn{~std::uint64_t{0}}, base::Millis{200}, stop_);
        } catch (...) {
            std::lock_guard const lock{mutex_};
            error_ = std::current_exception();
        }
    }

    control::Lease lease_;
    std::unique_ptr<sync::Stream> stream_;
    base::Interrupt stop_;
    std::mutex mutex_;
    std::exception_ptr error_;
    std::thread thread_;
};

Moments::Moments(Context& context, Route const& route, sync::Mapping const& mapping, MomentLimits limits, std::string scan_dsn)
    : context_{context}, route_{route}, mapping_{mapping}, limits_{limits}, scan_dsn_{std::move(scan_dsn)} {}

namespace {

// Without marks in its stream nobody stops at a position.
void check_marks(pg::Session& source, std::string const& publication) {
    if (model::streams_messages(source.server_version()))
        return;
    Sql sql{"SELECT EXISTS (SELECT FROM pg_publication_tables WHERE pubname = "};
    sql.bind(publication).add(" AND schemaname = ").bind(model::mark_table().schema).add(" AND tablename = ").bind(model::mark_table().name).add(") AS there");
    if (!source.one(sql).boolean("there"))
        throw Error{Exit::not_proven, "not-proven",
                    fmt::format("publication {} does not list {}: the stream of PostgreSQL {} carries no messages, so without that table there is no position at "
                                "which both sides can be compared",
                                sql::display_ident(publication), model::mark_table().display(), source.server_version() / 10'000),
                    fmt::format("at the side that takes writes: ALTER PUBLICATION {} ADD TABLE {}", sql::quote_ident(publication), model::mark_table().quoted())};
}

} // namespace

void Moments::step_in(std::unique_ptr<Own>& own) {
    if (own)
        return own->check();
    if (ending_.valid())
        ending_.get();
    try {
        own = std::make_unique<Own>(context_, route_, mapping_);
    } catch (Error const& e) {
        if (e.code() != "lease-held" && e.code() != "stream-busy")
            throw;
    }
}

Moments::~Moments() = default;

bool Moments::wait(pg::Session& target, std::unique_ptr<Own>& own, base::Millis limit, std::function<std::optional<bool>(pg::Row const&)> const& there) {
    auto const begin = Clock::now();
    constexpr std::chrono::seconds somebody_else_may_have_gone{2};
    for (auto looked = begin;;) {
        auto const row = target.maybe_one(Sql{"SELECT marker, position::text AS position FROM pgcarve.stream WHERE name = "}.bind(route_.name));
        if (!row)
            throw Error{Exit::needs_decision, "stream-unknown", fmt::format("the target knows nothing of stream {}", route_.name),
                        "this is not the database the sync was set up with, or its schema pgcarve was removed"};
        if (auto const answer = there(*row))
            return *answer;
        if (own)
            own->check();
        context_.interrupt.check();
        auto const now = Clock::now();
        if (now - begin > limit)
            throw Error{Exit::not_proven, "not-proven",
                        fmt::format("the stream has not come to where verify waits for it within {}: the target is at {}", base::format_duration(limit),
                                    row->text("position")),
                        fmt::format("`pgcarve status {}` shows how far it is behind", route_.service)};
        if (now - looked > somebody_else_may_have_gone) {
            step_in(own);
            looked = Clock::now();
        }
        // The stream may wait for us.
        std::this_thread::sleep_for(now - begin > std::chrono::seconds{1} ? std::chrono::milliseconds{10} : std::chrono::milliseconds{1});
    }
}

// So that no snapshot of the source grows old while the stream catches up with it.
void Moments::catch_up(pg::Session& writer, pg::Session& watcher, std::unique_ptr<Own>& own) {
    for (auto const deadline = Clock::now() + limits_.wait;;) {
        auto const begin = Clock::now();
        auto const mark = sync::mark(writer, token("verify "));
        (void)wait(watcher, own, limits_.wait, [&](pg::Row const& row) {
            return base::Lsn::parse(row.text("position")).value() > mark ? std::optional{true} : std::nullopt;
        });
        if (Clock::now() - begin <= limits_.longest_lag)
            return;
        if (Clock::now() > deadline)
            throw Error{Exit::not_proven, "not-proven", fmt::format("the stream stays more than {} behind", base::format_duration(limits_.longest_lag)),
                        fmt::format("`pgcarve status {}` shows how far", route_.service)};
    }
}

// Who holds it has the stream wait at his message. Another verification has it for a moment only.
void Moments::lock(pg::Session& watcher) {
    for (auto const deadline = Clock::now() + limits_.wait;;) {
        if (watcher.one(Sql{"SELECT pg_try_advisory_lock("}.number(sync::hold_lock(route_.name)).add(") AS locked")).boolean("locked"))
            return;
        context_.interrupt.check();
        if (Clock::now() > deadline)
            throw Error{Exit::not_proven, "not-proven", "another verification of this service does not get through", "let it end, then run this one again"};
        context_.interrupt.wait_for(base::Millis{5});
    }
}

std::string Moments::token(std::string_view kind) {
    static std::random_device random;
    return fmt::format("{}{:08x}{:08x}-{}", kind, random(), random(), ++count_);
}

void Moments::pass(base::Lsn mark, base::Millis limit) {
    if (!watcher_)
        watcher_.emplace(route_.target("verify"));
    step_in(kept_);
    (void)wait(*watcher_, kept_, limit, [&](pg::Row const& row) {
        return base::Lsn::parse(row.text("position")).value() > mark ? std::optional{true} : std::nullopt;
    });
}

// A standby that is behind does not see transactions whose rows an earlier verification has proven, and whose traces were
// removed then: these rows would look as if they differed.
void Moments::wait_for_standby(pg::Session& standby, pg::Session& writer) {
    auto const here = sync::mark(writer, token("standby ")).text();
    for (auto const begin = Clock::now();;) {
        auto const row = standby.one(Sql{"SELECT NOT pg_is_in_recovery() OR pg_last_wal_replay_lsn() >= "}.bind(here).add(
            "::pg_lsn AS there, coalesce(pg_last_wal_replay_lsn()::text, 'nowhere') AS at"));
        if (row.boolean("there"))
            return;
        context_.interrupt.check();
        if (Clock::now() - begin > limits_.wait)
            throw Error{Exit::not_proven, "not-proven",
                        fmt::format("the standby that is read has not replayed {} within {}: it is at {}", here, base::format_duration(limits_.wait), row.text("at")),
                        "let it catch up, or leave out replica_dsn"};
        context_.interrupt.wait_for(base::Millis{5});
    }
}

Moment Moments::take(bool primary) {
    bool const elsewhere = !primary && !scan_dsn_.empty();
    auto opening = std::async(std::launch::async, [&] {
        auto there = std::async(std::launch::async, [&] {
            auto session = std::make_unique<pg::Session>(route_.target("verify"));
            patient(*session);
            return session;
        });
        auto here = std::make_unique<pg::Session>(elsewhere ? pg::SessionSettings{.dsn = scan_dsn_, .purpose = "verify"} : route_.source("verify"));
        patient(*here);
        return std::pair{std::move(here), there.get()};
    });
    auto writing = std::async(std::launch::async, [&] { return pg::Session{route_.source("verify")}; });
    pg::Session watcher{route_.target("verify")};
    auto writer = writing.get();
    check_marks(writer, route_.name);
    std::unique_ptr<Own> taken;
    auto& own = kept_ ? kept_ : taken;
    step_in(own);
    catch_up(writer, watcher, own);
    auto [source, target] = opening.get();
    if (elsewhere)
        wait_for_standby(*source, writer);
    for (int tries = 1; tries <= 20; ++tries) {
        lock(watcher);
        // What is still to be replayed is little, and the lock keeps other verifications waiting for no longer.
        if (elsewhere)
            wait_for_standby(*source, writer);
        auto source_transaction = std::make_unique<pg::Transaction>(*source, pg::Isolation::repeatable_read, pg::Access::read_only);
        auto const seen = source->one(Sql{"SELECT pg_current_snapshot()::text AS text, pg_export_snapshot() AS id, pg_is_in_recovery() AS standby"});
        auto const content = token(sync::hold_message);
        auto const mark = sync::mark(writer, content);
        auto const time = writer.one(Sql{"SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') AS time"}).text("time");
        auto missed = std::optional<Clock::time_point>{};
        bool const met = wait(watcher, own, limits_.wait, [&](pg::Row const& row) -> std::optional<bool> {
            if (row.maybe("marker") == content)
                return true;
            // Others may commit between the message and its commit, so this alone says nothing yet.
            if (base::Lsn::parse(row.text("position")).value() <= mark)
                return std::nullopt;
            if (!missed)
                missed = Clock::now();
            return Clock::now() - *missed > std::chrono::seconds{3} ? std::optional{false} : std::nullopt;
        });
        std::unique_ptr<pg::Transaction> target_transaction;
        std::optional<pg::Row> there;
        if (met) {
            target_transaction = std::make_unique<pg::Transaction>(*target, pg::Isolation::repeatable_read, pg::Access::read_only);
            there = target->maybe_one(Sql{"SELECT marker, position::text AS position, pg_export_snapshot() AS id FROM pgcarve.stream WHERE name = "}.bind(route_.name));
        }
        watcher.query(Sql{"SELECT pg_advisory_unlock("}.number(sync::hold_lock(route_.name)).add(")"));
        if (there && there->maybe("marker") == content) {
            if (taken)
                ending_ = std::async(std::launch::async, [own = std::move(taken)]() mutable { own.reset(); });
            return Moment{base::Lsn::parse(there->text("position")).value(), time, std::move(source), std::move(target), std::move(source_transaction),
                          std::move(target_transaction), seen.text("id"), there->text("id"), SourceSnapshot{seen.text("text"), seen.boolean("standby")}};
        }
        // Too late: the stream went on. The snapshot says so, and it is done again.
        context_.interrupt.check();
    }
    throw Error{Exit::not_proven, "not-proven", "the stream never waited long enough for a snapshot of the target",
                "the target is very busy: try again when it is less so"};
}

} // namespace pgcarve::run
