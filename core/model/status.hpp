// Where one service stands, as `pgcarve status` shows it. Collected by run/, rendered by
// report/. Times of day come as text and ages as numbers, so that rendering needs no clock.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/gate.hpp"
#include "model/sync_state.hpp"
#include "model/verification.hpp"

namespace pgcarve::model {

struct WindowStatus {
    std::int64_t required_seconds = 0;
    std::int64_t elapsed_seconds = 0;
    std::optional<std::string> started_at; // ISO 8601 with zone; none before both sides agree
};

struct LagStatus { // both sides in one transaction: 0 and 0; unknown or no copy running: none
    std::optional<std::int64_t> bytes;
    std::optional<double> seconds;
};

struct VerificationSummary {
    std::int64_t id = 0;
    Verdict verdict = Verdict::incomplete;
    std::string mode = "full";
    std::string time; // ISO 8601 with zone
    double age_seconds = 0;
    std::int64_t rows = 0;
    std::int64_t differences = 0;
    int clean_in_a_row = 0;
};

struct CopyProgress {
    int tables_done = 0;
    int tables_total = 0;
    std::int64_t rows_done = 0;
    std::int64_t rows_estimated = 0;
    std::optional<double> seconds_left;
};

// Rows of a foreign key's child without their parent.
struct OrphanCount {
    std::string key; // public.orders.customer_id -> public.customers
    std::int64_t rows = 0;
    std::string counted_at; // ISO 8601 with zone; empty: just now
};

// Foreign keys that the database hop severed and pgcarve keeps.
struct LooseStatus {
    std::optional<std::int64_t> waiting; // referenced keys that are gone, not worked off yet; none: a server does not answer
    double oldest_seconds = 0;
    std::int64_t refused = 0; // of them those that could not be worked off
    std::optional<std::string> problem; // one of the reasons
    std::vector<OrphanCount> orphans;   // as last counted
};

struct ServiceStatus {
    std::string service;
    std::string phase;     // the pinned names: planned, backfilling, …
    std::string hop;       // schema, database; "" before the first
    std::string authority; // who takes writes: shared, schema, database
    WindowStatus window;
    LagStatus lag;
    std::optional<CopyProgress> copy;     // while backfilling or copying
    std::optional<std::string> throttled; // why rows are not being moved right now
    std::optional<VerificationSummary> last_verification;
    std::optional<LooseStatus> loose; // while there are any
    std::vector<std::string> drift;        // what changed under the mirror
    std::optional<std::string> unfinished; // a verb that was interrupted: what to run again
    Gate gate;
    std::vector<SyncedTable> tables; // what is kept in step now
    std::string next; // what to type now
};

} // namespace pgcarve::model
