// The life of a service, both hops: the one table of which phase may follow which.
//
//   planned ─split→ backfilling → dual_writing ─cutover→ schema_live ─sync→ copying → syncing ─cutover→ database_live → completed
//
// Stored as text in pgcarve.service (with a CHECK), changed only by compare-and-set under
// the service's lease (control/store.hpp).
#pragma once

#include <array>
#include <optional>
#include <string_view>

namespace pgcarve::cutover {

enum class Phase { planned, backfilling, dual_writing, schema_live, copying, syncing, database_live, completed };

enum class Event {
    split,      // the mirror is going in, rows are being copied under it
    backfilled, // every row is on both sides
    sync,       // the copy into the database begins
    copied,     // the copy has caught up, the stream goes on
    cutover,
    rollback,
    complete,
    cancel,
};

// Which side takes writes.
enum class Authority { shared, schema, database };

struct Transition {
    Phase from;
    Event on;
    Phase to;
};

inline constexpr std::array transitions{
    Transition{Phase::planned, Event::split, Phase::backfilling},
    Transition{Phase::backfilling, Event::backfilled, Phase::dual_writing},
    Transition{Phase::dual_writing, Event::cutover, Phase::schema_live},
    Transition{Phase::schema_live, Event::rollback, Phase::dual_writing},
    Transition{Phase::schema_live, Event::complete, Phase::completed},
    Transition{Phase::schema_live, Event::sync, Phase::copying},
    Transition{Phase::planned, Event::sync, Phase::copying},
    Transition{Phase::copying, Event::copied, Phase::syncing},
    Transition{Phase::syncing, Event::cutover, Phase::database_live},
    Transition{Phase::database_live, Event::rollback, Phase::syncing},
    Transition{Phase::database_live, Event::complete, Phase::completed},
    // Cancelling the first hop leads back to its start. The second hop's goes to whichever phase it began in,
    // planned or schema_live, which the control schema remembers: next() takes it as `base`.
    Transition{Phase::backfilling, Event::cancel, Phase::planned},
    Transition{Phase::dual_writing, Event::cancel, Phase::planned},
};

// Where `on` leads from `from`; nullopt when it is not allowed there. `base` is the phase the current hop began in.
[[nodiscard]] constexpr std::optional<Phase> next(Phase from, Event on, Phase base = Phase::planned) {
    if (on == Event::cancel && (from == Phase::copying || from == Phase::syncing))
        return base;
    for (auto const& t : transitions) {
        if (t.from == from && t.on == on)
            return t.to;
    }
    return std::nullopt;
}

static_assert(!next(Phase::backfilling, Event::cutover));
static_assert(!next(Phase::completed, Event::rollback));
static_assert(!next(Phase::schema_live, Event::cancel));
static_assert(next(Phase::syncing, Event::cancel, Phase::schema_live) == Phase::schema_live);

[[nodiscard]] std::string_view text(Phase v);
[[nodiscard]] std::string_view text(Event v);
[[nodiscard]] std::string_view text(Authority v);
[[nodiscard]] std::optional<Phase> parse_phase(std::string_view text);
[[nodiscard]] std::optional<Authority> parse_authority(std::string_view text);

} // namespace pgcarve::cutover
