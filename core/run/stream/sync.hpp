// Copies a service's tables into its own database and keeps them in step, until told to stop.
//
// The lease is held as long as it runs: this is the one process that moves the service's rows. Whatever ends it, the next
// run goes on from the position that the target holds.
#pragma once

#include <functional>
#include <string>

#include "model/sync_limits.hpp"
#include "run/authority/authority.hpp"
#include "run/context.hpp"
#include "sync/copy.hpp"

namespace pgcarve::run {

struct SyncOptions {
    bool until_caught_up = false; // return once everything is applied that was committed when it was called
    // What holds now; asked again and again, by one thread at a time, not always the same.
    struct Limits {
        model::SyncLimits sync{};
        model::Throttle throttle{}; // of copying
    };
    std::function<Limits()> limits = [] { return Limits{}; };
};

struct SyncTick {
    long long transactions = 0; // applied by this process
    long long changes = 0;
    long long lag_bytes = 0;
};

struct SyncEvents {
    std::function<void(sync::CopyProgress const&)> copy = [](sync::CopyProgress const&) {};
    std::function<void(SyncTick const&)> tick = [](SyncTick const&) {}; // about once a second
    std::function<void(std::string const& phase)> ready = [](std::string const&) {}; // the stream runs
};

struct SyncOutcome {
    bool confirmed = true; // false: Confirm returned false
    std::string phase;
    long long rows = 0;         // copied by this run
    long long transactions = 0; // applied by this run
    bool caught_up = false;
    std::string next;
};

// The plan that `sync` would run now. Reads only.
[[nodiscard]] model::Plan sync_plan(Context& context, std::string const& service);

// Returns when interrupted (a stop at a commit boundary, no error), or caught up when that was asked for. A server that
// is lost is tried again until it is back.
// Errors: "config", "wrong-phase" (exit 2), "plan-refused", "attempt-open", "schema-changed", "target-differs",
// "target-not-empty" (exit 5), "unreachable", "lease-held" (exit 4).
[[nodiscard]] SyncOutcome sync_service(Context& context, std::string const& service, SyncOptions const& options, Confirm const& confirm,
                                       SyncEvents const& events);

// Undoes a database hop that is not cut over: slot, publication, and what was made in the other database.
struct CancelSyncOutcome {
    bool confirmed = true;
    std::string phase;
};
[[nodiscard]] CancelSyncOutcome cancel_sync(Context& context, std::string const& service, Confirm const& confirm);

// How far the target is behind, for status: from the source alone. nullopt: there is no slot, or it may not be read.
struct SyncLag {
    bool active = false;
    long long bytes = 0;
    std::string wal_status;
};
[[nodiscard]] std::optional<SyncLag> sync_lag(pg::Session& source, std::string const& slot);

} // namespace pgcarve::run
