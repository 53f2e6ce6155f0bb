// What the checks of `doctor` share; only the doctor_*.cpp files of this folder use it.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "control/store.hpp"
#include "model/catalog.hpp"
#include "model/doctor.hpp"
#include "plan/ownership.hpp"
#include "run/context.hpp"

namespace pgcarve::run::doctor {

struct Mend {
    std::vector<std::string> sql;
    std::string hint;
};

// One service as the checks see it.
struct Case {
    model::Service const* service = nullptr;
    std::optional<control::ServiceState> state; // nullopt: never split, or the control schema cannot be read
    std::vector<model::Table const*> roots;     // the tables as the monolith knows them, while they exist
    std::vector<model::Table const*> tables;    // with their partitions
    bool attempt_open = false;

    // It has one side in this database; a sync may stream that to another one.
    [[nodiscard]] bool planned() const { return !state || state->phase == cutover::Phase::planned || streams_shared_tables(); }
    [[nodiscard]] bool streams() const { return state && state->setup && state->setup->database; }
    [[nodiscard]] bool streams_shared_tables() const { return streams() && state->base_phase == cutover::Phase::planned; }
    // Its schema, role and tables are yet to be made, or are being made.
    [[nodiscard]] bool before_split() const { return planned() || state->phase == cutover::Phase::backfilling; }
    [[nodiscard]] bool copies() const { return service->strategy == model::Strategy::copy; }
};

struct Examination {
    Context& context;
    pg::Session& session;
    model::Catalog catalog;
    plan::Ownership ownership;
    std::vector<Case> cases;
    bool control_readable = false;
    model::DoctorReport report;

    void add(model::DoctorFinding finding); // its statements get their semicolon here
    // Runs one check; when it found nothing, says that it was made.
    void check(std::string const& id, std::string const& object, std::string const& fine, std::function<void()> const& look);
    [[nodiscard]] std::string me() const { return sql::display_ident(catalog.role.name); }
};

// Server-wide: standby, settings, prepared transactions, statistics rights.
void check_server(Examination& exam);
// The control schema; sets `control_readable` and the states of the cases.
void check_control(Examination& exam);
// Rights of the connecting role.
void check_rights(Examination& exam);
// The service's own role.
void check_service_role(Examination& exam, Case const& one);
// The boundary map, keys, indexes, shapes, what lies in the target's place, size.
void check_boundary(Examination& exam);
void check_tables(Examination& exam, Case const& one);
// Both servers of a database hop, for a service that has one.
void check_streams(Examination& exam, Case const& one);
// Transactions that a switch would wait for.
void check_activity(Examination& exam, Case const& one);
// Half-done verbs, drift, leftovers, findings.
void check_progress(Examination& exam, Case& one);

// "a, b, c and 4 more".
[[nodiscard]] std::string listed(std::vector<std::string> const& names, std::size_t most = 5);
[[nodiscard]] std::vector<std::string> oid_texts(std::vector<model::Table const*> const& tables);
[[nodiscard]] std::string bytes_text(std::int64_t bytes);

} // namespace pgcarve::run::doctor
