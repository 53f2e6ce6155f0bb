// Works off what was noted of referenced keys that are gone (plan/loose.hpp), at rows in another database.
//
// By state, so that it may be killed anywhere and run again: a key that the parent has again is dropped from the queue;
// otherwise the key's action is done to the child's rows in batches, each committed only after another look that the
// parent still lacks the key (so rows that refer to a new parent of that key are never met), and the entry goes when no row
// refers to the key. What cannot be done stays in the queue with the reason, and is tried again with growing pauses.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/duration.hpp"
#include "control/store.hpp"
#include "model/status.hpp"
#include "run/context.hpp"

namespace pgcarve::run {

class LooseKeys {
public:
    // `throttle`: the limits now; empty: those of the boundary map.
    LooseKeys(Context& context, std::string service, std::function<model::Throttle()> throttle = {});
    ~LooseKeys();

    // What is due, for about `budget`; trouble with one entry or server is told and left for the next call. Does nothing
    // while the service has no loose keys. `shared`: outside of a transaction.
    void drain(pg::Session& shared, base::Millis budget = base::Millis{250});
    // Whether the last call left nothing that could be done at once.
    [[nodiscard]] bool idle() const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

// When the keys are real again, or for ever gone: works off what is noted still, for a minute at most, and forgets the rest with a
// warning that says how many. The triggers are gone by then. `other`: the service's own database.
void finish_loose_keys(Context& context, std::string const& service, pg::Session& shared, pg::Session& other);

// Rows without a parent, as the shared database has both tables: before the cutover these are they, afterwards one of the two
// follows, and a row whose parent is still under way counts as well. A key whose constraint is there and proven needs no
// look. nullopt: it takes longer than `limit` for a key.
[[nodiscard]] std::optional<std::vector<model::OrphanCount>> count_orphans(pg::Session& shared, std::vector<model::SeveredKey> const& keys, base::Millis limit);

// Counts once a day, beside the caller, and remembers for status.
class OrphanWatch {
public:
    OrphanWatch(Context& context, std::string service);
    ~OrphanWatch(); // breaks the counting off
    void look(pg::Session& shared); // returns at once

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

// For status; nullopt: the service has no loose keys. What is noted in the service's own database is asked there.
[[nodiscard]] std::optional<model::LooseStatus> loose_status(Context& context, pg::Session& shared, control::ServiceState const& state);

} // namespace pgcarve::run
