// Whether copying rows for a database hop should wait a while, and why, as `status` shows it from another shell.
//
// Threads: one at a time.
#pragma once

#include <optional>
#include <string>

#include "run/stream/wal_guard.hpp"

namespace pgcarve::run {

// `pgcarve sync SERVICE --throttle`: heard by a sync that runs. Empty `reason`: copying may go on. Errors: "unknown-service".
void throttle_copy(Context const& context, std::string const& service, std::string const& reason);

class CopyThrottle {
public:
    // `shared`: to the shared database, and outside of a transaction whenever this is used.
    CopyThrottle(Context& context, Route const& way, SyncOptions const& options, pg::Session& shared)
        : context_{context}, way_{way}, options_{options}, shared_{shared}, log_{context, way, options} {}
    CopyThrottle(CopyThrottle const&) = delete;
    CopyThrottle& operator=(CopyThrottle const&) = delete;
    ~CopyThrottle();

    // What an operator asked for, then the log that is kept, then [throttle]; empty: go on.
    [[nodiscard]] std::string reason(pg::Session& source);
    [[nodiscard]] WalGuard& log() noexcept { return log_; }

private:
    void note(std::string const& reason);

    Context& context_;
    Route const& way_;
    SyncOptions const& options_;
    pg::Session& shared_;
    WalGuard log_;
    std::optional<std::string> noted_;
};

} // namespace pgcarve::run
