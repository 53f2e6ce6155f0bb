#include "run/executor.hpp"

#include <fmt/format.h>

namespace pgcarve::run {

using base::Error;
using base::Exit;

Executor::Executor(Context& context, pg::Session& session, control::Lease const& lease, control::Attempt attempt)
    : context_{context}, session_{session}, lease_{lease}, attempt_{std::move(attempt)} {}

std::function<void(int, std::vector<pg::Blocker> const&)> announce_wait(Context& context, std::string what) {
    return [&context, what = std::move(what)](int attempt, std::vector<pg::Blocker> const& blockers) {
        context.interrupt.check();
        auto const who = blockers.empty() ? std::string{"nobody that is still there"} : blockers.front().describe();
        context.events.warn(fmt::format("{}: a lock was not free (try {}); held by {}", what, attempt, who));
    };
}

std::string rerun_command(std::string const& verb, std::string const& service) {
    if (verb == "purge")
        return fmt::format("pgcarve complete {} --purge", service);
    return fmt::format("pgcarve {} {}", verb == "reconcile" ? "split" : verb, service);
}

void refuse_if_told(model::Plan const& plan, std::string const& message) {
    Error error{Exit::needs_decision, "plan-refused", message, "mend what is listed, then run the same command again; nothing was touched"};
    bool refused = false;
    for (auto const& notice : plan.notices) {
        if (!notice.refuses)
            continue;
        refused = true;
        error.with(fmt::format("{} {}{}{}", notice.object, notice.text, notice.hint.empty() ? "" : ": ", notice.hint));
    }
    if (refused)
        throw std::move(error);
}

void explain(pg::SqlError const& e, std::string const& verb, std::string const& service, std::string const& step) {
    auto const again = fmt::format("`{}`", rerun_command(verb, service));
    if (e.sqlstate() == pg::sqlstate::insufficient_privilege)
        throw Error{Exit::needs_decision, "missing-privilege", fmt::format("{}: {}", step, e.message()),
                    fmt::format("grant what is missing (`pgcarve doctor {}` prints the SQL), then run {} again", service, again)}
            .with("statement: " + e.statement());
    if (e.sqlstate() == pg::sqlstate::disk_full)
        throw Error{Exit::unavailable, "disk-full", fmt::format("{}: {}", step, e.message()),
                    fmt::format("free space, then run {} again", again)};
    if (e.sqlstate() == pg::sqlstate::query_canceled)
        throw Error{Exit::unavailable, "cancelled", fmt::format("{}: {}", step, e.message()),
                    fmt::format("run {} again: it goes on with this step", again)};
    throw Error{Exit::needs_decision, "step-failed", fmt::format("{}: {}", step, e.message()),
                fmt::format("mend the cause, then run {} again; this step was rolled back, earlier ones stand", again)}
        .with(fmt::format("sqlstate: {}", e.sqlstate()))
        .with("statement: " + e.statement());
}

void Executor::run() {
    for (auto const& step : attempt_.plan.steps) {
        if (attempt_.done.contains(step.id))
            continue;
        context_.interrupt.check();
        auto const point = attempt_.verb + "/" + step.id;
        context_.failpoints.hit(point + "/before");
        try {
            run_step(step);
        } catch (pg::SqlError const& e) {
            explain(e, attempt_.verb, lease_.service(), step.id);
        }
        context_.failpoints.hit(point + "/after");
    }
}

void Executor::run_step(model::Step const& step) {
    auto const family = step.id.substr(0, step.id.find(':'));
    auto const handler_for = [&](auto const& handlers) {
        auto const exact = handlers.find(step.id);
        return exact != handlers.end() ? exact : handlers.find(family);
    };
    if (auto const alone = handler_for(alone_); alone != alone_.end()) {
        alone->second(step);
        if (attempt_.done.contains(step.id)) // it journaled itself, inside its own transaction
            return;
        context_.failpoints.hit(fmt::format("{}/{}/unrecorded", attempt_.verb, step.id));
        pg::Transaction transaction{session_};
        control::Store{session_}.step_done(lease_, attempt_, step.id);
        transaction.commit();
        return;
    }
    auto const inside = handler_for(inside_);
    if (inside == inside_.end() && step.sql.empty())
        base::bug("nothing runs step " + step.id);
    context_.events.info(step.why.empty() ? step.id : step.why);
    std::vector<std::string> tables;
    for (auto const& pair : attempt_.plan.tables)
        tables.push_back(pair.source.quoted());
    auto const work = [&](pg::Transaction&) {
        control::Store store{session_};
        store.check_lease(lease_);
        for (auto const& statement : step.sql)
            session_.run(statement);
        if (inside != inside_.end())
            inside->second(step);
        store.step_done(lease_, attempt_, step.id);
    };
    try {
        // Many tables at once, beside writers that take them in any order: short waits find a gap sooner than long ones,
        // and keep nobody waiting.
        auto const policy = step.id == "retire" ? pg::LockPolicy{.lock_timeout = base::Millis{40}, .tries = 200, .pause = base::Millis{25}}
                                                : pg::LockPolicy{};
        pg::with_lock_retry(session_, policy, tables, work, announce_wait(context_, step.id));
    } catch (...) {
        attempt_.done.erase(step.id); // a retry that failed after all: the journal line was rolled back with it
        throw;
    }
}

void Executor::finish(nlohmann::json const& result, bool undone, std::function<void()> const& also) {
    context_.failpoints.hit(attempt_.verb + "/finish/before");
    pg::Transaction transaction{session_};
    also();
    control::Store{session_}.finish_attempt(lease_, attempt_, undone, result);
    transaction.commit();
    context_.failpoints.hit(attempt_.verb + "/finish/after");
}

} // namespace pgcarve::run
