#include "run/authority/pool_pause.hpp"

#include <fmt/format.h>

namespace pgcarve::run {

using base::Error;
using base::Exit;

PoolPause::PoolPause(Context& context, std::optional<model::PoolerSettings> const& pooler, bool maybe_paused) : context_{context}, paused_{maybe_paused} {
    if (pooler)
        pooler_.emplace(pooler->dsn, pooler->database);
}

PoolPause::~PoolPause() { resume(); }

void PoolPause::pause(base::Millis limit) {
    if (!pooler_)
        return;
    paused_ = true; // also when the answer is lost
    if (pooler_->pause(limit))
        return;
    paused_ = false;
    throw Error{Exit::unavailable, "pool-not-paused", fmt::format("transactions through PgBouncer's database {} did not end within {}", pooler_->database(), base::format_duration(limit)),
                "nothing was changed, and the pool runs; try at a quieter time, or end what runs for so long"};
}

void PoolPause::resume() noexcept {
    if (!pooler_ || !paused_)
        return;
    try {
        pooler_->resume();
        paused_ = false;
    } catch (std::exception const& e) {
        context_.events.warn(fmt::format("{}; its clients wait until somebody types RESUME {} in its console", e.what(), sql::quote_ident(pooler_->database())));
    }
}

} // namespace pgcarve::run
