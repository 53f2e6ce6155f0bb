// What the control schema holds about audits.
//
// A difference is stored once, by the position of its transaction's commit, however often the log is read; the position, up to
// which everything has been judged, is stored with it.
// Errors: pg::SqlError; those of pg::Session. Threads: as the session.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/duration.hpp"
#include "base/types.hpp"
#include "model/audit.hpp"
#include "pg/session.hpp"

namespace pgcarve::audit {

struct State {
    std::string slot; // and publication
    base::Lsn position; // everything that committed before it has been judged
    std::string state;  // running, stopped, lost
    std::string began_at;
    long long transactions = 0;
    long long differences = 0;
    long long undecided = 0;
    bool stop_wanted = false;
    std::optional<std::string> lost_why;
    double age_seconds = 0; // of the position
};

struct Progress {
    base::Lsn position;
    long long transactions = 0;
    long long undecided = 0;
};

class Store {
public:
    explicit Store(pg::Session& session)
        : session_{session} {}

    [[nodiscard]] std::optional<State> find(std::string const& service);
    // A new audit, or one that begins anew behind a gap.
    void begin(std::string const& service, std::string const& slot, base::Lsn position);
    void set_state(std::string const& service, std::string const& state, std::optional<std::string> const& why = std::nullopt);

    // In one transaction: the differences, each with findings, those that have become equal again, and how far everything is
    // judged. Differences that are stored already are left alone. Gives those that are new their ids.
    void record(std::string const& service, std::vector<model::AuditDifference>& differences, std::vector<model::AuditEqual> const& equal,
                Progress const& progress);
    // Differences that were stored and not yet told: the process died between the two.
    [[nodiscard]] std::vector<model::AuditDifference> untold(std::string const& service);
    void told(std::vector<model::AuditDifference> const& differences);
    // Those that are not equal again, the newest `limit`.
    [[nodiscard]] std::vector<model::AuditDifference> open(std::string const& service, int limit);

    // Writes to the log and commits, so that there is something behind what was written before. Returns a position which every
    // earlier commit is before.
    base::Lsn mark();

    // Another pgcarve wants the audit to end.
    void want_stop(std::string const& service);
    [[nodiscard]] bool stop_wanted(std::string const& service);
    // Nothing of it stays; `differences`: those too.
    void forget(std::string const& service, bool differences);

private:
    pg::Session& session_;
};

} // namespace pgcarve::audit
