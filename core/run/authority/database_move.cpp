#include "run/authority/database_move.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "control/migrations.hpp"
#include "plan/database.hpp"
#include "run/authority/database_canary.hpp"
#include "run/authority/database_hop.hpp"
#include "run/authority/move_parts.hpp"
#include "run/authority/pool_pause.hpp"
#include "run/executor.hpp"
#include "run/facts.hpp"
#include "run/proof/fence_check.hpp"
#include "run/stream/loose.hpp"

namespace pgcarve::run {

using base::Error;
using base::Exit;
using base::Millis;
using cutover::Event;
using cutover::Phase;

namespace {

constexpr Millis opens_within{60'000}; // behind the point of no return, before it is left to a rerun

class DatabaseMove {
public:
    DatabaseMove(Context& context, MoveRequest const& request, Confirm const& confirm, std::optional<model::PoolerSettings> const& pooler,
                 control::ServiceState state)
        : context_{context}, request_{request}, confirm_{confirm}, pooler_{pooler}, hop_{context, request, std::move(state)} {
        result_.verb = hop_.verb;
        result_.service = request.service;
        result_.from = cutover::text(hop_.from());
        result_.to = result_.from;
    }

    MoveOutcome run() {
        check_overrides(request_);
        auto open = control::Store{hop_.shared}.open_attempt(request_.service);
        require_own_attempt(open, hop_.verb, request_.service);
        pool_.emplace(context_, pooler_, open.has_value());
        hop_.read_catalogs();
        bool const switched = open && hop_.switched(*open);
        if (!switched) {
            require_agreement();
            if (!gate_open()) {
                if (open)
                    take_back(*open);
                return {std::move(result_), true};
            }
        }
        auto const plan = open ? open->plan : make_plan();
        refuse_if_told(plan, fmt::format("{} of {} cannot go on", hop_.verb, request_.service));
        if (!confirm_(plan))
            return {std::move(result_), false};
        take_lease();
        decided_ = switched ? Decided::yes : Decided::no;
        execute(open ? *std::move(open) : begin(plan));
        return {std::move(result_), true};
    }

private:
    // Each side has its own record of who takes writes; a server that was restored from a backup may have an old one.
    void require_agreement() {
        auto const there = authority_recorded(hop_.other(), hop_.database().name);
        if (there != (hop_.rollback ? "database" : "shared"))
            throw Error{Exit::needs_decision, "authority-disputed",
                        fmt::format("the shared database says that {} is {}, the other one that its authority is \"{}\"", request_.service,
                                    cutover::text(hop_.state.phase), there.value_or("unknown")),
                        "one of the servers has lost its last transactions (restored, failed over): find out which rows are right before anything "
                        "is moved; nothing was touched"};
    }

    bool gate_open() {
        auto const lag = hop_.measure();
        cutover::GateFacts facts;
        result_.gate = judge_database(context_, hop_.view(), lag, hop_.rollback, request_.overrides, &facts);
        context_.interrupt.check(); // a gate that was judged in a hurry says nothing
        if (facts.predicted_write_block)
            result_.predicted_write_block_ms = static_cast<double>(facts.predicted_write_block->count());
        if (!result_.gate.open())
            result_.next = fmt::format("pgcarve status {}", request_.service);
        return result_.gate.open();
    }

    model::Plan make_plan() {
        plan::DatabaseSides const sides{hop_.shared_catalog, hop_.other_catalog};
        if (hop_.rollback)
            return plan::plan_database_rollback(request_.service, *hop_.state.setup, sides);
        auto plan = plan::plan_database_cutover(request_.service, *hop_.state.setup, sides, hop_.severed());
        // Those of an earlier cutover are there: making them again would hold up readers.
        for (auto const& lock : plan::shared_locks(request_.service, *hop_.state.setup, hop_.shared_catalog)) {
            if (mirrorgen::drift(lock, false, read_installed(hop_.shared, lock)).empty())
                std::erase_if(plan.steps, [&](model::Step const& step) { return step.id == "lock:" + lock.triggers.front().table.display(); });
        }
        return plan;
    }

    void take_lease() {
        if (!hop_.lease)
            hop_.lease = std::make_unique<control::Lease>(context_.shared("lease"), request_.service, hop_.verb, context_.operator_name,
                                                          control::Lease::From::sync);
    }

    control::Attempt begin(model::Plan const& plan) {
        pg::Transaction transaction{hop_.shared};
        control::Store store{hop_.shared};
        store.check_lease(*hop_.lease);
        auto const now = store.service(request_.service);
        if (!now || now->phase != hop_.from())
            throw Error{Exit::usage, "wrong-phase", fmt::format("service {} is no longer {}", request_.service, cutover::text(hop_.from())),
                        fmt::format("look with `pgcarve status {}`; nothing was touched", request_.service)};
        auto attempt = store.begin_attempt(*hop_.lease, plan);
        transaction.commit();
        return attempt;
    }

    // ---- steps

    void execute(control::Attempt attempt) {
        opened_ = hop_.opened(attempt);
        Executor executor{context_, hop_.shared, *hop_.lease, std::move(attempt)};
        executor.alone("other", [&](model::Step step) {
            step.id = hop_.line(executor.attempt(), step.id);
            hop_.steps.run(step, announce_wait(context_, step.id));
        });
        executor.alone("make", [&](model::Step const&) { make_slot(context_, hop_.back, hop_.new_side(), hop_.limits.max_transaction_age); });
        executor.alone(hop_.closing(), [&](model::Step const& step) { close(executor.attempt(), step); });
        executor.alone(hop_.opening(), [&](model::Step const& step) { open(executor.attempt(), step); });
        executor.alone("hook", [&](model::Step const&) {
            run_move_hook(context_, request_.event, request_.service, hop_.to());
            resume_clients();
        });
        executor.alone("drain", [&](model::Step const&) { finish_loose_keys(context_, request_.service, hop_.shared, hop_.other()); });
        executor.alone("prove-again", [&](model::Step const& step) { prove_again(step); });
        executor.alone("drop", [&](model::Step const&) {
            drop_slot(context_, hop_.old_side(), hop_.forth.name);
            sync::forget(hop_.new_side(), hop_.forth.name);
        });
        try {
            executor.run();
        } catch (Error const& e) {
            on_failure(executor.attempt(), e);
        }
        hop_.steps.forget_lines(hop_.line(executor.attempt(), ""));
        report(executor.attempt());
        executor.finish({{"write_block_ms", result_.write_block_ms.value_or(0)}, {"to", result_.to}}, false, [&] {
            if (hop_.rollback)
                forget_severed();
        });
    }

    // The hook has told them, or their pooler, where to go.
    void resume_clients() {
        pool_->resume();
        if (pool_->configured() && held_since_)
            result_.write_block_ms = std::max(result_.write_block_ms.value_or(0), milliseconds_since(*held_since_));
    }

    [[noreturn]] void on_failure(control::Attempt const& attempt, Error const& e) {
        auto const again = rerun_command(hop_.verb, request_.service);
        if (decided_ == Decided::yes && !opened_)
            throw Error{Exit::unavailable, "switch-unfinished", fmt::format("the old side is closed and the new one not open yet, so nobody can write: {}", e.what()),
                        fmt::format("run `{}` again at once: it opens the new side", again)};
        if (decided_ == Decided::unknown)
            throw Error{Exit::unavailable, "in-doubt", fmt::format("a server was lost while the switch was being committed: {}", e.what()),
                        fmt::format("run `{}` again at once: it finds out, and finishes or undoes it", again)};
        if (decided_ == Decided::yes || !hop_.shared.alive() || !hop_.other().alive())
            throw;
        pool_->resume();
        try {
            undo(attempt, e.what());
        } catch (Error const& undone) {
            throw Error{Exit::unavailable, "undo-unfinished", fmt::format("{}; and what was prepared could not all be taken back: {}", e.what(), undone.what()),
                        fmt::format("authority has not moved; run `{}` again: it goes on or takes it back", again)};
        }
        throw;
    }

    // A stop request cancels what runs on both servers, and the second cancellation may come when the first one has been
    // answered already and this is under way.
    void undo(control::Attempt const& attempt, std::string const& why) {
        try {
            hop_.undo(attempt, why);
        } catch (pg::SqlError const& e) {
            if (e.sqlstate() != pg::sqlstate::query_canceled)
                throw;
            if (auto const rest = control::Store{hop_.shared}.open_attempt(request_.service))
                hop_.undo(*rest, why);
        }
    }

    // Everything up to the point of no return, and over it when all goes well.
    void close(control::Attempt& attempt, model::Step const& step) {
        if (hop_.switched(attempt)) // in the other database's journal, but not in this one yet
            return;
        require_back_slot();
        auto const mapping = read_mapping(hop_.forth, hop_.old_side());
        auto const stream = open_stream(context_, hop_.forth, mapping, hop_.wake.get());
        context_.events.info("catching up");
        hop_.catch_up(*stream);
        prove_stream(context_, hop_.back, hop_.new_side(), hop_.wake.get());
        auto look = look_ahead(mapping, *stream);
        severed_ = hop_.severed();
        auto what = hop_.server_switch(attempt);
        what.record_close = [&](SwitchTiming const& timing) {
            if (hop_.rollback)
                record_other(attempt, step.id);
            else
                record_switch(attempt, timing);
        };
        what.record_open = [&] { record_open(attempt); };
        what.catch_up = [&] { hop_.catch_up(*stream); };
        if (look)
            what.compare = [&](auto const& left) { compare_touched(*look, left); };
        if (pool_->configured()) {
            what.hold = [&] {
                held_since_ = SwitchClock::now();
                pool_->pause(hop_.limits.max_write_block);
            };
            what.release = [&] { pool_->resume(); };
        }
        context_.events.info(step.why);
        ServerSwitchResult switched;
        try {
            switch_servers(context_, what, *stream, hop_.old_side(), hop_.new_side(), switched);
        } catch (Error const& e) {
            decided_ = switched.decided;
            attempt.done.erase("switch"); // whatever it became: the next run reads the journal
            if (decided_ != Decided::yes)
                throw;
            context_.events.warn(fmt::format("the old side is closed; the new side is opened once more: {}", e.what()));
        }
        decided_ = Decided::yes;
        opened_ = switched.opened;
        if (opened_)
            result_.write_block_ms = switched.timing.write_block_ms;
        if (!hop_.rollback || opened_)
            attempt.done.insert("switch"); // committed with the old side, or with the new one
        if (!opened_)
            open(attempt, *std::ranges::find(attempt.plan.steps, hop_.opening(), &model::Step::id));
    }

    // What the stream has touched since the last proof, once more: most of it before writers wait. Without a proof there is
    // nothing to start from: then the gate was overridden, or it is a way back, which asks for none.
    std::optional<LastLook> look_ahead(sync::Mapping const& mapping, sync::Stream const& stream) {
        auto const row = hop_.shared.maybe_one(sql::Sql{"SELECT proven_lsn::text AS lsn FROM pgcarve.verification WHERE whole AND verdict = 'clean'"
                                                        " AND proven_lsn IS NOT NULL AND service = "}
                                                   .bind(request_.service)
                                                   .add(" AND authority = ")
                                                   .bind(std::string{cutover::text(hop_.state.authority)})
                                                   .add(" ORDER BY id DESC LIMIT 1"));
        auto const since = row ? base::Lsn::parse(row->text("lsn")) : std::nullopt;
        if (!since) {
            context_.events.info("no verification to go on from: what was written since is not compared under the fence");
            return std::nullopt;
        }
        std::optional<LastLook> look{std::in_place, hop_.old_side(), hop_.new_side(), hop_.forth, mapping, *since};
        look->ahead(stream.applied(), context_.interrupt);
        return look;
    }

    void compare_touched(LastLook& look, std::function<Millis()> const& left) {
        auto const check = look.compare(left);
        if (!check.complete)
            context_.events.warn(fmt::format("not all that was written since the last verification was compared under the fence: {}", check.why));
        if (check.missing + check.extra + check.different == 0)
            return;
        Error error{Exit::needs_decision, "rows-differ",
                    fmt::format("of the rows written since the last verification {} are missing, {} too many and {} different", check.missing, check.extra,
                                check.different),
                    fmt::format("authority has not moved; `pgcarve verify {0}`, then `pgcarve repair {0}`", request_.service)};
        for (auto const& sample : check.samples)
            error.with(sample);
        throw std::move(error);
    }

    void record_other(control::Attempt const& attempt, std::string const& step) {
        hop_.steps.record({.id = hop_.line(attempt, step), .sql = {}, .lock = "", .why = "", .undo = {}});
    }

    void record_open(control::Attempt& attempt) {
        if (hop_.rollback)
            record_switch(attempt, {});
        else
            record_other(attempt, hop_.opening());
    }

    // What is in the journal of the shared database for the moment of the switch.
    void record_switch(control::Attempt& attempt, SwitchTiming const& timing) {
        control::Store store{hop_.shared};
        if (!hop_.rollback) {
            auto setup = *hop_.state.setup;
            setup.database->severed = severed_;
            store.save_setup(*hop_.lease, setup);
        }
        store.advance(*hop_.lease, request_.event, hop_.from());
        record_overrides(store, *hop_.lease, request_, result_.gate);
        store.step_done(*hop_.lease, attempt, "switch", {{"write_block_ms", timing.write_block_ms}, {"tries", timing.tries}});
    }

    // A slot may have been lost since it was made.
    void require_back_slot() {
        auto const lag = read_lag(hop_.back, hop_.new_side(), nullptr);
        if (lag.slot_problem && !lag.slot_problem->empty())
            make_slot(context_, hop_.back, hop_.new_side(), hop_.limits.max_transaction_age);
    }

    // Behind the point of no return: again and again, since nobody can write until it is done.
    void open(control::Attempt& attempt, model::Step const& step) {
        if (opened_)
            return;
        auto what = hop_.server_switch(attempt);
        what.record_open = [&] { record_open(attempt); };
        for (auto const deadline = SwitchClock::now() + opens_within;;) {
            try {
                open_other_side(context_, what, hop_.old_side(), hop_.new_side());
                break;
            } catch (Error const& e) {
                attempt.done.erase(step.id);
                bool const lost = !hop_.shared.alive() || !hop_.other().alive();
                if (lost || SwitchClock::now() > deadline || e.exit() != Exit::unavailable)
                    throw;
                context_.events.warn(fmt::format("the new side could not be opened: {}; trying again", e.what()));
            }
        }
        opened_ = true;
        result_.write_block_ms = block_since_closed(attempt);
    }

    // How long writers have waited in all when the switch was not done in one go: since the old side's own record of it.
    double block_since_closed(control::Attempt const& attempt) {
        if (hop_.rollback)
            return hop_.other().one(sql::Sql{"SELECT extract(epoch FROM clock_timestamp() - since)::float8 * 1000 AS ms FROM pgcarve.authority WHERE stream = "}
                                   .bind(hop_.database().name))
                .real("ms");
        return hop_.shared
            .one(sql::Sql{"SELECT extract(epoch FROM clock_timestamp() - at)::float8 * 1000 + (detail ->> 'write_block_ms')::float8 AS ms"
                          " FROM pgcarve.journal WHERE step = 'switch' AND state = 'done' AND attempt = "}
                     .number(attempt.id))
            .real("ms");
    }

    void prove_again(model::Step const& step) {
        auto const name = step.id.substr(step.id.find(':') + 1);
        for (auto const& key : hop_.database().severed) {
            if (fmt::format("{}.{}", key.child.display(), sql::display_ident(key.name)) != name)
                continue;
            try {
                pg::with_lock_retry(
                    hop_.shared, pg::LockPolicy{}, {key.child.quoted()},
                    [&](pg::Transaction&) {
                        hop_.shared.run(fmt::format("ALTER TABLE {} VALIDATE CONSTRAINT {}", key.child.quoted(), sql::quote_ident(key.name)));
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
        control::Store store{hop_.shared};
        auto now = *store.service(request_.service);
        now.setup->database->severed.clear();
        store.save_setup(*hop_.lease, *now.setup);
    }

    void report(control::Attempt const& attempt) {
        result_.to = cutover::text(hop_.to());
        if (!result_.write_block_ms) {
            auto const timing = control::Store{hop_.shared}.step_detail(attempt, "switch");
            if (timing.contains("write_block_ms") && timing.at("write_block_ms").get<double>() > 0)
                result_.write_block_ms = timing.at("write_block_ms").get<double>();
        }
        result_.next = hop_.rollback ? fmt::format("pgcarve sync {}, if it does not run: the stream goes forward again", request_.service)
                                     : fmt::format("pgcarve sync {0}, if it does not run: it keeps the shared database in step; `pgcarve rollback {0}` is the way back",
                                                   request_.service);
    }

    void take_back(control::Attempt const& open) {
        context_.events.warn(fmt::format("an earlier {} was interrupted before the switch; it is taken back", hop_.verb));
        if (!confirm_(open.plan))
            return;
        take_lease();
        hop_.undo(open, "the gate has closed since");
        result_.undone = "the gate has closed since the interrupted run began";
    }

    Context& context_;
    MoveRequest const& request_;
    Confirm const& confirm_;
    std::optional<model::PoolerSettings> const& pooler_;
    DatabaseHop hop_;
    std::optional<PoolPause> pool_;
    std::optional<SwitchClock::time_point> held_since_; // pooled clients
    model::CutoverResult result_;
    std::vector<model::SeveredKey> severed_; // by this cutover: known before writers wait
    Decided decided_ = Decided::no;
    bool opened_ = false;
};

cutover::Phase from_of(Event event) { return event == Event::cutover ? Phase::syncing : Phase::database_live; }
cutover::Phase to_of(Event event) { return event == Event::cutover ? Phase::database_live : Phase::syncing; }

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

MoveOutcome move_pooled_authority(Context& context, MoveRequest const& request, Confirm const& confirm, std::optional<model::PoolerSettings> const& pooler) {
    return concerns_database(context, request) ? move_database(context, request, confirm, pooler) : move_authority(context, request, confirm);
}

MoveOutcome move_database(Context& context, MoveRequest const& request, Confirm const& confirm, std::optional<model::PoolerSettings> const& pooler) {
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
    return DatabaseMove{context, request, confirm, pooler, *std::move(state)}.run();
}

} // namespace pgcarve::run
