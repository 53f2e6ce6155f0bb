#include "run/split.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "catalog/reader.hpp"
#include "control/migrations.hpp"
#include "ddl/carry.hpp"
#include "mirror/backfill.hpp"
#include "plan/split.hpp"
#include "run/crossings.hpp"
#include "run/executor.hpp"
#include "run/facts.hpp"
#include "run/proof/schema_verification.hpp"
#include "run/proof/verification.hpp"
#include "verify/repair.hpp"

namespace pgcarve::run {

using base::Error;
using base::Exit;
using cutover::Event;
using cutover::Phase;

namespace {

plan::Ownership owned(Context const& context, pg::Session& session, model::Catalog const& catalog) {
    auto ownership = plan::resolve(context.map, catalog, severed_keys(session));
    plan::require_valid(ownership);
    return ownership;
}

mirror::BackfillTable backfill_table_of(model::TablePair const& pair, model::Catalog const& catalog) {
    auto const* const table = catalog.find(pair.source);
    if (table == nullptr)
        throw Error{Exit::needs_decision, "table-gone", fmt::format("table {} is not there any more", pair.source.display()),
                    "it was dropped or renamed while it was copied: rename it back, or cancel the service"};
    mirror::BackfillTable out{pair, {}, table->estimated_rows};
    for (auto const& column : table->columns) {
        if (std::ranges::find(pair.columns, column.name) != pair.columns.end())
            out.columns.push_back({column.name, column.type, column.generated != 0});
    }
    return out;
}

class Split {
public:
    Split(Context& context, std::string const& service, Confirm const& confirm)
        : context_{context}
        , service_{service}
        , confirm_{confirm}
        , session_{context.shared("split")}
        , guard_{context.interrupt.on_request([this] { session_.cancel(); })} {
        control::require_current(session_, control::embedded_migrations());
    }

    SplitOutcome run() {
        auto const now = control::Store{session_}.service(service_);
        auto const open = control::Store{session_}.open_attempt(service_);
        if (open && open->verb != "split" && open->verb != "reconcile")
            throw Error{Exit::needs_decision, "attempt-open",
                        fmt::format("a {} of {} was interrupted after {} of {} steps", open->verb, service_, open->done.size(),
                                    open->plan.steps.size()),
                        fmt::format("run `{}` to finish it", rerun_command(open->verb, service_))};
        auto const phase = now ? now->phase : Phase::planned;
        if (open && open->verb == "reconcile")
            drop_stale(*open);
        if ((!open || open->verb == "reconcile") && phase != Phase::planned)
            return again(*now);
        auto const& service = context_.service(service_);
        auto const catalog = catalog::read_catalog(session_);
        model::Plan plan;
        if (open) {
            plan = open->plan;
        } else {
            auto const ownership = owned(context_, session_, catalog);
            plan = plan::plan_split(context_.map, service, ownership, catalog);
            refuse_if_told(plan, fmt::format("service {} cannot be split as it is", plan.service));
            setup_ = plan::setup_of(context_.map, service, ownership, catalog);
        }
        if (!confirm_(plan))
            return {.confirmed = false};
        control::Lease const lease{context_.shared("lease"), service_, "split", context_.operator_name};
        auto attempt = open ? *open : begin(lease, plan);
        SplitOutcome outcome{.phase = "dual_writing", .next = fmt::format("pgcarve verify {}", service_)};
        execute(lease, std::move(attempt), outcome);
        return outcome;
    }

private:
    SplitOutcome again(control::ServiceState const& now) {
        if (now.phase != Phase::dual_writing && now.phase != Phase::schema_live)
            throw Error{Exit::usage, "wrong-phase", fmt::format("service {} is {}", service_, cutover::text(now.phase)),
                        fmt::format("`pgcarve status {}` says what comes next; nothing was touched", service_)};
        auto const catalog = catalog::read_catalog(session_);
        auto setup = current_names(now);
        // What changed in the tables decides what is made anew; when nothing did, mirrors and fences are looked at.
        bool const intact = !drift(setup, catalog, now.authority).empty() ||
                            machinery_drift(session_, service_, setup, now.authority, catalog).empty();
        auto reconciliation = plan::plan_reconcile(service_, setup, now.authority, catalog, !intact);
        auto const& plan = reconciliation.plan;
        SplitOutcome outcome{.already = plan.steps.empty(), .phase = std::string{cutover::text(now.phase)},
                             .next = fmt::format("pgcarve verify {}", service_)};
        refuse_if_told(plan, fmt::format("service {} cannot be split as it is", plan.service));
        if (plan.steps.empty()) {
            control::Store{session_}.sweep_lease(service_);
            return outcome;
        }
        if (!confirm_(plan))
            return {.confirmed = false};
        control::Lease const lease{context_.shared("lease"), service_, "split", context_.operator_name};
        execute(lease, begin(lease, plan), outcome);
        return outcome;
    }

    // A reconciliation that stopped is planned anew, from what is there: its steps may no longer be the right ones.
    void drop_stale(control::Attempt const& open) {
        control::Lease const lease{context_.shared("lease"), service_, "split", context_.operator_name};
        pg::Transaction transaction{session_};
        control::Store{session_}.finish_attempt(lease, open, true, {{"why", "planned anew"}});
        transaction.commit();
    }

    control::Attempt begin(control::Lease const& lease, model::Plan const& plan) {
        pg::Transaction transaction{session_};
        control::Store store{session_};
        auto attempt = store.begin_attempt(lease, plan);
        if (setup_)
            store.save_setup(lease, *setup_);
        transaction.commit();
        return attempt;
    }

    void execute(control::Lease const& lease, control::Attempt attempt, SplitOutcome& outcome) {
        Executor executor{context_, session_, lease, std::move(attempt)};
        executor.inside("phase:backfilling", [&](model::Step const&) {
            control::Store{session_}.advance(lease, Event::split, Phase::planned);
        });
        executor.inside("phase:dual_writing", [&](model::Step const&) {
            control::Store{session_}.advance(lease, Event::backfilled, Phase::backfilling);
        });
        executor.alone("repair", [&](model::Step const& step) { repair(step); });
        executor.inside("setup", [&](model::Step const&) { control::Store{session_}.save_setup(lease, reconciled_setup()); });
        executor.alone("backfill", [&](model::Step const& step) { outcome.rows += backfill(lease, executor, step); });
        executor.run();
        executor.finish({{"rows", outcome.rows}});
    }

    long long backfill(control::Lease const& lease, Executor& executor, model::Step const& step) {
        auto const& tables = executor.attempt().plan.tables;
        auto const name = step.id.substr(step.id.find(':') + 1);
        auto const pair = std::ranges::find_if(tables, [&](auto const& p) { return p.source.display() == name; });
        if (pair == tables.end())
            base::bug("step " + step.id + " names no table of the plan");
        context_.events.info(step.why);
        mirror::BackfillEvents events;
        events.progress = context_.events.backfill;
        events.after_chunk = [&](std::string const& table) { context_.failpoints.hit("split/chunk:" + table); };
        if (!backfill_catalog_) // once for all tables: one that changes meanwhile makes the copy fail, not lie
            backfill_catalog_ = catalog::read_catalog(session_);
        auto const table = backfill_table_of(*pair, *backfill_catalog_);
        return mirror::backfill_table(session_, lease, table, context_.map.throttle, context_.interrupt, events);
    }

    // The lease is ours already, so not through run::repair_service.
    void repair(model::Step const& step) {
        auto const name = step.id.substr(step.id.find(':') + 1);
        auto const state = control::Store{session_}.service(service_);
        auto pairs = oriented_pairs(*state);
        std::erase_if(pairs, [&](model::TablePair const& p) { return p.source.display() != name && p.target.display() != name; });
        // The columns stored are those from before the change; all that both sides have now are compared.
        auto const catalog = catalog::read_catalog(session_);
        for (auto& pair : pairs)
            pair.columns = ddl::make_pair(*catalog.find(pair.source), pair.target.schema).columns;
        context_.events.info(step.why);
        verify::RepairEvents events;
        events.compare.interrupted = [this] { return context_.interrupt.requested(); };
        auto const settings = context_.shared("repair");
        auto const report = verify::repair(settings, locate_differences(settings, service_, pairs, {}, events.compare), {}, events);
        context_.interrupt.check();
        if (report.remaining() > 0)
            throw Error{Exit::needs_decision, "rows-differ", fmt::format("{} rows of {} could not be made equal", report.remaining(), name),
                        fmt::format("look with `pgcarve verify {0}`, then run `pgcarve split {0}` again", service_)};
    }

    // Computed from what is there after the steps: the same after a kill as without one.
    model::Setup reconciled_setup() {
        auto const state = control::Store{session_}.service(service_);
        auto const now = current_names(*state);
        auto after = plan::plan_reconcile(service_, now, state->authority, catalog::read_catalog(session_)).after;
        for (std::size_t i = 0; i < now.tables.size(); ++i)
            after.tables[i].source = state->setup->tables[i].source; // the stored names are those of the shared schema
        return after;
    }

    Context& context_;
    std::string const& service_;
    Confirm const& confirm_;
    pg::Session session_;
    base::Interrupt::Guard guard_;
    std::optional<model::Setup> setup_;
    std::optional<model::Catalog> backfill_catalog_;
};

} // namespace

model::Plan split_plan(Context& context, std::string const& service) {
    auto const& section = context.service(service);
    pg::Session session{context.shared("plan")};
    auto const catalog = catalog::read_catalog(session);
    return plan::plan_split(context.map, section, owned(context, session, catalog), catalog);
}

SplitOutcome split(Context& context, std::string const& service, Confirm const& confirm) {
    return Split{context, service, confirm}.run();
}

} // namespace pgcarve::run
