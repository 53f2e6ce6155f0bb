#include "report/metrics.hpp"

#include "report/exposition.hpp"

namespace pgcarve::report {

namespace {

using model::ServiceMetrics;
using model::Verdict;
using Services = std::vector<ServiceMetrics>;

constexpr char const* phases[] = {"planned", "backfilling", "dual_writing", "schema_live", "copying", "syncing", "database_live", "completed"};

Exposition::Labels of(ServiceMetrics const& s) { return {{"service", s.status.service}}; }

void progress(Exposition& out, Services const& services) {
    out.family("pgcarve_phase", "1 for the phase that the service is in.");
    for (auto const& s : services) {
        for (auto const* const phase : phases)
            out.sample({{"service", s.status.service}, {"phase", phase}}, s.status.phase == phase);
    }
    out.family("pgcarve_window_required_seconds", "How long both sides must have agreed before a cutover.");
    for (auto const& s : services)
        out.sample(of(s), s.status.window.required_seconds);
    out.family("pgcarve_window_elapsed_seconds", "How long both sides have agreed.");
    for (auto const& s : services)
        out.sample(of(s), s.status.window.elapsed_seconds);
    out.family("pgcarve_lag_bytes", "Log of the source that the target has not applied.");
    for (auto const& s : services)
        out.sample(of(s), s.status.lag.bytes);
    out.family("pgcarve_lag_seconds", "How far the target is behind.");
    for (auto const& s : services)
        out.sample(of(s), s.status.lag.seconds);
    out.family("pgcarve_copy_rows", "Rows copied so far, while rows are copied.");
    for (auto const& s : services) {
        if (s.status.copy)
            out.sample(of(s), s.status.copy->rows_done);
    }
    out.family("pgcarve_copy_rows_estimated", "Rows to copy, as the server estimates them.");
    for (auto const& s : services) {
        if (s.status.copy)
            out.sample(of(s), s.status.copy->rows_estimated);
    }
    out.family("pgcarve_unfinished", "1 when a verb was interrupted and has to be run again.");
    for (auto const& s : services)
        out.sample(of(s), s.status.unfinished.has_value());
}

void proof(Exposition& out, Services const& services) {
    out.family("pgcarve_gate_open", "1 when the conditions for the next cutover or rollback hold.");
    for (auto const& s : services) {
        if (!s.status.gate.conditions.empty())
            out.sample(of(s), s.status.gate.open());
    }
    out.family("pgcarve_gate_condition", "1 when the condition passes or is overridden; one that is unknown does not.");
    for (auto const& s : services) {
        for (auto const& condition : s.status.gate.conditions)
            out.sample({{"service", s.status.service}, {"condition", condition.id}}, condition.state == model::ConditionState::pass || condition.overridden);
    }
    out.family("pgcarve_schema_drift", "Tables, mirrors and fences that are no longer as they were made.");
    for (auto const& s : services)
        out.sample(of(s), static_cast<std::int64_t>(s.status.drift.size()));
    auto const each = [&](auto const& value) {
        for (auto const& s : services) {
            if (s.status.last_verification)
                out.sample(of(s), value(*s.status.last_verification));
        }
    };
    using Last = model::VerificationSummary;
    out.family("pgcarve_last_verification_verdict", "1 for the verdict of the last verification of the whole service.");
    for (auto const& s : services) {
        if (!s.status.last_verification)
            continue;
        for (auto const verdict : {Verdict::clean, Verdict::different, Verdict::incomplete})
            out.sample({{"service", s.status.service}, {"verdict", model::text(verdict)}}, s.status.last_verification->verdict == verdict);
    }
    out.family("pgcarve_last_verification_age_seconds", "How long ago it ended.");
    each([](Last const& last) { return last.age_seconds; });
    out.family("pgcarve_last_verification_seconds", "How long it took.");
    for (auto const& s : services)
        out.sample(of(s), s.verification_seconds);
    out.family("pgcarve_last_verification_rows", "Rows that it compared.");
    each([](Last const& last) { return last.rows; });
    out.family("pgcarve_last_verification_differences", "Rows that differed.");
    each([](Last const& last) { return last.differences; });
    out.family("pgcarve_clean_verifications", "Clean verifications in a row, up to now.");
    each([](Last const& last) { return static_cast<std::int64_t>(last.clean_in_a_row); });
    out.family("pgcarve_findings", "Rows found to differ that are not resolved.");
    for (auto const& s : services)
        out.sample(of(s), s.unresolved_findings);
}

void slots(Exposition& out, Services const& services) {
    auto const each = [&](auto const& value) {
        for (auto const& s : services) {
            for (auto const& slot : s.slots)
                out.sample({{"service", s.status.service}, {"slot", slot.name}}, value(slot));
        }
    };
    using Slot = model::SlotMetrics;
    out.family("pgcarve_slot_active", "1 while the slot is read.");
    each([](Slot const& slot) { return slot.active; });
    out.family("pgcarve_slot_lost", "1 when the server has removed log that the slot needs.");
    each([](Slot const& slot) { return slot.lost; });
    out.family("pgcarve_slot_retained_wal_bytes", "Log that the server keeps for the slot.");
    each([](Slot const& slot) { return slot.retained_bytes; });
    out.family("pgcarve_slot_lag_bytes", "Log behind the position that the slot's reader has confirmed.");
    each([](Slot const& slot) { return slot.lag_bytes; });
}

void audits(Exposition& out, Services const& services) {
    auto const each = [&](auto const& value) {
        for (auto const& s : services) {
            if (s.audit)
                out.sample(of(s), value(*s.audit));
        }
    };
    using Audit = model::AuditMetrics;
    out.family("pgcarve_audit_state", "1 for the state of the audit.");
    for (auto const& s : services) {
        for (auto const* const state : {"running", "stopped", "lost"}) {
            if (s.audit)
                out.sample({{"service", s.status.service}, {"state", state}}, s.audit->state == state);
        }
    }
    out.family("pgcarve_audit_transactions_total", "Transactions judged.", "counter");
    each([](Audit const& audit) { return audit.transactions; });
    out.family("pgcarve_audit_differences_total", "Transactions whose writes to the two sides differ.", "counter");
    each([](Audit const& audit) { return audit.differences; });
    out.family("pgcarve_audit_undecided_total", "Rows that could not be judged.", "counter");
    each([](Audit const& audit) { return audit.undecided; });
    out.family("pgcarve_audit_position_age_seconds", "How long ago the audit last recorded its position.");
    each([](Audit const& audit) { return audit.age_seconds; });
}

} // namespace

std::string prometheus(model::Metrics const& metrics) {
    Exposition out;
    out.family("pgcarve_up", "1 when the shared database answered.");
    out.sample({}, metrics.up);
    progress(out, metrics.services);
    proof(out, metrics.services);
    slots(out, metrics.services);
    audits(out, metrics.services);
    return std::move(out).text();
}

} // namespace pgcarve::report
