#include "run/stream/touched_bound.hpp"

#include <array>
#include <future>
#include <mutex>

#include <fmt/format.h>

#include "sync/touched.hpp"

namespace pgcarve::run {

using base::Error;
using base::Millis;
using sql::Sql;
using Clock = std::chrono::steady_clock;

namespace {

constexpr double nearly = 0.8;           // of the limit: then somebody is told
constexpr long long parts = 16;          // of the limit: so much is written before it is measured again
constexpr std::chrono::minutes pause{5}; // after what did not work, if little is written
constexpr int lines_at_a_time = 2'000;
constexpr Millis between_deletions{10};
constexpr Millis lock_within{5'000};
constexpr Millis look_again{50};
constexpr Millis source_answers_within{10'000};

std::string size(double bytes) {
    constexpr std::array units{"bytes", "kB", "MB", "GB"};
    std::size_t unit = 0;
    for (; bytes >= 1024 && unit + 1 < units.size(); ++unit)
        bytes /= 1024;
    return fmt::format("{:.{}f} {}", bytes, unit == 0 || bytes >= 100 ? 0 : 1, units[unit]);
}
std::string size(long long bytes) { return size(static_cast<double>(bytes)); }

} // namespace

struct TouchedBound::Impl {
    Context& context;
    Route way;
    bool verified;
    base::Interrupt stop;

    // of the thread; the sessions are there for others to cancel
    std::mutex mutex;
    std::unique_ptr<pg::Session> target;
    std::unique_ptr<pg::Session> source;

    struct Found {
        std::optional<long long> bytes; // nullopt: it could not be measured
        std::optional<base::Lsn> forgotten; // up to here
        std::string kept;                   // why it is still too large
    };
    std::future<Found> job;
    long long limit = 0; // that the job was begun with

    std::optional<long long> bytes; // when it was measured
    long long written_then = 0;     // by the stream, when that began
    long long written_now = 0;      // when the job began
    Clock::time_point next{};
    bool told_nearly = false;
    std::string told_kept;

    Impl(Context& given, Route route, bool compared) : context{given}, way{std::move(route)}, verified{compared} {}

    pg::Session& open(std::unique_ptr<pg::Session>& session, pg::SessionSettings const& settings) {
        auto made = std::make_unique<pg::Session>(settings);
        std::lock_guard const lock{mutex};
        session = std::move(made);
        return *session;
    }
    void close() {
        std::lock_guard const lock{mutex};
        target.reset();
        source.reset();
    }
    void cancel() {
        std::lock_guard const lock{mutex};
        for (auto const* const session : {&target, &source}) {
            if (*session)
                (*session)->cancel();
        }
    }

    // ---- on the thread

    // nullopt: a verification that takes a moment does not let go of the lock.
    std::optional<sync::Snapshot> take_snapshot(pg::Session& there, pg::Session& here) {
        auto const lock = sync::hold_lock(way.name);
        for (auto const deadline = Clock::now() + lock_within;;) {
            if (there.one(Sql{"SELECT pg_try_advisory_lock("}.number(lock).add(") AS locked")).boolean("locked"))
                break;
            if (stop.wait_for(look_again) || Clock::now() > deadline)
                return std::nullopt;
        }
        auto const text = here.one(Sql{"SELECT pg_current_snapshot()::text AS snapshot"}).text("snapshot");
        there.query(Sql{"SELECT pg_advisory_unlock("}.number(lock).add(")"));
        return sync::Snapshot::parse(text);
    }

    void remove(pg::Session& there) {
        for (auto after = std::optional{base::Lsn{0}}; after && !stop.requested();) {
            after = sync::remove_forgotten(there, way.name, *after, lines_at_a_time);
            if (!after)
                break;
            context.failpoints.hit("sync/touched-removed");
            (void)stop.wait_for(between_deletions);
        }
    }

    void shorten(pg::Session& there, Found& found) {
        auto settings = way.source("touched");
        settings.statement_timeout = source_answers_within;
        auto& here = open(source, settings);
        if (here.one(Sql{"SELECT pg_is_in_recovery() AS standby"}).boolean("standby")) {
            found.kept = "the source is a standby now";
            return;
        }
        auto const seen = take_snapshot(there, here);
        if (!seen) {
            found.kept = "verifications take one snapshot after the other";
            return;
        }
        auto const cut = sync::find_cut(there, way.name, limit / 2, *seen);
        if (cut.unseen)
            found.kept = fmt::format("a transaction that committed before {} is not seen by others yet; it may wait for a synchronous standby", cut.unseen->text());
        else
            found.kept = "these are the newest lines";
        auto const at = cut.at();
        if (!at)
            return;
        sync::forget_touched(there, way.name, *at);
        context.failpoints.hit("sync/touched-forgotten");
        found.forgotten = at;
        remove(there);
        found.bytes = sync::touched_size(there, way.name);
        if (*found.bytes <= limit)
            found.kept.clear();
    }

    Found work() {
        Found found;
        try {
            auto& there = open(target, way.target("touched"));
            // Nobody has to wait for the disk because of it: if a crash undoes the end of it, lines are back before what was said of them is not.
            there.run("SET synchronous_commit = off");
            remove(there); // what a kill has left
            found.bytes = sync::touched_size(there, way.name);
            if (*found.bytes > limit && !stop.requested())
                shorten(there, found);
        } catch (Error const& e) {
            found.kept = e.message();
        }
        close();
        return found;
    }

    // ---- on the caller's

    [[nodiscard]] bool due(long long written) const {
        bool const paused = Clock::now() < next;
        if (!bytes)
            return !paused;
        auto const since = written - written_then;
        bool const large = static_cast<double>(*bytes + since) > nearly * static_cast<double>(limit);
        return large && (since > limit / parts || (!told_kept.empty() && !paused));
    }

    void tell(Found const& found) {
        auto const empties = verified ? fmt::format("; a clean `pgcarve verify {}` empties it", way.service) : std::string{};
        if (found.forgotten)
            context.events.info(fmt::format("the record of what {} has touched had passed {} (max_touched in [sync]): what is older than {} is forgotten{}; it has {} now", way.name,
                                            size(limit), found.forgotten->text(), verified ? ", and an incremental verification that would need it compares everything" : "",
                                            size(found.bytes.value_or(0))));
        if (!found.kept.empty() && found.kept != told_kept)
            context.events.warn(fmt::format("the record of what {} has touched cannot be kept within {} (max_touched in [sync]) now: {}{}", way.name, size(limit), found.kept, empties));
        told_kept = found.kept;
        if (!found.bytes)
            return;
        bool const large = static_cast<double>(*found.bytes) > nearly * static_cast<double>(limit);
        if (verified && large && !found.forgotten && found.kept.empty() && !told_nearly)
            context.events.warn(fmt::format("the record of what {} has touched has {} of {} (max_touched in [sync]){}, and else its oldest part is forgotten", way.name,
                                            size(*found.bytes), size(limit), empties));
        told_nearly = large;
    }

    void look(long long written, long long now_limit) {
        if (job.valid()) {
            if (job.wait_for(Millis{0}) != std::future_status::ready)
                return;
            auto const found = job.get();
            if (found.bytes) {
                bytes = found.bytes;
                written_then = written_now;
            }
            tell(found);
            next = found.kept.empty() ? Clock::time_point{} : Clock::now() + pause;
        }
        if (now_limit <= 0)
            return;
        limit = now_limit;
        if (!due(written))
            return;
        written_now = written;
        job = std::async(std::launch::async, [this] { return work(); });
    }

    void end() {
        stop.request("the stream ends");
        while (job.valid() && job.wait_for(Millis{100}) != std::future_status::ready)
            cancel();
    }
};

TouchedBound::TouchedBound(Context& context, Route way, bool verified) : impl_{std::make_unique<Impl>(context, std::move(way), verified)} {}
TouchedBound::~TouchedBound() { impl_->end(); }
void TouchedBound::look(long long written, long long limit) { impl_->look(written, limit); }

} // namespace pgcarve::run
