#include "run/finish.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "catalog/reader.hpp"
#include "control/migrations.hpp"
#include "plan/finish.hpp"
#include "run/audit.hpp"
#include "run/database_finish.hpp"
#include "run/executor.hpp"
#include "run/proof/verification.hpp"
#include "run/stream/sync.hpp"

namespace pgcarve::run {

using base::Error;
using base::Exit;
using cutover::Event;
using cutover::Phase;

namespace {

// What the three verbs have in common: state, open attempt, plan, consent, lease, steps, end.
class Finish {
public:
    Finish(Context& context, std::string service, std::string verb, Confirm const& confirm)
        : context_{context}
        , service_{std::move(service)}
        , verb_{std::move(verb)}
        , confirm_{confirm}
        , session_{context.shared(verb_)}
        , guard_{context.interrupt.on_request([this] { session_.cancel(); })} {
        control::require_current(session_, control::embedded_migrations());
    }

    FinishOutcome cancel() {
        auto const now = find();
        auto open = control::Store{session_}.open_attempt(service_);
        if (now && now->setup && now->setup->database && (now->phase == Phase::copying || now->phase == Phase::syncing)) {
            auto const outcome = cancel_sync(context_, service_, confirm_);
            return {.confirmed = outcome.confirmed, .phase = outcome.phase};
        }
        if (!open && (!now || now->phase == Phase::planned))
            return done_before(Phase::planned);
        if (open && open->verb != verb_ && open->verb != "split" && now->phase != Phase::dual_writing)
            interrupted(*open);
        if (now->phase != Phase::backfilling && now->phase != Phase::dual_writing && !(open && open->verb == verb_))
            wrong_phase(*now, "a hop can be cancelled until its cutover; use `pgcarve rollback` first");
        auto plan = open && open->verb == verb_
                        ? open->plan
                        : plan::plan_cancel(service_, *now->setup, catalog::read_catalog(session_));
        if (!confirm_(plan))
            return {.confirmed = false};
        control::Lease const lease{context_.shared("lease"), service_, verb_, context_.operator_name};
        if (open && open->verb != verb_) {
            take_over(lease, *open);
            open.reset();
        }
        execute(lease, open, plan, [&] {
            control::Store store{session_};
            store.advance(lease, Event::cancel, find()->phase);
            store.clear_setup(lease);
        });
        return {.phase = "planned"};
    }

    FinishOutcome complete() {
        auto const now = find();
        auto open = control::Store{session_}.open_attempt(service_);
        if (!open && now && now->phase == Phase::completed)
            return done_before(Phase::completed);
        if (open && open->verb != verb_)
            interrupted(*open);
        if (now && now->setup && now->setup->database && (open || now->phase == Phase::database_live))
            return complete_database(context_, *now, confirm_);
        if (!open && (!now || now->phase != Phase::schema_live))
            wrong_phase(now, "`complete` retires the old side after a cutover");
        auto plan = open ? open->plan : plan::plan_complete(service_, current_names(*now), catalog::read_catalog(session_), view_definitions(*now));
        refuse_if_told(plan, fmt::format("{} cannot go on yet", verb_));
        if (!confirm_(plan))
            return {.confirmed = false};
        control::Lease const lease{context_.shared("lease"), service_, verb_, context_.operator_name};
        auto const* const section = context_.map.service(service_);
        auto const hold = section != nullptr ? section->limits.hold : model::Limits{}.hold;
        execute(lease, open, plan, [] {}, [&](Executor& executor) {
            executor.inside("retire", [&](model::Step const&) {
                control::Store store{session_};
                store.advance(lease, Event::complete, Phase::schema_live);
                store.set_hold(lease, hold);
            });
        });
        return {.phase = "completed",
                .next = fmt::format("pgcarve complete {} --purge, after {}", service_, base::describe_duration(hold))};
    }

    FinishOutcome purge() {
        auto const now = find();
        if (!now || now->phase != Phase::completed)
            wrong_phase(now, fmt::format("run `pgcarve complete {}` first", service_));
        auto open = control::Store{session_}.open_attempt(service_);
        if (open && open->verb != verb_)
            interrupted(*open);
        if (!now->hold_until)
            return done_before(Phase::completed);
        if (!now->hold_over)
            throw Error{Exit::findings, "hold-not-over", fmt::format("the old tables of {} are held until {}", service_, *now->hold_until),
                        "wait, or shorten `hold` before `complete`; nothing was touched"};
        auto plan = open                   ? open->plan
                    : now->setup->database ? database_purge_plan(session_, *now)
                                           : plan::plan_purge(service_, *now->setup, catalog::read_catalog(session_));
        if (!confirm_(plan))
            return {.confirmed = false};
        control::Lease const lease{context_.shared("lease"), service_, verb_, context_.operator_name};
        execute(lease, open, plan, [&] { control::Store{session_}.clear_hold(lease); });
        return {.phase = "completed"};
    }

private:
    std::optional<control::ServiceState> find() {
        auto found = control::Store{session_}.service(service_);
        if (!found)
            (void)context_.service(service_); // a name that nobody knows is told from one that was never split
        return found;
    }

    FinishOutcome done_before(Phase phase) {
        control::Store{session_}.sweep_lease(service_);
        return {.already = true, .phase = std::string{cutover::text(phase)}};
    }

    [[noreturn]] void wrong_phase(std::optional<control::ServiceState> const& now, std::string const& hint) const {
        throw Error{Exit::usage, "wrong-phase",
                    fmt::format("service {} is {}", service_, now ? cutover::text(now->phase) : "planned"), hint};
    }

    [[noreturn]] void interrupted(control::Attempt const& open) const {
        throw Error{Exit::needs_decision, "attempt-open",
                    fmt::format("a {} of {} was interrupted after {} of {} steps", open.verb, service_, open.done.size(),
                                open.plan.steps.size()),
                    fmt::format("run `{}` to finish it", rerun_command(open.verb, service_))};
    }

    // Views' definitions with the old tables under the names they will be held by: the server's own deparser writes
    // them, in a transaction that is rolled back.
    std::vector<plan::ViewDefinition> view_definitions(control::ServiceState const& now) {
        std::vector<plan::ViewDefinition> found;
        auto const catalog = catalog::read_catalog(session_);
        auto const setup = current_names(now);
        auto const dependants = plan::dependants(setup, catalog);
        if (dependants.views.empty() && dependants.materialized_views.empty())
            return found;
        std::vector<std::string> tables;
        for (auto const& pair : setup.tables)
            tables.push_back(pair.source.quoted());
        for (int attempt = 1;; ++attempt) {
            try {
                pg::Transaction transaction{session_};
                transaction.lock_timeout(base::Millis{200});
                for (auto const& pair : setup.tables) {
                    auto const held = plan::retired_name(setup, pair);
                    if (catalog.find(pair.source) != nullptr && held != pair.source)
                        session_.run(fmt::format("ALTER TABLE {} RENAME TO {}", pair.source.quoted(), sql::quote_ident(held.name)));
                }
                for (auto const& views : {dependants.views, dependants.materialized_views}) {
                    for (auto const& view : views)
                        found.push_back(read_view(view));
                }
                transaction.abort();
                return found;
            } catch (pg::SqlError const& e) {
                if (e.sqlstate() != pg::sqlstate::lock_not_available || attempt >= 20)
                    explain(e, verb_, service_, "reading the views' definitions");
                found.clear();
                announce_wait(context_, "reading the views' definitions")(attempt, pg::lock_holders(session_, tables));
                context_.interrupt.wait_for(base::Millis{100 * attempt});
            }
        }
    }

    plan::ViewDefinition read_view(sql::QName const& view) {
        auto const row = session_.one(
            sql::Sql{"SELECT c.relkind, pg_get_viewdef(c.oid) AS definition, coalesce(c.reloptions, '{}') AS options,"
                     " coalesce(array(SELECT pg_get_indexdef(i.indexrelid) FROM pg_index i WHERE i.indrelid = c.oid ORDER BY 1), '{}') AS indexes,"
                     " r.rolname AS owner, obj_description(c.oid, 'pg_class') AS comment,"
                     " coalesce(array(SELECT format('GRANT %s ON %I.%I TO %s%s', a.privilege_type, n.nspname, c.relname,"
                     "   CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,"
                     "   CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)"
                     "   FROM aclexplode(c.relacl) a WHERE a.grantee <> c.relowner ORDER BY 1), '{}') AS grants"
                     " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_roles r ON r.oid = c.relowner"
                     " WHERE c.oid = to_regclass("}
                .bind(view.quoted())
                .add(")"));
        return {view,           row.letter("relkind") == 'm', row.text("definition"), row.array("options"),
                row.array("indexes"), row.text("owner"),      row.maybe("comment"),   row.array("grants")};
    }

    // An attempt of another verb that was interrupted before anything irreversible: its prepared steps are taken back.
    void take_over(control::Lease const& lease, control::Attempt const& open) {
        if (open.verb != "split") {
            for (auto step = open.plan.steps.rbegin(); step != open.plan.steps.rend(); ++step) {
                if (!open.done.contains(step->id))
                    continue;
                pg::with_lock_retry(
                    session_, pg::LockPolicy{}, {},
                    [&](pg::Transaction&) {
                        for (auto const& statement : step->undo)
                            session_.run(statement);
                        control::Store{session_}.step_undone(lease, open, step->id);
                    },
                    announce_wait(context_, "taking back " + step->id));
            }
        }
        pg::Transaction transaction{session_};
        control::Store{session_}.finish_attempt(lease, open, true, {{"why", "cancelled"}});
        transaction.commit();
    }

    void execute(control::Lease const& lease, std::optional<control::Attempt> const& open, model::Plan const& plan,
                 std::function<void()> const& at_end, std::function<void(Executor&)> const& prepare = [](Executor&) {}) {
        auto attempt = open ? *open : begin(lease, plan);
        // An audit has nothing to follow any more. Not a step of the plan: it is done again, and harmless, in every run.
        if (verb_ == "cancel" || verb_ == "complete")
            end_audit(context_, session_, service_, true);
        Executor executor{context_, session_, lease, std::move(attempt)};
        prepare(executor);
        executor.run();
        executor.finish(nullptr, false, at_end);
    }

    control::Attempt begin(control::Lease const& lease, model::Plan const& plan) {
        pg::Transaction transaction{session_};
        auto attempt = control::Store{session_}.begin_attempt(lease, plan);
        transaction.commit();
        return attempt;
    }

    Context& context_;
    std::string service_;
    std::string verb_;
    Confirm const& confirm_;
    pg::Session session_;
    base::Interrupt::Guard guard_;
};

} // namespace

FinishOutcome cancel(Context& context, std::string const& service, Confirm const& confirm) {
    return Finish{context, service, "cancel", confirm}.cancel();
}

FinishOutcome complete(Context& context, std::string const& service, Confirm const& confirm) {
    return Finish{context, service, "complete", confirm}.complete();
}

FinishOutcome purge(Context& context, std::string const& service, Confirm const& confirm) {
    return Finish{context, service, "purge", confirm}.purge();
}

} // namespace pgcarve::run
