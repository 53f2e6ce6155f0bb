// Judges the conditions for a cutover or a rollback from facts that run/ collected.
//
// Pure: the facts come in as values, each std::optional where it may be unknown, and unknown
// closes the gate. Both hops share the conditions; those which a hop does not have (lag and
// slot while both sides are in one database) are left out rather than passed.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/duration.hpp"
#include "model/boundary.hpp"
#include "model/gate.hpp"

namespace pgcarve::cutover {

struct LastVerification {
    std::string verdict; // clean, different, incomplete
    base::Millis age{0};
    bool full = true;
    bool same_schema = true; // its schema signature is today's
};

struct GateFacts {
    std::string service;
    std::optional<base::Millis> window_elapsed; // how long both sides have agreed
    std::optional<int> clean_runs;              // in a row, up to now, of the whole service
    std::optional<LastVerification> last_verification;
    bool verification_known = false;            // the history could be read
    std::optional<int> unresolved_findings;
    std::optional<std::vector<std::string>> drift; // what differs from what the mirror was made for
    std::optional<std::vector<std::string>> undecided_crossings; // judged only before the database hop, as the next one
    std::optional<std::vector<std::string>> orphans; // foreign keys that will be severed, with rows that have no parent
    std::optional<std::vector<std::string>> unreadable_sequences;
    std::optional<std::vector<std::string>> role_lacks; // what the service's role cannot do
    std::optional<std::vector<std::string>> reverse_lacks; // why the other direction is not ready
    std::optional<std::string> oldest_transaction; // description of the oldest writer or prepared transaction
    std::optional<base::Millis> oldest_transaction_age;
    std::optional<base::Millis> predicted_write_block;
    // database hop only
    std::optional<base::Millis> lag;
    std::optional<bool> lag_growing;
    std::optional<std::string> slot_problem; // "" = healthy
};

enum class Hop { schema, database };

struct GateQuestion {
    Hop hop = Hop::schema;
    bool rollback = false;      // a way back must be open at once: no window, no run of verifications
    bool moves_tables = false;  // strategy move: there is one copy of the rows, nothing to compare
    model::Limits limits;
    std::map<std::string, std::string> overrides; // condition id -> reason
};

[[nodiscard]] model::Gate evaluate(GateQuestion const& question, GateFacts const& facts);

// The ids that --override accepts.
[[nodiscard]] std::vector<std::string> condition_ids();

} // namespace pgcarve::cutover
