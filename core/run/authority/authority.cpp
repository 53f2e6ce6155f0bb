#include "run/authority/authority.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "catalog/reader.hpp"
#include "control/migrations.hpp"
#include "plan/authority.hpp"
#include "run/authority/database_move.hpp"
#include "run/authority/move_parts.hpp"
#include "run/authority/switch.hpp"
#include "run/executor.hpp"
#include "run/facts.hpp"
#include "run/proof/verification.hpp"

namespace pgcarve::run {

using base::Error;
using base::Exit;
using cutover::Event;
using cutover::Phase;
using nlohmann::json;

namespace {

struct Judged {
    model::Gate gate;
    cutover::GateFacts facts;
};

Judged judge(Context const& context, pg::Session& session, control::ServiceState const& state,
             model::Catalog const& catalog, Event event, std::map<std::string, std::string> const& overrides) {
    cutover::GateQuestion question;
    question.rollback = event == Event::rollback;
    question.moves_tables = state.setup && state.setup->strategy == model::Strategy::move;
    question.limits = limits_of(context, state.name);
    question.overrides = overrides;
    auto now = state;
    now.setup = current_names(state);
    auto facts = collect_facts(session, now, catalog, question.rollback);
    auto gate = evaluate(question, facts);
    return {std::move(gate), std::move(facts)};
}

class Move {
public:
    Move(Context& context, MoveRequest const& request, Confirm const& confirm)
        : context_{context}
        , request_{request}
        , confirm_{confirm}
        , verb_{cutover::text(request.event)}
        , from_{request.event == Event::cutover ? Phase::dual_writing : Phase::schema_live}
        , to_{request.event == Event::cutover ? Phase::schema_live : Phase::dual_writing}
        , session_{context.shared(verb_)} {}

    MoveOutcome run() {
        control::require_current(session_, control::embedded_migrations());
        auto const guard = context_.interrupt.on_request([this] { session_.cancel(); });
        check_overrides(request_);
        auto const before = state();
        auto open = control::Store{session_}.open_attempt(request_.service);
        require_own_attempt(open, verb_, request_.service);
        if (before.phase == to_ && !open && was_last(verb_))
            return already();
        if (before.phase != from_ && !(open && before.phase == to_))
            wrong_phase(before);

        result_.verb = verb_;
        result_.service = request_.service;
        result_.from = cutover::text(from_);
        bool const moved = before.phase == to_;
        auto catalog = catalog::read_catalog(session_);
        model::Plan plan;
        if (open) {
            plan = open->plan;
        } else {
            plan = plan::plan_authority(request_.service, current_names(before), catalog, authority());
        }
        if (!moved && !gate_open(before, catalog)) {
            if (open)
                context_.events.warn(fmt::format("an earlier {} was interrupted before the switch; it is taken back", verb_));
            if (open && confirm_(plan))
                take_back(*open);
            return {std::move(result_), true};
        }
        for (auto const& notice : plan.notices) {
            if (notice.refuses)
                throw Error{Exit::needs_decision, "plan-refused", fmt::format("{}: {}", notice.object, notice.text), notice.hint};
        }
        if (!confirm_(plan))
            return {std::move(result_), false};

        control::Lease const lease{context_.shared("lease"), request_.service, verb_, context_.operator_name};
        auto attempt = open ? std::move(*open) : begin(lease, plan);
        execute(lease, std::move(attempt));
        return {std::move(result_), true};
    }

private:
    [[nodiscard]] cutover::Authority authority() const {
        return request_.event == Event::cutover ? cutover::Authority::schema : cutover::Authority::shared;
    }

    control::ServiceState state() {
        auto found = control::Store{session_}.service(request_.service);
        if (!found) {
            auto const& known = context_.service(request_.service); // a name that nobody knows is told from one that was never split
            throw Error{Exit::usage, "wrong-phase", fmt::format("service {} was never split", request_.service),
                        known.database ? fmt::format("run `pgcarve split {0}` first, or `pgcarve sync {0}` straight to its own database", request_.service)
                                       : fmt::format("run `pgcarve split {}` first", request_.service)};
        }
        return *std::move(found);
    }

    bool was_last(std::string const& verb) {
        auto const last = control::Store{session_}.last_finished(request_.service);
        return last && last->verb == verb && last->state == "finished";
    }

    MoveOutcome already() {
        control::Store{session_}.sweep_lease(request_.service);
        auto const last = control::Store{session_}.last_finished(request_.service);
        result_.verb = verb_;
        result_.service = request_.service;
        result_.from = result_.to = cutover::text(to_);
        result_.already = true;
        if (last->result.contains("write_block_ms"))
            result_.write_block_ms = last->result.at("write_block_ms").get<double>();
        result_.next = next_command();
        return {std::move(result_), true};
    }

    [[noreturn]] void wrong_phase(control::ServiceState const& now) const {
        throw Error{Exit::usage, "wrong-phase",
                    fmt::format("service {} is {}; a {} of the schema hop starts from {}", request_.service,
                                cutover::text(now.phase), verb_, cutover::text(from_)),
                    fmt::format("`pgcarve status {}` says what comes next; nothing was touched", request_.service)};
    }

    bool gate_open(control::ServiceState const& now, model::Catalog const& catalog) {
        auto const judged = judge(context_, session_, now, catalog, request_.event, request_.overrides);
        result_.gate = judged.gate;
        result_.to = result_.from;
        if (judged.facts.predicted_write_block)
            result_.predicted_write_block_ms = static_cast<double>(judged.facts.predicted_write_block->count());
        if (!result_.gate.open())
            result_.next = fmt::format("pgcarve status {}", request_.service);
        return result_.gate.open();
    }

    control::Attempt begin(control::Lease const& lease, model::Plan const& plan) {
        pg::Transaction transaction{session_};
        control::Store store{session_};
        store.check_lease(lease);
        if (state().phase != from_)
            wrong_phase(state());
        auto attempt = store.begin_attempt(lease, plan);
        transaction.commit();
        return attempt;
    }

    void execute(control::Lease const& lease, control::Attempt attempt) {
        Executor executor{context_, session_, lease, std::move(attempt)};
        executor.alone(plan::switch_step, [&](model::Step const& step) { perform(lease, executor, step); });
        executor.alone("hook", [&](model::Step const&) { run_move_hook(context_, request_.event, request_.service, to_); });
        try {
            executor.run();
        } catch (Error const& e) {
            if (executor.done(plan::switch_step) || !session_.alive())
                throw; // what is left is finished by a rerun
            undo(lease, executor.attempt(), e.what());
            throw;
        }
        auto const timing = control::Store{session_}.step_detail(executor.attempt(), plan::switch_step);
        result_.to = cutover::text(to_);
        if (timing.contains("write_block_ms"))
            result_.write_block_ms = timing.at("write_block_ms").get<double>();
        result_.next = next_command();
        executor.finish({{"write_block_ms", result_.write_block_ms.value_or(0)}, {"to", result_.to}});
    }

    void perform(control::Lease const& lease, Executor& executor, model::Step const& step) {
        Switch what;
        auto const now = state();
        auto const setup = current_names(now);
        what.tables = plan::tables_to_lock(setup, catalog::read_catalog(session_), now.authority);
        what.renames = setup.strategy == model::Strategy::move || setup.legacy == model::Legacy::view;
        what.statements = step.sql;
        what.max_write_block = limits_of(context_, request_.service).max_write_block;
        context_.events.info(step.why);
        auto& attempt = executor.attempt();
        try {
            perform_switch(context_, session_, what, verb_, [&](SwitchTiming const& timing) {
                control::Store store{session_};
                store.advance(lease, request_.event, from_);
                record_overrides(store, lease, request_, result_.gate);
                store.step_done(lease, attempt, step.id,
                                {{"write_block_ms", timing.write_block_ms},
                                 {"worst_try_ms", std::max(timing.worst_try_ms, timing.write_block_ms)},
                                 {"tries", timing.tries}});
            });
        } catch (...) {
            attempt.done.erase(step.id);
            throw;
        }
    }

    void undo(control::Lease const& lease, control::Attempt const& attempt, std::string const& why) {
        auto const& steps = attempt.plan.steps;
        for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
            if (!attempt.done.contains(step->id))
                continue;
            pg::with_lock_retry(
                session_, pg::LockPolicy{}, {},
                [&](pg::Transaction&) {
                    for (auto const& statement : step->undo)
                        session_.run(statement);
                    control::Store{session_}.step_undone(lease, attempt, step->id);
                },
                announce_wait(context_, "taking back " + step->id));
        }
        pg::Transaction transaction{session_};
        control::Store{session_}.finish_attempt(lease, attempt, true, {{"why", why}});
        transaction.commit();
    }

    void take_back(control::Attempt const& attempt) {
        control::Lease const lease{context_.shared("lease"), request_.service, verb_, context_.operator_name};
        undo(lease, attempt, "the gate has closed since");
        result_.undone = "the gate has closed since the interrupted run began";
    }

    [[nodiscard]] std::string next_command() const {
        return request_.event == Event::cutover
                   ? fmt::format("pgcarve verify {0}; `pgcarve rollback {0}` is the way back", request_.service)
                   : fmt::format("pgcarve verify {}", request_.service);
    }

    Context& context_;
    MoveRequest const& request_;
    Confirm const& confirm_;
    std::string verb_;
    Phase from_;
    Phase to_;
    pg::Session session_;
    model::CutoverResult result_;
};

} // namespace

MoveOutcome move_authority(Context& context, MoveRequest const& request, Confirm const& confirm) {
    return concerns_database(context, request) ? move_database(context, request, confirm, std::nullopt) : Move{context, request, confirm}.run();
}

model::Gate gate_now(Context& context, pg::Session& session, control::ServiceState const& state,
                     model::Catalog const& catalog, Event event, std::map<std::string, std::string> const& overrides) {
    return judge(context, session, state, catalog, event, overrides).gate;
}

} // namespace pgcarve::run
