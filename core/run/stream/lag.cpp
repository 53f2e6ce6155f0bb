#include "run/stream/lag.hpp"

#include <algorithm>
#include <chrono>
#include <thread>

#include <fmt/format.h>

#include "run/stream/published.hpp"
#include "sync/aside.hpp"

namespace pgcarve::run {

using base::Millis;
using sql::Sql;
using Clock = std::chrono::steady_clock;

namespace {

constexpr Millis look_again{10};
constexpr Millis ask_again{200}; // whether the stream still runs
constexpr Millis between_samples{400};
constexpr long long noise_bytes = 4LL << 20U; // less is not worth the name of a trend

std::string slot_problem(std::optional<pg::Row> const& slot, std::string const& name) {
    if (!slot)
        return fmt::format("slot {} is gone", name);
    auto const status = slot->text("wal_status");
    if (status == "lost")
        return fmt::format("slot {} has lost log that the stream still needs", name);
    if (status == "unreserved")
        return fmt::format("slot {} is about to lose log that the stream still needs", name);
    return {};
}

std::optional<pg::Row> read_slot(pg::Session& source, std::string const& name) {
    return source.maybe_one(Sql{"SELECT active, greatest(pg_current_wal_flush_lsn() - confirmed_flush_lsn, 0)::bigint AS bytes,"
                                " pg_current_wal_flush_lsn()::text AS flushed, extract(epoch FROM clock_timestamp())::float8 AS now,"
                                " coalesce(wal_status, 'lost') AS wal_status FROM pg_replication_slots WHERE slot_name = "}
                                .bind(name));
}

} // namespace

StreamLag read_lag(Route const& way, pg::Session& source, pg::Session* target) {
    StreamLag lag;
    auto const slot = read_slot(source, way.name);
    lag.slot_problem = slot_problem(slot, way.name);
    lag.mend = way.back ? fmt::format("nothing keeps the shared database in step; pgcarve complete {0} ends the hop, pgcarve doctor {0} says more", way.service)
                        : fmt::format("pgcarve sync {} --heal", way.service);
    if (!slot || !slot->maybe("bytes"))
        return lag;
    lag.bytes = slot->integer("bytes");
    if (*lag.bytes <= noise_bytes) {
        lag.growing = false;
    } else {
        std::this_thread::sleep_for(between_samples);
        if (auto const later = read_slot(source, way.name); later && later->maybe("bytes"))
            lag.growing = later->integer("bytes") > *lag.bytes;
    }
    if (target == nullptr)
        return lag;
    auto const row = target->maybe_one(Sql{"SELECT position::text AS position, extract(epoch FROM commit_time)::float8 AS committed"
                                           " FROM pgcarve.stream WHERE name = "}
                                           .bind(way.name));
    if (!row)
        return lag;
    if (lag.slot_problem && lag.slot_problem->empty()) {
        if (auto problem = publication_problem(way, source); !problem.empty()) {
            lag.slot_problem = std::move(problem);
            lag.mend = publication_mend(way, source);
        } else if (auto const apart = sync::asides(*target, way.name); !apart.empty()) {
            lag.slot_problem = fmt::format("{} tables do not follow ({}: {})", apart.size(), apart.front().table,
                                           apart.front().returning ? "being mended" : apart.front().reason);
            lag.mend = apart.front().returning ? fmt::format("pgcarve sync {}", way.service) : fmt::format("pgcarve sync {} --bring-back TABLE", way.service);
        }
    }
    auto const position = base::Lsn::parse(row->text("position"));
    auto const flushed = base::Lsn::parse(slot->text("flushed"));
    if (position && flushed && *position >= *flushed)
        lag.behind = Millis{0};
    else if (row->maybe("committed"))
        lag.behind = Millis{std::max(0LL, static_cast<long long>((slot->real("now") - row->real("committed")) * 1000.0))};
    return lag;
}

std::optional<StreamLag> probe_lag(Route const& way, pg::Session& source, pg::Session& target, Millis limit, std::function<bool()> const& streams,
                                   base::Interrupt& interrupt) {
    auto lag = read_lag(way, source, &target);
    if (lag.slot_problem && !lag.slot_problem->empty())
        return lag;
    auto const written = sync::mark(source);
    auto const began = Clock::now();
    for (auto asked = began; Clock::now() - began < limit;) {
        interrupt.check();
        if (auto const at = sync::position(target, way.name); at && *at > written) {
            lag.drain = std::chrono::duration_cast<Millis>(Clock::now() - began);
            lag.behind = *lag.drain;
            return lag;
        }
        if (Clock::now() - asked > ask_again) {
            if (!streams())
                return std::nullopt;
            asked = Clock::now();
        }
        interrupt.wait_for(look_again);
    }
    if (!lag.behind || *lag.behind < limit)
        lag.behind = limit; // at least
    return lag;
}

} // namespace pgcarve::run
