// Collects from the server what the gate judges (cutover/gate.hpp). Each fact that cannot be
// read stays unknown, which closes the gate; nothing here decides.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "control/store.hpp"
#include "cutover/gate.hpp"
#include "cutover/phase.hpp"
#include "mirrorgen/mirrorgen.hpp"
#include "model/catalog.hpp"
#include "model/setup.hpp"
#include "pg/session.hpp"

namespace pgcarve::run {

// The oldest transaction, prepared ones included, that has written to one of these tables or may do so.
struct OldestWriter {
    std::string description; // empty: there is none
    base::Millis age{0};
};
// nullopt: there is one whose age this role may not see.
[[nodiscard]] std::optional<OldestWriter> oldest_writer(pg::Session& session, std::vector<std::string> const& quoted_tables);

// What `role` cannot do with the service's tables; empty when it can do its work.
[[nodiscard]] std::vector<std::string> role_lacks(pg::Session& session, std::string const& role, model::Setup const& setup);

// Sequences behind the tables' columns that this session cannot read.
[[nodiscard]] std::vector<std::string> unreadable_sequences(pg::Session& session, model::Setup const& setup);

// Mirrors and fences that are missing, altered, or enabled on the wrong side; one sentence each. `setup` with the names
// that the tables have now (run/proof/verification.hpp, current_names()).
[[nodiscard]] std::vector<std::string> machinery_drift(pg::Session& session, std::string const& service, model::Setup const& setup,
                                                       cutover::Authority authority, model::Catalog const& catalog);

// The same by mirror and fence, each with the SQL that puts it right, to be run in one transaction.
struct MachineryFault {
    std::vector<std::string> differences;
    std::vector<std::string> mend;
};
[[nodiscard]] std::vector<MachineryFault> machinery_faults(pg::Session& session, std::string const& service, model::Setup const& setup,
                                                           cutover::Authority authority, model::Catalog const& catalog);

// Tables whose definitions are no longer those that the mirror was made for, or whose two sides differ; one
// sentence each. `catalog` is today's.
[[nodiscard]] std::vector<std::string> drift(model::Setup const& setup, model::Catalog const& catalog,
                                             cutover::Authority authority);

// One digest over the signatures of all tables of the service, both sides.
[[nodiscard]] std::string service_signature(model::Setup const& setup, model::Catalog const& catalog);

// The same of the tables of a database hop: each side's in its own catalog.
[[nodiscard]] std::string database_signature(model::Setup const& setup, model::Catalog const& shared, model::Catalog const& other);

// One row a trigger of the machinery that is there.
[[nodiscard]] std::vector<mirrorgen::Installed> read_installed(pg::Session& session, mirrorgen::Machinery const& machinery);

// All of them for one service.
[[nodiscard]] cutover::GateFacts collect_facts(pg::Session& session, control::ServiceState const& state,
                                               model::Catalog const& catalog, bool rollback);

} // namespace pgcarve::run
