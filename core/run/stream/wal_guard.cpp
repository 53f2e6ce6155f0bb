#include "run/stream/wal_guard.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace pgcarve::run {

using base::Error;
using base::Exit;
using sql::Sql;

namespace {

constexpr std::chrono::seconds between_looks{5};
constexpr std::chrono::seconds between_warnings{60};
constexpr double nearly = 0.8; // of what max_slot_wal_keep_size allows

std::string size(double bytes) { return fmt::format("{:.1f} MB", bytes / 1e6); }

} // namespace

bool WalGuard::due() const { return Clock::now() - looked_ >= between_looks; }

std::string WalGuard::look(pg::Session& source) {
    if (!due())
        return reason_;
    looked_ = Clock::now();
    over_ = drops_ = false;
    reason_.clear();
    auto const slot = source.maybe_one(Sql{"SELECT (pg_current_wal_lsn() - restart_lsn)::float8 AS kept, safe_wal_size::float8 AS safe "
                                           "FROM pg_replication_slots WHERE slot_name = "}
                                           .bind(way_.name));
    if (!slot || !slot->maybe("kept")) // whoever reads from it finds that out
        return {};
    auto const kept = slot->real("kept");
    auto const limit = options_.limits().sync;
    if (limit.max_retained_wal > 0 && kept > static_cast<double>(limit.max_retained_wal)) {
        over_ = true;
        drops_ = limit.drop_at_wal_limit;
        reason_ = fmt::format("the source keeps {} of log for slot {}, limit {}", size(kept), way_.name, size(static_cast<double>(limit.max_retained_wal)));
        warn(reason_);
    }
    if (slot->maybe("safe") && kept > nearly * (kept + slot->real("safe")))
        warn(fmt::format("the source keeps {} of log for slot {}; after {} more it removes log that the stream still needs (max_slot_wal_keep_size)",
                         size(kept), way_.name, size(std::max(0.0, slot->real("safe")))));
    return reason_;
}

void WalGuard::warn(std::string const& text) {
    auto const now = Clock::now();
    if (now - warned_ < between_warnings && warned_ != Clock::time_point{})
        return;
    warned_ = now;
    context_.events.warn(text);
}

void WalGuard::drop(pg::Session& source) {
    drop_slot(context_, source, way_.name);
    throw Error{Exit::needs_decision, "wal-limit", reason_ + ": the slot was dropped, as on_wal_limit = drop says",
                way_.back ? fmt::format("there is no way back without it: `pgcarve complete {}` ends the hop", way_.service)
                          : fmt::format("`pgcarve sync {} --heal` makes a new slot and changes what differs, range by range", way_.service)};
}

} // namespace pgcarve::run
