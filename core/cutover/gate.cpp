#include "cutover/gate.hpp"

#include <fmt/format.h>

namespace pgcarve::cutover {

namespace {

using model::Condition;
using model::ConditionState;

ConditionState judged(bool passes) { return passes ? ConditionState::pass : ConditionState::fail; }

Condition unknown(std::string id, std::string limit, std::string hint) {
    return {std::move(id), ConditionState::unknown, "could not be determined", std::move(limit), std::move(hint), {}};
}

Condition window(GateQuestion const& q, GateFacts const& f) {
    auto const limit = base::format_duration(q.limits.window);
    if (!f.window_elapsed)
        return unknown("window", limit, fmt::format("run `pgcarve split {}` to its end", f.service));
    bool const over = *f.window_elapsed >= q.limits.window;
    auto const left = over ? base::Millis{0} : q.limits.window - *f.window_elapsed;
    return {"window", judged(over), fmt::format("both sides have agreed for {}", base::describe_duration(*f.window_elapsed)),
            limit, over ? "" : fmt::format("wait {}", base::describe_duration(left)), {}};
}

Condition clean_runs(GateQuestion const& q, GateFacts const& f) {
    auto const limit = fmt::format("{} in a row", q.limits.clean_runs);
    auto const hint = fmt::format("run `pgcarve verify {}`", f.service);
    if (!f.clean_runs)
        return unknown("clean_runs", limit, hint);
    bool const enough = *f.clean_runs >= q.limits.clean_runs;
    return {"clean_runs", judged(enough), fmt::format("{} clean in a row", *f.clean_runs), limit, enough ? "" : hint, {}};
}

Condition verification(GateQuestion const& q, GateFacts const& f) {
    auto const limit = fmt::format("clean, at most {} old, after the last schema change",
                                   base::format_duration(q.limits.max_verification_age));
    auto const hint = fmt::format("run `pgcarve verify {}`", f.service);
    if (!f.verification_known)
        return unknown("verification", limit, hint);
    if (!f.last_verification)
        return {"verification", ConditionState::fail, "never verified", limit, hint, {}};
    auto const& last = *f.last_verification;
    auto const fresh = last.age <= q.limits.max_verification_age;
    auto const ok = last.verdict == "clean" && fresh && last.same_schema;
    return {"verification", judged(ok),
            fmt::format("{} {} ago{}", last.verdict, base::describe_duration(last.age),
                        last.same_schema ? "" : ", before the last schema change"),
            limit, ok ? "" : hint, {}};
}

Condition findings(GateFacts const& f) {
    auto const hint = fmt::format("run `pgcarve repair {0}`, then `pgcarve verify {0}`", f.service);
    if (!f.unresolved_findings)
        return unknown("findings", "0 unresolved", hint);
    bool const none = *f.unresolved_findings == 0;
    return {"findings", judged(none), fmt::format("{} unresolved", *f.unresolved_findings), "0 unresolved",
            none ? "" : hint, {}};
}

// A list of complaints: empty passes, nullopt is unknown.
Condition none_of(std::string id, std::optional<std::vector<std::string>> const& complaints, std::string const& fine,
                  std::string limit, std::string const& hint) {
    if (!complaints)
        return unknown(std::move(id), std::move(limit), hint);
    if (complaints->empty())
        return {std::move(id), ConditionState::pass, fine, std::move(limit), "", {}};
    auto observed = complaints->front();
    if (complaints->size() > 1)
        observed += fmt::format(" (and {} more)", complaints->size() - 1);
    return {std::move(id), ConditionState::fail, std::move(observed), std::move(limit), hint, {}};
}

Condition transactions(GateQuestion const& q, GateFacts const& f) {
    auto const limit = fmt::format("none older than {}", base::format_duration(q.limits.max_transaction_age));
    std::string const hint = "end it, or wait for it; prepared transactions: COMMIT PREPARED or ROLLBACK PREPARED";
    if (!f.oldest_transaction_age)
        return unknown("transactions", limit, "grant pg_read_all_stats to the role that runs pgcarve");
    bool const young = *f.oldest_transaction_age <= q.limits.max_transaction_age;
    auto const observed = f.oldest_transaction && !f.oldest_transaction->empty()
                              ? *f.oldest_transaction
                              : std::string{"no open writer on these tables"};
    return {"transactions", judged(young), observed, limit, young ? "" : hint, {}};
}

Condition write_block(GateQuestion const& q, GateFacts const& f) {
    auto const limit = base::format_duration(q.limits.max_write_block);
    if (!f.predicted_write_block)
        return unknown("write_block", limit, q.hop == Hop::database ? fmt::format("it is known while `pgcarve sync {}` runs and keeps up", f.service) : "");
    bool const ok = *f.predicted_write_block <= q.limits.max_write_block;
    return {"write_block", judged(ok), fmt::format("predicted {}", base::format_duration(*f.predicted_write_block)), limit,
            ok ? "" : "try at a quieter time, or raise max_write_block", {}};
}

Condition lag(GateQuestion const& q, GateFacts const& f) {
    auto const limit = fmt::format("{}, not growing", base::format_duration(q.limits.max_lag));
    auto const hint = fmt::format("let `pgcarve sync {}` catch up", f.service);
    if (!f.lag || !f.lag_growing)
        return unknown("lag", limit, hint);
    bool const ok = *f.lag <= q.limits.max_lag && !*f.lag_growing;
    return {"lag", judged(ok), fmt::format("{}{}", base::format_duration(*f.lag), *f.lag_growing ? ", growing" : ""), limit,
            ok ? "" : hint, {}};
}

Condition slot(GateFacts const& f) {
    auto const hint = fmt::format("run `pgcarve doctor {}`", f.service);
    if (!f.slot_problem)
        return unknown("slot", "healthy", hint);
    bool const ok = f.slot_problem->empty();
    return {"slot", judged(ok), ok ? "healthy" : *f.slot_problem, "healthy", ok ? "" : hint, {}};
}

} // namespace

std::vector<std::string> condition_ids() {
    return {"window", "clean_runs", "verification", "findings", "schema", "crossings", "orphans", "sequences", "role",
            "reverse", "transactions", "write_block", "lag", "slot"};
}

model::Gate evaluate(GateQuestion const& q, GateFacts const& f) {
    model::Gate gate;
    auto& all = gate.conditions;
    bool const compares = !q.moves_tables;
    if (!q.rollback && compares) {
        all.push_back(window(q, f));
        all.push_back(clean_runs(q, f));
        all.push_back(verification(q, f));
    }
    if (compares) {
        all.push_back(findings(f));
        all.push_back(q.hop == Hop::schema
                          ? none_of("schema", f.drift, "both sides and the mirror are as they were made", "unchanged",
                                    fmt::format("run `pgcarve split {}`: it brings both sides back in step", f.service))
                          : none_of("schema", f.drift, "both sides have the same tables, and the follower refuses other writers", "unchanged",
                                    fmt::format("run `pgcarve sync {}`: it names the change and the SQL for the other side", f.service)));
    }
    if (q.hop == Hop::database && !q.rollback) {
        all.push_back(none_of("crossings", f.undecided_crossings, "all decided", "all decided",
                              fmt::format("decide it in [service.{}.foreign_keys]", f.service)));
        all.push_back(none_of("orphans", f.orphans, "none", "no row without its parent",
                              "mend the rows (docs/database.md says how to find them), then VALIDATE CONSTRAINT"));
    }
    all.push_back(none_of("sequences", f.unreadable_sequences, "all readable", "all readable",
                          fmt::format("run `pgcarve doctor {}`", f.service)));
    all.push_back(none_of("role", f.role_lacks, "can do its work", "can do its work",
                          fmt::format("run `pgcarve doctor {}`", f.service)));
    if (compares) {
        all.push_back(none_of("reverse", f.reverse_lacks,
                              q.hop == Hop::schema ? "installed; proven with a canary inside the switch" : "possible; proven with a canary before the fence",
                              "ready", fmt::format("run `pgcarve doctor {}`", f.service)));
    }
    if (q.hop == Hop::database) {
        all.push_back(lag(q, f));
        all.push_back(slot(f));
    }
    all.push_back(transactions(q, f));
    all.push_back(write_block(q, f));
    for (auto& condition : all) {
        auto const reason = q.overrides.find(condition.id);
        if (reason != q.overrides.end() && condition.state != ConditionState::pass)
            condition.overridden = reason->second;
    }
    return gate;
}

} // namespace pgcarve::cutover
