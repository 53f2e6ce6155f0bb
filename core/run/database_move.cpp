#include "run/database_move.hpp"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "catalog/foundation.hpp"
#include "catalog/reader.hpp"
#include "control/migrations.hpp"
#include "pg/wake.hpp"
#include "plan/database.hpp"
#include "run/database_canary.hpp"
#include "run/database_facts.hpp"
#include "run/database_switch.hpp"
#include "run/executor.hpp"
#include "run/facts.hpp"
#include "run/move_parts.hpp"
#include "run/route.hpp"
#include "run/sync_target.hpp"

namespace pgcarve::run {

using base::Error;
using base::Exit;
using base::Millis;
using cutover::Event;
using cutover::Phase;
using nlohmann::json;
using Clock = std::chrono::steady_clock;

namespace {

constexpr Millis catches_up_within{60'000}; // when no sync runs and the verb streams by itself
constexpr Millis in_step{100};              // a marker that is applied this soon: the drain under the fence will be short
constexpr Millis opens_within{60'000};      // behind the point of no return, before it is left to a rerun

Phase from_of(Event event) { return event == Event::cutover ? Phase::syncing : Phase::database_live; }
Phase to_of(Event event) { return event == Event::cutover ? Phase::database_live : Phase::syncing; }

class DatabaseMove {
public:
    DatabaseMove(Context& context, MoveRequest const& request, Confirm const& confirm, control::ServiceState state)
        : context_{context}
        , request_{request}
        , confirm_{confirm}
        , verb_{cutover::text(request.event)}
        , rollback_{request.event == Event::rollback}
        , limits_{limits_of(context, request.service)}
        , state_{std::move(state)}
        , forth_{route(context, request.service, database(), rollback_)}
        , back_{route(context, request.service, database(), !rollback_)}
        , session_{context.shared(verb_)}
        , steps_{other_database(context, request.service, verb_), database().name}
        , guard_{context.interrupt.on_request([this] {
            session_.cancel();
            steps_.cancel();
        })} {
        result_.verb = verb_;
        result_.service = request.service;
        result_.from = cutover::text(from_of(request.event));
        result_.to = result_.from;
    }

    MoveOutcome run() {
        check_overrides(request_);
        auto open = control::Store{session_}.open_attempt(request_.service);
        require_own_attempt(open, verb_, request_.service);
        read_catalogs();
        if (open && switched(*open))
            return finish_switched(*open);
        require_agreement();
        if (!gate_open()) {
            if (open)
                take_back(*std::move(open));
            return {std::move(result_), true};
        }
        auto const plan = open ? open->plan : make_plan();
        refuse_if_told(plan, fmt::format("{} of {} cannot go on", verb_, request_.service));
        if (!confirm_(plan))
            return {std::move(result_), false};
        take_lease();
        execute(open ? *std::move(open) : begin(plan));
        return {std::move(result_), true};
    }

private:
    [[nodiscard]] model::DatabaseSetup const& database() const { return *state_.setup->database; }
    [[nodiscard]] pg::Session& other() { return steps_.session(); }
    [[nodiscard]] pg::Session& old_side() { return rollback_ ? other() : session_; }
    [[nodiscard]] pg::Session& new_side() { return rollback_ ? session_ : other(); }
    // The step with which the old side closes, and that with which the new one opens.
    [[nodiscard]] std::string closing() const { return rollback_ ? "other:close" : "switch"; }
    [[nodiscard]] std::string opening() const { return rollback_ ? "switch" : "other:open"; }
    [[nodiscard]] static std::string line(control::Attempt const& attempt, std::string const& step) { return fmt::format("attempt {}: {}", attempt.id, step); }

    void read_catalogs() {
        shared_catalog_ = catalog::read_catalog(session_);
        other_catalog_ = catalog::read_catalog(other());
    }

    [[nodiscard]] DatabaseView view() { return {state_, session_, other(), shared_catalog_, other_catalog_}; }

    // Behind the point of no return.
    bool switched(control::Attempt const& open) {
        return rollback_ ? open.done.contains("switch") || steps_.done(line(open, "other:close")) : open.done.contains("switch");
    }

    // Each side has its own record of who takes writes; a server that was restored from a backup may have an old one.
    void require_agreement() {
        auto const there = authority_recorded(other(), database().name);
        std::string const expected = rollback_ ? "database" : "shared";
        if (there != expected)
            throw Error{Exit::needs_decision, "authority-disputed",
                        fmt::format("the shared database says that {} is {}, the other one that its authority is \"{}\"", request_.service,
                                    cutover::text(state_.phase), there.value_or("unknown")),
                        "one of the servers has lost its last transactions (restored, failed over): find out which rows are right before anything "
                        "is moved; nothing was touched"};
    }

    // ---- the gate

    bool gate_open() {
        auto lag = measure();
        cutover::GateFacts facts;
        result_.gate = judge_database(context_, view(), lag, rollback_, request_.overrides, &facts);
        if (facts.predicted_write_block)
            result_.predicted_write_block_ms = static_cast<double>(facts.predicted_write_block->count());
        if (!result_.gate.open())
            result_.next = fmt::format("pgcarve status {}", request_.service);
        return result_.gate.open();
    }

    // From the sync that runs; when none does, by streaming for a while in its place.
    StreamLag measure() {
        if (request_.dry_run)
            return read_lag(forth_, old_side(), &new_side());
        if (control::Store{session_}.lease_holder(request_.service))
            return probe_lag(forth_, old_side(), new_side(), limits_.max_lag + Millis{1'000}, context_.interrupt);
        lease_ = std::make_unique<control::Lease>(context_.shared("lease"), request_.service, verb_, context_.operator_name);
        auto lag = read_lag(forth_, old_side(), &new_side());
        if (!lag.slot_problem || !lag.slot_problem->empty())
            return lag;
        auto const mapping = read_mapping(forth_, old_side());
        auto const stream = open_stream(context_, forth_, mapping, wake_.get());
        lag.drain = catch_up(*stream);
        lag.behind = *lag.drain;
        lag.growing = false;
        stream->stop();
        return lag;
    }

    // Until a marker comes through at once. Returns how long the last one took.
    Millis catch_up(sync::Stream& stream) {
        for (auto const deadline = Clock::now() + catches_up_within;;) {
            auto const began = Clock::now();
            auto const left = std::chrono::duration_cast<Millis>(deadline - began);
            bool const reached = left.count() > 0 && stream.run_until(sync::mark(old_side()), left, context_.interrupt);
            context_.interrupt.check();
            if (!reached)
                throw Error{Exit::not_proven, "not-in-step", fmt::format("the stream did not catch up within {}", base::format_duration(catches_up_within)),
                            fmt::format("nothing was changed; run `pgcarve sync {}` until it has, then the same command again", request_.service)};
            auto const took = std::chrono::duration_cast<Millis>(Clock::now() - began);
            if (took <= std::max(in_step, limits_.max_write_block / 10))
                return took;
        }
    }

    // ---- plan, lease, attempt

    model::Plan make_plan() {
        plan::DatabaseSides const sides{shared_catalog_, other_catalog_};
        return rollback_ ? plan::plan_database_rollback(request_.service, *state_.setup, sides)
                         : plan::plan_database_cutover(request_.service, *state_.setup, sides, severed());
    }

    std::vector<model::SeveredKey> severed() {
        std::vector<model::SeveredKey> keys;
        for (auto const& decided : decided_keys(context_, request_.service, *state_.setup, shared_catalog_))
            keys.push_back(decided.key);
        return keys;
    }

    void take_lease() {
        if (!lease_)
            lease_ = std::make_unique<control::Lease>(context_.shared("lease"), request_.service, verb_, context_.operator_name, control::Lease::From::sync);
    }

    control::Attempt begin(model::Plan const& plan) {
        pg::Transaction transaction{session_};
        control::Store store{session_};
        store.check_lease(*lease_);
        auto const now = store.service(request_.service);
        if (!now || now->phase != from_of(request_.event))
            throw Error{Exit::usage, "wrong-phase", fmt::format("service {} is no longer {}", request_.service, cutover::text(from_of(request_.event))),
                        fmt::format("look with `pgcarve status {}`; nothing was touched", request_.service)};
        auto attempt = store.begin_attempt(*lease_, plan);
        transaction.commit();
        return attempt;
    }

    // ---- steps

    void execute(control::Attempt attempt) {
        opened_ = attempt.done.contains(opening()) || (!rollback_ && steps_.done(line(attempt, opening())));
        Executor executor{context_, session_, *lease_, std::move(attempt)};
        auto const on_wait = [this](std::string const& what) { return announce_wait(context_, what); };
        executor.alone("other", [&](model::Step step) {
            step.id = line(executor.attempt(), step.id);
            steps_.run(step, on_wait(step.id));
        });
        executor.alone("make", [&](model::Step const&) { make_slot(context_, back_, new_side(), limits_.max_transaction_age); });
        executor.alone(closing(), [&](model::Step const& step) { close(executor, step); });
        executor.alone(opening(), [&](model::Step const& step) { open(executor, step); });
        executor.alone("hook", [&](model::Step const&) {
            run_move_hook(context_, request_.event, request_.service, to_of(request_.event));
        });
        executor.alone("prove-again", [&](model::Step const& step) { prove_again(step); });
        executor.alone("drop", [&](model::Step const&) {
            drop_slot(context_, old_side(), forth_.name);
            sync::forget(new_side(), forth_.name);
        });
        try {
            executor.run();
        } catch (Error const& e) {
            on_failure(executor, e);
        }
        steps_.forget_lines(line(executor.attempt(), ""));
        report(executor.attempt());
        executor.finish({{"write_block_ms", result_.write_block_ms.value_or(0)}, {"to", result_.to}}, false, [&] {
            if (rollback_)
                forget_severed();
        });
    }

    [[noreturn]] void on_failure(Executor& executor, Error const& e) {
        if (decided_ == Decided::yes && !opened_)
            throw Error{Exit::unavailable, "switch-unfinished",
                        fmt::format("the old side is closed and the new one not open yet, so nobody can write: {}", e.what()),
                        fmt::format("run `{}` again at once: it opens the new side", rerun_command(verb_, request_.service))};
        if (decided_ == Decided::unknown)
            throw Error{Exit::unavailable, "in-doubt", fmt::format("a server was lost while the switch was being committed: {}", e.what()),
                        fmt::format("run `{}` again at once: it finds out, and finishes or undoes it", rerun_command(verb_, request_.service))};
        if (decided_ == Decided::no && session_.alive() && other().alive())
            undo_after(executor.attempt(), e);
        throw;
    }

    void undo_after(control::Attempt const& attempt, Error const& e) {
        try {
            undo(attempt, e.what());
        } catch (Error const& undone) {
            throw Error{Exit::unavailable, "undo-unfinished", fmt::format("{}; and what was prepared could not all be taken back: {}", e.what(), undone.what()),
                        fmt::format("authority has not moved; run `{}` again: it goes on or takes it back", rerun_command(verb_, request_.service))};
        }
    }

    // Everything up to the point of no return, and over it when all goes well.
    void close(Executor& executor, model::Step const& step) {
        if (rollback_ && steps_.done(line(executor.attempt(), step.id))) {
            decided_ = Decided::yes;
            return;
        }
        auto& attempt = executor.attempt();
        require_back_slot();
        auto const mapping = read_mapping(forth_, old_side());
        auto const stream = open_stream(context_, forth_, mapping, wake_.get());
        context_.events.info("catching up");
        catch_up(*stream);
        prove_stream(context_, back_, new_side(), wake_.get());
        auto what = server_switch(attempt);
        auto const limit = limits_.max_write_block;
        context_.events.info(step.why);
        control::Store store{session_};
        what.record_close = [&](SwitchTiming const& timing) {
            if (rollback_)
                steps_.record({.id = line(attempt, step.id), .sql = {}, .lock = "", .why = "", .undo = {}});
            else
                record_switch(attempt, timing);
        };
        what.record_open = [&] {
            if (rollback_)
                record_switch(attempt, {});
            else
                steps_.record({.id = line(attempt, opening()), .sql = {}, .lock = "", .why = "", .undo = {}});
        };
        what.max_write_block = limit;
        ServerSwitchResult switched;
        try {
            switch_servers(context_, what, *stream, old_side(), new_side(), switched);
        } catch (...) {
            decided_ = switched.decided;
            attempt.done.erase("switch"); // whatever it became: the next run reads the journal
            if (decided_ != Decided::yes)
                throw;
            context_.events.warn("the old side is closed; the new side is being opened");
            context_.failpoints.hit(verb_ + "/switch/not-open");
        }
        decided_ = Decided::yes;
        opened_ = switched.opened;
        if (opened_)
            result_.write_block_ms = switched.timing.write_block_ms;
        if (!rollback_ || opened_)
            attempt.done.insert("switch"); // committed with the old side, or with the new one
        if (!opened_)
            open(executor, *std::ranges::find(attempt.plan.steps, opening(), &model::Step::id));
    }

    // What is in the journal of the shared database for the moment of the switch.
    void record_switch(control::Attempt& attempt, SwitchTiming const& timing) {
        control::Store store{session_};
        if (!rollback_) {
            auto setup = *state_.setup;
            setup.database->severed = severed();
            store.save_setup(*lease_, setup);
        }
        store.advance(*lease_, request_.event, from_of(request_.event));
        record_overrides(store, *lease_, request_, result_.gate);
        store.step_done(*lease_, attempt, "switch", {{"write_block_ms", timing.write_block_ms}, {"tries", timing.tries}});
    }

    ServerSwitch server_switch(control::Attempt const& attempt) {
        auto const& pairs = database().tables;
        auto const find = [&](std::string const& id) -> model::Step const& {
            return *std::ranges::find(attempt.plan.steps, id, &model::Step::id);
        };
        ServerSwitch what;
        what.verb = verb_;
        what.forth = forth_;
        what.back = back_;
        what.locked = plan::database_tables_to_lock(database(), rollback_ ? other_catalog_ : shared_catalog_, rollback_);
        what.quiet = plan::database_tables_to_lock(database(), rollback_ ? shared_catalog_ : other_catalog_, !rollback_);
        what.close = find(closing()).sql;
        what.open = find(opening()).sql;
        std::vector<base::Oid> oids;
        auto const& catalog = rollback_ ? other_catalog_ : shared_catalog_;
        auto const directed = rollback_ ? plan::turned(pairs) : pairs;
        for (auto const& pair : directed) {
            if (auto const* const table = catalog.find(pair.source))
                oids.push_back(table->oid);
        }
        what.sequences = ddl::sequence_handovers(catalog, catalog::read_foundation(old_side(), oids), directed);
        return what;
    }

    // A slot may have been lost since it was made.
    void require_back_slot() {
        auto const lag = read_lag(back_, new_side(), nullptr);
        if (lag.slot_problem && !lag.slot_problem->empty())
            make_slot(context_, back_, new_side(), limits_.max_transaction_age);
    }

    // Behind the point of no return: again and again, since nobody can write until it is done.
    void open(Executor& executor, model::Step const& step) {
        if (opened_)
            return;
        auto& attempt = executor.attempt();
        auto what = server_switch(attempt);
        what.record_open = [&] {
            if (rollback_)
                record_switch(attempt, {});
            else
                steps_.record({.id = line(attempt, step.id), .sql = {}, .lock = "", .why = "", .undo = {}});
        };
        for (auto const deadline = Clock::now() + opens_within;;) {
            try {
                open_other_side(context_, what, old_side(), new_side());
                break;
            } catch (Error const& e) {
                attempt.done.erase(step.id);
                bool const lost = !session_.alive() || !other().alive();
                if (lost || Clock::now() > deadline || e.exit() != Exit::unavailable)
                    throw;
                context_.events.warn(fmt::format("the new side could not be opened: {}; trying again", e.what()));
                context_.interrupt.wait_for(Millis{250});
            }
        }
        opened_ = true;
        result_.write_block_ms = block_since_closed(attempt);
    }

    // How long writers have waited in all when the switch was not done in one go: since the old side's own record of it.
    double block_since_closed(control::Attempt const& attempt) {
        if (rollback_)
            return other().one(sql::Sql{"SELECT extract(epoch FROM clock_timestamp() - since)::float8 * 1000 AS ms FROM pgcarve.authority WHERE stream = "}
                                   .bind(database().name))
                .real("ms");
        return session_
            .one(sql::Sql{"SELECT extract(epoch FROM clock_timestamp() - at)::float8 * 1000 + (detail ->> 'write_block_ms')::float8 AS ms"
                          " FROM pgcarve.journal WHERE step = 'switch' AND state = 'done' AND attempt = "}
                     .number(attempt.id))
            .real("ms");
    }

    void prove_again(model::Step const& step) {
        auto const name = step.id.substr(step.id.find(':') + 1);
        for (auto const& key : database().severed) {
            if (fmt::format("{}.{}", key.child.display(), sql::display_ident(key.name)) != name)
                continue;
            try {
                pg::with_lock_retry(
                    session_, pg::LockPolicy{}, {key.child.quoted()},
                    [&](pg::Transaction&) {
                        session_.run(fmt::format("ALTER TABLE {} VALIDATE CONSTRAINT {}", key.child.quoted(), sql::quote_ident(key.name)));
                    },
                    announce_wait(context_, step.id));
            } catch (pg::SqlError const& e) {
                if (e.sqlstate() != pg::sqlstate::foreign_key_violation)
                    throw;
                context_.events.warn(fmt::format("{}: {}; the key holds for new rows, and `ALTER TABLE {} VALIDATE CONSTRAINT {}` proves it once these are mended",
                                                 name, e.message(), key.child.quoted(), sql::quote_ident(key.name)));
            }
        }
    }

    void forget_severed() {
        control::Store store{session_};
        auto now = *store.service(request_.service);
        now.setup->database->severed.clear();
        store.save_setup(*lease_, *now.setup);
    }

    // ---- ends

    MoveOutcome finish_switched(control::Attempt open) {
        if (!confirm_(open.plan))
            return {std::move(result_), false};
        take_lease();
        decided_ = Decided::yes;
        execute(std::move(open));
        return {std::move(result_), true};
    }

    void report(control::Attempt const& attempt) {
        result_.to = cutover::text(to_of(request_.event));
        if (!result_.write_block_ms) {
            auto const timing = control::Store{session_}.step_detail(attempt, "switch");
            if (timing.contains("write_block_ms") && timing.at("write_block_ms").get<double>() > 0)
                result_.write_block_ms = timing.at("write_block_ms").get<double>();
        }
        result_.next = rollback_ ? fmt::format("pgcarve sync {}, if it does not run: the stream goes forward again", request_.service)
                                 : fmt::format("pgcarve sync {0}, if it does not run: it keeps the shared database in step; `pgcarve rollback {0}` is the way back",
                                               request_.service);
    }

    void take_back(control::Attempt open) {
        context_.events.warn(fmt::format("an earlier {} was interrupted before the switch; it is taken back", verb_));
        if (!confirm_(open.plan))
            return;
        take_lease();
        undo(open, "the gate has closed since");
        result_.undone = "the gate has closed since the interrupted run began";
    }

    // The last first. What is under way on a stop request is undone all the same.
    void undo(control::Attempt const& attempt, std::string const& why) {
        context_.events.warn(fmt::format("the {} is taken back: {}", verb_, why));
        auto const quietly = [](int, std::vector<pg::Blocker> const&) {};
        auto const& steps = attempt.plan.steps;
        for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
            bool const there = step->id.starts_with("other:");
            if (there)
                steps_.undo(line(attempt, step->id));
            if (step->id.starts_with("make:")) // also one that was not journaled any more
                drop_slot(context_, new_side(), back_.name);
            if (!attempt.done.contains(step->id))
                continue;
            pg::with_lock_retry(
                session_, pg::LockPolicy{}, {},
                [&](pg::Transaction&) {
                    for (auto const& statement : there ? std::vector<std::string>{} : step->undo)
                        session_.run(statement);
                    control::Store{session_}.step_undone(*lease_, attempt, step->id);
                },
                quietly);
        }
        sync::forget(old_side(), back_.name);
        pg::Transaction transaction{session_};
        control::Store{session_}.finish_attempt(*lease_, attempt, true, {{"why", why}});
        transaction.commit();
    }

    Context& context_;
    MoveRequest const& request_;
    Confirm const& confirm_;
    std::string verb_;
    bool rollback_;
    model::Limits limits_;
    control::ServiceState state_;
    Route forth_; // that streams now
    Route back_;  // that will
    pg::WakeFd wake_{context_.interrupt};
    pg::Session session_;
    TargetSteps steps_;
    base::Interrupt::Guard guard_;
    model::Catalog shared_catalog_;
    model::Catalog other_catalog_;
    std::unique_ptr<control::Lease> lease_;
    model::CutoverResult result_;
    Decided decided_ = Decided::no;
    bool opened_ = false;
};

std::optional<control::ServiceState> streamed(pg::Session& session, std::string const& service) {
    auto state = control::Store{session}.service(service);
    if (!state || !state->setup || !state->setup->database)
        return std::nullopt;
    return state;
}

// Before anything is made there: it may be another database than the one the sync was set up with.
void require_known_stream(Context const& context, std::string const& service, std::string const& stream) {
    pg::Session other{other_database(context, service, "plan")};
    if (!authority_recorded(other, stream))
        throw Error{Exit::needs_decision, "stream-unknown", fmt::format("the other database does not know the stream {}", stream),
                    "this is not the database the sync was set up with, or its schema pgcarve was removed; nothing was touched"};
}

// It had been done before: the last verb of a service that is there already.
std::optional<MoveOutcome> done_before(pg::Session& session, MoveRequest const& request, control::ServiceState const& state) {
    control::Store store{session};
    std::string const verb{cutover::text(request.event)};
    auto const last = store.last_finished(request.service);
    if (state.phase != to_of(request.event) || store.open_attempt(request.service) || !last || last->verb != verb || last->state != "finished")
        return std::nullopt;
    store.sweep_lease(request.service);
    MoveOutcome outcome;
    outcome.result.verb = verb;
    outcome.result.service = request.service;
    outcome.result.from = outcome.result.to = cutover::text(state.phase);
    outcome.result.already = true;
    if (last->result.contains("write_block_ms"))
        outcome.result.write_block_ms = last->result.at("write_block_ms").get<double>();
    outcome.result.next = fmt::format("pgcarve status {}", request.service);
    return outcome;
}

} // namespace

bool concerns_database(Context& context, MoveRequest const& request) {
    pg::Session session{context.shared("plan")};
    control::require_current(session, control::embedded_migrations());
    return streamed(session, request.service).has_value();
}

MoveOutcome move_database(Context& context, MoveRequest const& request, Confirm const& confirm) {
    std::optional<control::ServiceState> state;
    {
        pg::Session session{context.shared("plan")};
        state = streamed(session, request.service);
        if (!state)
            base::bug("a database hop of a service that has none");
        if (auto done = done_before(session, request, *state))
            return *std::move(done);
        auto const open = control::Store{session}.open_attempt(request.service);
        std::string const verb{cutover::text(request.event)};
        require_own_attempt(open, verb, request.service);
        if (state->phase != from_of(request.event) && !(open && state->phase == to_of(request.event)))
            throw Error{Exit::usage, "wrong-phase",
                        fmt::format("service {} is {}; a {} of the database hop starts from {}", request.service, cutover::text(state->phase), verb,
                                    cutover::text(from_of(request.event))),
                        fmt::format("`pgcarve status {}` says what comes next; nothing was touched", request.service)};
    }
    require_known_stream(context, request.service, state->setup->database->name);
    return DatabaseMove{context, request, confirm, *std::move(state)}.run();
}

} // namespace pgcarve::run
