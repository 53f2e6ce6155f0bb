#include <algorithm>

#include <fmt/format.h>

#include "catalog/reader.hpp"
#include "control/throttle.hpp"
#include "run/authority/database_facts.hpp"
#include "run/facts.hpp"
#include "run/status_parts.hpp"
#include "run/stream/lag.hpp"
#include "run/stream/loose.hpp"
#include "run/stream/route.hpp"

namespace pgcarve::run {

using base::Millis;
using cutover::Phase;

namespace {

constexpr Millis probe_for{2'000}; // nobody waits longer for a status

void show_lag(StreamLag const& lag, model::ServiceStatus& status) {
    if (lag.bytes)
        status.lag.bytes = *lag.bytes;
    if (lag.behind)
        status.lag.seconds = static_cast<double>(lag.behind->count()) / 1000.0;
}

std::string what_next(StreamLag const& lag, control::ServiceState const& state, model::Gate const& gate, bool running) {
    bool const back = state.phase == Phase::database_live;
    if (lag.slot_problem && !lag.slot_problem->empty())
        return fmt::format("{}: {}", *lag.slot_problem, lag.mend);
    if (!running)
        return fmt::format("pgcarve sync {}", state.name);
    if (state.phase == Phase::copying)
        return "nothing: the sync runs";
    if (back)
        return fmt::format("pgcarve complete {0} when nobody needs the way back; until then pgcarve rollback {0} is {1}", state.name,
                           gate.open() ? "open" : "shut: " + first_hint(gate, state.name));
    return gate.open() ? fmt::format("pgcarve cutover {}", state.name) : first_hint(gate, state.name);
}

} // namespace

void show_history(control::Store::History const& history, model::ServiceStatus& status) {
    if (history.agreed_for)
        status.window.elapsed_seconds = history.agreed_for->count() / 1000;
    if (!history.last)
        return;
    model::VerificationSummary last;
    last.verdict = history.last->verdict == "clean"       ? model::Verdict::clean
                   : history.last->verdict == "different" ? model::Verdict::different
                                                          : model::Verdict::incomplete;
    last.time = history.last_at.value_or("");
    last.age_seconds = static_cast<double>(history.last->age.count()) / 1000.0;
    last.clean_in_a_row = history.clean_runs;
    last.id = history.last_id;
    last.mode = history.last->full ? "full" : "incremental";
    last.rows = history.last_rows;
    last.differences = history.last_differences;
    status.last_verification = last;
}

std::string first_hint(model::Gate const& gate, std::string const& service) {
    for (auto const& condition : gate.conditions) {
        if (condition.state != model::ConditionState::pass && !condition.overridden && !condition.hint.empty())
            return fmt::format("{} ({})", condition.hint, condition.id);
    }
    return fmt::format("pgcarve verify {}", service);
}

void show_stream(Context& context, pg::Session& shared, control::ServiceState const& state, model::Catalog const& catalog,
                 model::ServiceStatus& status) {
    auto const& setup = *state.setup;
    bool const back = state.phase == Phase::database_live;
    bool const running = control::Store{shared}.lease_holder(state.name).has_value();
    auto const throttle = control::throttle_state(shared, state.name);
    if (running && throttle.waits)
        status.throttled = throttle.waits;
    else if (throttle.asked)
        status.throttled = fmt::format("copying waits, as {} asked: {}", throttle.asked_by, *throttle.asked);
    try {
        auto const way = route(context, state.name, *setup.database, back);
        status.loose = loose_status(context, shared, state);
        pg::Session other{other_database(context, state.name, "status")};
        auto& source = back ? other : shared;
        auto& target = back ? shared : other;
        bool const streams = state.phase != Phase::copying;
        auto const still_runs = [&] { return control::Store{shared}.lease_holder(state.name).has_value(); };
        auto const probed = running && streams ? probe_lag(way, source, target, probe_for, still_runs, context.interrupt) : std::nullopt;
        auto const lag = probed ? *probed : read_lag(way, source, streams ? &target : nullptr);
        show_lag(lag, status);
        if (streams) {
            auto const there = catalog::read_catalog(other);
            show_history(control::Store{shared}.history(state.name, database_signature(setup, catalog, there)), status);
            DatabaseView const view{state, shared, other, catalog, there};
            cutover::GateFacts facts;
            status.gate = judge_database(context, view, lag, back, {}, &facts);
            status.drift = facts.drift.value_or(std::vector<std::string>{});
        }
        status.next = what_next(lag, state, status.gate, running);
    } catch (base::Error const& e) {
        if (e.exit() != base::Exit::unavailable && e.exit() != base::Exit::usage)
            throw;
        context.interrupt.check();
        if (!back)
            show_lag(read_lag(Route{state.name, setup.database->name, false, context.map.dsn, "", {}}, shared, nullptr), status);
        cutover::GateQuestion question;
        question.hop = cutover::Hop::database;
        question.rollback = back;
        cutover::GateFacts facts;
        facts.service = state.name;
        if (state.phase != Phase::copying)
            status.gate = evaluate(question, facts);
        status.next = e.message() + (e.hint().empty() ? "" : ": " + e.hint());
    }
}

} // namespace pgcarve::run
