#include "run/synced.hpp"

#include <utility>

#include "control/migrations.hpp"
#include "run/proof/verification.hpp"

namespace pgcarve::run {

using cutover::Authority;
using cutover::Phase;

namespace {

bool has_mirror(control::ServiceState const& state) {
    if (!state.setup || state.setup->strategy != model::Strategy::copy)
        return false;
    switch (state.phase) {
    case Phase::backfilling:
    case Phase::dual_writing:
    case Phase::schema_live:
        return true;
    case Phase::copying:
    case Phase::syncing:
        return state.base_phase == Phase::schema_live;
    default:
        return false;
    }
}

bool has_stream(control::ServiceState const& state) {
    return state.setup && state.setup->database &&
           (state.phase == Phase::copying || state.phase == Phase::syncing || state.phase == Phase::database_live);
}

} // namespace

std::vector<model::SyncedTable> synced_tables(control::ServiceState const& state) {
    std::vector<model::SyncedTable> tables;
    if (has_mirror(state)) {
        bool const forward = state.authority == Authority::shared;
        bool const application = forward && state.setup->dual_write == model::DualWrite::application;
        for (auto const& pair : current_names(state).tables) {
            model::SyncedSide shared{"", pair.source};
            model::SyncedSide service{"", pair.target};
            if (!forward)
                std::swap(shared, service);
            tables.push_back({state.name, std::string{cutover::text(state.phase)}, application ? model::KeptBy::application : model::KeptBy::mirror,
                              std::move(shared), std::move(service), pair.key});
        }
    }
    if (has_stream(state)) {
        for (auto const& pair : state.setup->database->tables) {
            model::SyncedSide here{"", pair.source};
            model::SyncedSide there{state.name, pair.target};
            if (state.authority == Authority::database)
                std::swap(here, there);
            tables.push_back({state.name, std::string{cutover::text(state.phase)}, model::KeptBy::stream, std::move(here), std::move(there), pair.key});
        }
    }
    return tables;
}

model::SyncState read_sync_state(pg::Session& session) {
    model::SyncState state;
    if (session.query(sql::Sql{"SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'pgcarve'"}).empty())
        return state;
    control::require_current(session, control::embedded_migrations());
    for (auto const& service : control::Store{session}.services()) {
        auto tables = synced_tables(service);
        state.tables.insert(state.tables.end(), tables.begin(), tables.end());
    }
    return state;
}

} // namespace pgcarve::run
