// Audits the dual writes of a service: follows the log through a slot of its own until told to stop.
//
// It takes no lease: a cutover, a verification or a repair go on beside it, and an audit goes on over a cutover. It ends when
// `cancel`, `complete` or `--stop` take it away.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "audit/auditor.hpp"
#include "control/store.hpp"
#include "model/audit.hpp"
#include "run/context.hpp"

namespace pgcarve::run {

struct AuditOptions {
    std::optional<base::Millis> duration; // then it ends
    bool until_caught_up = false;         // once everything is judged that was committed when it was called
    // A slot that keeps more of the log than this is dropped, and the audit is lost: better than a full disk.
    std::int64_t max_retained_bytes = std::int64_t{20} << 30U;
    std::string folder = "/tmp"; // for what a transaction has too much of
};

struct AuditEvents {
    audit::Events found;
    std::function<void()> ready = [] {}; // the stream is open
};

// Errors: "wrong-phase", "nothing-to-audit" (exit 2), "audit-running", "unreachable", "server-lost" (exit 4), "wal-level",
// "identity", "schema-changed" (exit 5). A slot that is lost is no error: see AuditSummary::lost.
[[nodiscard]] model::AuditSummary audit_service(Context& context, std::string const& service, AuditOptions const& options, AuditEvents const& events);

// Takes slot, publication and position away, whoever reads them; `differences`: the history too. Nothing there is no error.
void end_audit(Context& context, pg::Session& session, std::string const& service, bool differences);
// `audit --stop`: the differences stay, and go on feeding the gate.
void stop_audit(Context& context, std::string const& service);

// Drops the slots of audits which nobody runs and which keep too much of the log. Returns what was done, one sentence each.
std::vector<std::string> guard_audits(Context& context);

[[nodiscard]] std::string audit_slot(std::string const& service);

} // namespace pgcarve::run
