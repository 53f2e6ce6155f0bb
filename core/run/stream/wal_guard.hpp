// Watches how much of its log the source keeps for a stream's slot: a stream that cannot keep up must not fill its disk.
//
// Threads: one at a time.
#pragma once

#include <chrono>
#include <string>

#include "run/stream/route.hpp"
#include "run/stream/sync.hpp"

namespace pgcarve::run {

class WalGuard {
public:
    WalGuard(Context& context, Route const& way, SyncOptions const& options) : context_{context}, way_{way}, options_{options} {}

    // Looks every few seconds, and warns once a minute. Why copying should wait, when more is kept than
    // the limit allows; empty: go on.
    [[nodiscard]] std::string look(pg::Session& source);
    // Whether look() would look now.
    [[nodiscard]] bool due() const;
    // Whether the last look found more than that, and the slot is to go for it.
    [[nodiscard]] bool drops() const noexcept { return over_ && drops_; }
    // Drops the slot, which nobody reads any more, and throws "wal-limit" (exit 5).
    [[noreturn]] void drop(pg::Session& source);

private:
    using Clock = std::chrono::steady_clock;
    void warn(std::string const& text);

    Context& context_;
    Route const& way_;
    SyncOptions const& options_;
    Clock::time_point looked_{};
    Clock::time_point warned_{};
    bool over_ = false;
    bool drops_ = false;
    std::string reason_;
};

} // namespace pgcarve::run
