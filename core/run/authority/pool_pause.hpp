// Holds back the clients of a pooled service while its authority moves, so that none of them sees an error.
#pragma once

#include <optional>
#include <string>

#include "model/pooler.hpp"
#include "pg/pooler.hpp"
#include "run/context.hpp"

namespace pgcarve::run {

// What was paused is resumed at the latest when this goes out of scope. Without a pooler all calls do nothing.
class PoolPause {
public:
    // `maybe_paused`: an earlier run may have died in between.
    PoolPause(Context& context, std::optional<model::PoolerSettings> const& pooler, bool maybe_paused);
    PoolPause(PoolPause const&) = delete;
    PoolPause& operator=(PoolPause const&) = delete;
    ~PoolPause();

    [[nodiscard]] bool configured() const noexcept { return pooler_.has_value(); }
    // Throws "pool-not-paused" (exit 4) when its transactions do not end within `limit`.
    void pause(base::Millis limit);
    // Tells the operator what to type when the pooler cannot be reached.
    void resume() noexcept;

private:
    Context& context_;
    std::optional<pg::Pooler> pooler_;
    bool paused_;
};

} // namespace pgcarve::run
