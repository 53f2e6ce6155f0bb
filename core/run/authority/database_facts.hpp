// Collects what the gate of the database hop judges, from both servers. What cannot be read stays unknown, which closes it.
#pragma once

#include <map>
#include <string>

#include "control/store.hpp"
#include "cutover/gate.hpp"
#include "model/catalog.hpp"
#include "run/context.hpp"
#include "run/stream/lag.hpp"

namespace pgcarve::run {

struct DatabaseView {
    control::ServiceState const& state; // with a database
    pg::Session& shared;
    pg::Session& other;
    model::Catalog const& shared_catalog;
    model::Catalog const& other_catalog;
};

// `lag`: of the stream that runs now.
[[nodiscard]] cutover::GateFacts database_facts(Context const& context, DatabaseView const& view, StreamLag const& lag, bool rollback);

[[nodiscard]] model::Gate judge_database(Context const& context, DatabaseView const& view, StreamLag const& lag, bool rollback,
                                         std::map<std::string, std::string> const& overrides, cutover::GateFacts* facts = nullptr);

// What writes to the wrong side, or does not keep others from it; one sentence each.
[[nodiscard]] std::vector<std::string> write_lock_drift(DatabaseView const& view);

} // namespace pgcarve::run
