#include "run/authority/database_hop.hpp"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "catalog/foundation.hpp"
#include "catalog/reader.hpp"
#include "plan/database.hpp"
#include "run/authority/move_parts.hpp"
#include "run/crossings.hpp"

namespace pgcarve::run {

using base::Error;
using base::Exit;
using base::Millis;
using Clock = std::chrono::steady_clock;

namespace {

constexpr Millis catches_up_within{60'000}; // when no sync runs and the verb streams by itself
constexpr Millis in_step{100};              // a marker that is applied this soon: the drain under the fence will be short

} // namespace

DatabaseHop::DatabaseHop(Context& given, MoveRequest const& asked, control::ServiceState found)
    : context{given}
    , request{asked}
    , verb{cutover::text(asked.event)}
    , rollback{asked.event == cutover::Event::rollback}
    , limits{limits_of(given, asked.service)}
    , state{std::move(found)}
    , forth{route(given, asked.service, database(), rollback)}
    , back{route(given, asked.service, database(), !rollback)}
    , wake{given.interrupt}
    , shared{given.shared(verb)}
    , steps{other_database(given, asked.service, verb), database().name}
    , guard_{given.interrupt.on_request([this] {
        shared.cancel();
        steps.cancel();
    })} {}

std::string DatabaseHop::line(control::Attempt const& attempt, std::string const& step) { return fmt::format("attempt {}: {}", attempt.id, step); }

bool DatabaseHop::switched(control::Attempt const& attempt) {
    return attempt.done.contains("switch") || (rollback && steps.done(line(attempt, closing())));
}

bool DatabaseHop::opened(control::Attempt const& attempt) {
    return attempt.done.contains(opening()) || (!rollback && steps.done(line(attempt, opening())));
}

void DatabaseHop::read_catalogs() {
    shared_catalog = catalog::read_catalog(shared);
    other_catalog = catalog::read_catalog(other());
}

std::vector<model::SeveredKey> DatabaseHop::severed() { return severance(context, shared, state, shared_catalog).keys; }

StreamLag DatabaseHop::measure() {
    auto const streams = [&] { return control::Store{shared}.lease_holder(request.service).has_value(); };
    if (streams()) {
        if (auto const probed = probe_lag(forth, old_side(), new_side(), limits.max_lag + Millis{1'000}, streams, context.interrupt))
            return *probed;
    }
    if (request.dry_run)
        return read_lag(forth, old_side(), &new_side());
    lease = std::make_unique<control::Lease>(context.shared("lease"), request.service, verb, context.operator_name);
    auto lag = read_lag(forth, old_side(), &new_side());
    if (!lag.slot_problem || !lag.slot_problem->empty())
        return lag;
    auto const mapping = read_mapping(forth, old_side());
    auto const stream = open_stream(context, forth, mapping, wake.get());
    lag.drain = catch_up(*stream);
    lag.behind = *lag.drain;
    lag.growing = false;
    stream->stop();
    return lag;
}

Millis DatabaseHop::catch_up(sync::Stream& stream) {
    for (auto const deadline = Clock::now() + catches_up_within;;) {
        auto const began = Clock::now();
        auto const left = std::chrono::duration_cast<Millis>(deadline - began);
        bool const reached = left.count() > 0 && stream.run_until(sync::mark(old_side()), left, context.interrupt);
        context.interrupt.check();
        if (!reached)
            throw Error{Exit::not_proven, "not-in-step", fmt::format("the stream did not catch up within {}", base::format_duration(catches_up_within)),
                        fmt::format("nothing was changed; run `pgcarve sync {}` until it has, then the same command again", request.service)};
        auto const took = std::chrono::duration_cast<Millis>(Clock::now() - began);
        if (took <= std::max(in_step, limits.max_write_block / 10))
            return took;
    }
}

ServerSwitch DatabaseHop::server_switch(control::Attempt const& attempt) {
    auto const find = [&](std::string const& id) -> model::Step const& { return *std::ranges::find(attempt.plan.steps, id, &model::Step::id); };
    auto const& catalog = rollback ? other_catalog : shared_catalog;
    ServerSwitch what;
    what.verb = verb;
    what.forth = forth;
    what.back = back;
    what.locked = plan::database_tables_to_lock(database(), catalog, rollback);
    what.quiet = plan::database_tables_to_lock(database(), rollback ? shared_catalog : other_catalog, !rollback);
    what.close = find(closing()).sql;
    what.open = find(opening()).sql;
    what.max_write_block = limits.max_write_block;
    std::vector<base::Oid> oids;
    for (auto const& pair : forth.tables) {
        if (auto const* const table = catalog.find(pair.source))
            oids.push_back(table->oid);
    }
    what.sequences = ddl::sequence_handovers(catalog, catalog::read_foundation(old_side(), oids), forth.tables);
    return what;
}

void DatabaseHop::undo(control::Attempt const& attempt, std::string const& why) {
    context.events.warn(fmt::format("the {} is taken back: {}", verb, why));
    auto const quietly = [](int, std::vector<pg::Blocker> const&) {};
    auto const& planned = attempt.plan.steps;
    for (auto step = planned.rbegin(); step != planned.rend(); ++step) {
        bool const there = step->id.starts_with("other:");
        if (there)
            steps.undo(line(attempt, step->id));
        if (step->id.starts_with("make:")) // also one that was not journaled any more
            drop_slot(context, new_side(), back.name);
        if (!attempt.done.contains(step->id))
            continue;
        pg::with_lock_retry(
            shared, pg::LockPolicy{}, {},
            [&](pg::Transaction&) {
                for (auto const& statement : there ? std::vector<std::string>{} : step->undo)
                    shared.run(statement);
                control::Store{shared}.step_undone(*lease, attempt, step->id);
            },
            quietly);
    }
    sync::prepare_target(old_side());
    sync::forget(old_side(), back.name);
    pg::Transaction transaction{shared};
    control::Store{shared}.finish_attempt(*lease, attempt, true, {{"why", why}});
    transaction.commit();
}

} // namespace pgcarve::run
