// Follows the log of the shared database and judges, transaction by transaction, whether what was written left both sides equal.
//
// For each row that a transaction wrote on either side, both sides' rows have to be equal after it. What the transaction itself
// does not say (the mirror does not write what is equal already; large values that did not change are not sent) is taken from
// what earlier transactions said (Ledger), else from a snapshot taken before the transaction (Look), else from one taken after
// it, as long as nobody wrote the row in between. Where even that is impossible the row counts as undecided: never as equal, and
// never as different.
//
// Positions: what has been judged is stored together with what was found (Store), and only then confirmed to the server.
//
// Errors: "server-lost" (exit 4), "slot-busy" (exit 4), "schema-changed" (exit 5), "tables-renamed" (exit 4), "spill-failed" (exit 4);
// pg::SqlError from the server: 55000 and 42704 when the slot has lost its log or is gone.
// Threads: one.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "audit/collector.hpp"
#include "audit/plan.hpp"
#include "audit/store.hpp"
#include "base/interrupt.hpp"
#include "model/audit.hpp"
#include "pg/replication.hpp"

namespace pgcarve::audit {

struct Settings {
    std::string service;
    std::string slot; // and publication
    pg::ReplicationSettings stream;
    pg::SessionSettings shared;
    // Asked when there is a difference to tell: a cutover may have moved the authority meanwhile.
    std::function<bool()> service_is_authority = [] { return false; };
    CollectorLimits transaction;
    std::size_t ledger_bytes = 48UL << 20U;
    base::Millis look_every{5'000};   // how long a snapshot is kept, at most twice that
    std::size_t samples = 20;         // rows told of one difference
    std::size_t rows_in_doubt = 50'000; // more are undecided at once
};

struct Events {
    std::function<void(model::AuditDifference const&)> difference = [](model::AuditDifference const&) {};
    std::function<void(model::AuditEqual const&)> equal = [](model::AuditEqual const&) {};
    std::function<void(std::string const&)> undecided = [](std::string const&) {};
    std::function<void(model::AuditSummary const&)> tick = [](model::AuditSummary const&) {}; // about once a second
    // About once a second: true ends the audit at the next commit.
    std::function<bool()> enough = [] { return false; };
};

class Auditor {
public:
    // `home_of`: see Collector. Opens the stream at `from`.
    Auditor(Settings settings, Plan plan, std::function<std::optional<Home>(base::Oid)> home_of, base::Lsn from);
    ~Auditor();

    // Until everything that committed before `end` has been judged, Events::enough() says so, or the interrupt.
    // True: `end` was reached.
    bool run(pg::Session& control, base::Interrupt& interrupt, base::Lsn end, Events const& events);
    // Ends the stream at what has been stored.
    void stop();

    // Of this Auditor alone.
    [[nodiscard]] model::AuditSummary summary() const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

} // namespace pgcarve::audit
