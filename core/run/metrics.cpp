#include "run/metrics.hpp"

#include <algorithm>

#include "audit/store.hpp"
#include "control/history.hpp"
#include "control/store.hpp"
#include "run/audit.hpp"
#include "run/status.hpp"

namespace pgcarve::run {

using sql::Sql;

namespace {

// Slots whose names are the service's: the stream's, and the audit's.
std::vector<model::SlotMetrics> slots_of(pg::Session& session, std::vector<std::string> const& names) {
    std::vector<model::SlotMetrics> slots;
    for (auto const row : session.query(Sql{"SELECT slot_name::text AS name, active, coalesce(wal_status = 'lost', false) AS lost,"
                                            " (pg_current_wal_lsn() - restart_lsn)::bigint AS retained,"
                                            " (pg_current_wal_lsn() - confirmed_flush_lsn)::bigint AS lag"
                                            " FROM pg_replication_slots WHERE slot_name::text = ANY ("}
                                            .bind(pg::format_array(names))
                                            .add("::text[]) ORDER BY 1"))) {
        model::SlotMetrics slot{row.text("name"), row.boolean("active"), row.boolean("lost"), std::nullopt, std::nullopt};
        if (row.maybe("retained"))
            slot.retained_bytes = std::max(0LL, row.integer("retained"));
        if (row.maybe("lag"))
            slot.lag_bytes = std::max(0LL, row.integer("lag"));
        slots.push_back(std::move(slot));
    }
    return slots;
}

} // namespace

model::Metrics metrics(Context& context) {
    model::Metrics all;
    for (auto& status : status(context, std::nullopt))
        all.services.push_back({.status = std::move(status)});
    pg::Session session{context.shared("metrics")};
    control::Store store{session};
    for (auto& service : all.services) {
        auto const state = store.service(service.status.service);
        if (!state)
            continue;
        service.unresolved_findings = control::unresolved_findings(session, state->name);
        if (service.status.last_verification)
            service.verification_seconds = control::verification_seconds(session, service.status.last_verification->id);
        std::vector<std::string> names;
        if (state->setup && state->setup->database)
            names = {state->setup->database->name};
        names.push_back(audit_slot(state->name));
        if (auto const audit = audit::Store{session}.find(state->name))
            service.audit = model::AuditMetrics{audit->state, audit->transactions, audit->differences, audit->undecided, audit->age_seconds};
        service.slots = slots_of(session, names);
    }
    all.up = true;
    return all;
}

} // namespace pgcarve::run
