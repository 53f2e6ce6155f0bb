// Reads and changes what the control schema holds about services.
//
// Every change of a service happens in the caller's transaction, names the lease it is made
// under, and fails with "lease-lost" when another process has taken the lease since: a process
// that was paused or cut off cannot change anything afterwards.
//
// Errors: base::Error "lease-held", "lease-lost", "wrong-phase", "attempt-open"; pg::SqlError.
// Threads: as the session it is given.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/duration.hpp"
#include "cutover/gate.hpp"
#include "cutover/phase.hpp"
#include "model/plan.hpp"
#include "model/setup.hpp"
#include "model/verification.hpp"
#include "pg/session.hpp"

namespace pgcarve::control {

struct ServiceState {
    std::string name;
    cutover::Phase phase = cutover::Phase::planned;
    cutover::Phase base_phase = cutover::Phase::planned; // in which the database hop began
    cutover::Authority authority = cutover::Authority::shared;
    std::optional<model::Setup> setup; // nullopt before the first split
    std::optional<std::string> window_started_at;
    std::optional<std::string> hold_until;
    bool hold_over = false; // hold_until lies in the past
};

// Exclusive right to change one service, for the life of the object. Held by an advisory lock of a session of
// its own, so it ends with the process however that dies.
class Lease {
public:
    // A running `sync` holds it for weeks, and gives way to whoever asks it to (Store::lease_wanted); anybody else does not.
    enum class From { nobody, sync };
    // Creates the service's row when it is new. Throws "lease-held" (exit 4) naming the holder.
    Lease(pg::SessionSettings settings, std::string service, std::string const& verb, std::string const& operator_name, From from = From::nobody);
    Lease(Lease const&) = delete;
    Lease& operator=(Lease const&) = delete;
    ~Lease();

    // Whether a verb waits for this one to give way. Throws "server-lost" when the lease went with its session.
    [[nodiscard]] bool wanted();
    [[nodiscard]] bool alive() const noexcept { return session_.alive(); }

    [[nodiscard]] std::string const& service() const noexcept { return service_; }
    [[nodiscard]] long long epoch() const noexcept { return epoch_; }
    [[nodiscard]] std::string const& operator_name() const noexcept { return operator_; }

private:
    pg::Session session_;
    std::string service_;
    std::string operator_;
    long long epoch_ = 0;
};

struct Attempt {
    long long id = 0;
    std::string verb;
    model::Plan plan;
    std::set<std::string> done; // ids of finished steps
    std::string started_at;
};

struct JournalLine {
    std::string at;
    std::string verb;
    std::string step;
    std::string state;
    std::string db_user;
    std::string operator_name;
    std::string client_addr;
    std::string detail;
};

class Store {
public:
    explicit Store(pg::Session& session) : session_{session} {}

    [[nodiscard]] std::optional<ServiceState> service(std::string const& name);
    [[nodiscard]] std::vector<ServiceState> services();
    // Who holds the lease now, described; nullopt when nobody does.
    [[nodiscard]] std::optional<std::string> lease_holder(std::string const& service);
    // Whether a verb waits for `sync` to give way, or `sync` has given way to it and it is not through yet.
    [[nodiscard]] bool lease_wanted(std::string const& service);

    // Takes away the lease row that a killed process left behind.
    void sweep_lease(std::string const& service);

    // --- changes: in the caller's transaction
    void check_lease(Lease const& lease); // locks the service's row to the end of the transaction
    // Compare-and-set of the phase by the phase table; also sets authority, and the window when dual_writing begins.
    void advance(Lease const& lease, cutover::Event event, cutover::Phase expected);
    void save_setup(Lease const& lease, model::Setup const& setup);
    void clear_setup(Lease const& lease); // after a cancel: setup, window, backfill marks
    void set_hold(Lease const& lease, base::Millis hold);
    void clear_hold(Lease const& lease); // after a purge

    // --- attempts
    [[nodiscard]] std::optional<Attempt> open_attempt(std::string const& service);
    // The last finished attempt of any verb: its verb and result.
    struct Finished {
        std::string verb;
        std::string state;
        nlohmann::json result;
        std::string finished_at;
    };
    [[nodiscard]] std::optional<Finished> last_finished(std::string const& service);
    Attempt begin_attempt(Lease const& lease, model::Plan const& plan);
    void finish_attempt(Lease const& lease, Attempt const& attempt, bool undone, nlohmann::json const& result);
    void step_done(Lease const& lease, Attempt& attempt, std::string const& step, nlohmann::json const& detail = nullptr);
    // What was recorded with a finished step; null when nothing was.
    [[nodiscard]] nlohmann::json step_detail(Attempt const& attempt, std::string const& step);
    void step_undone(Lease const& lease, Attempt const& attempt, std::string const& step);
    void note(Lease const& lease, std::string const& verb, std::string const& step, nlohmann::json const& detail);
    // Takes no lease: of what was done beside a process that holds it.
    void note(std::string const& service, std::string const& operator_name, std::string const& verb, std::string const& step, nlohmann::json const& detail);
    [[nodiscard]] std::vector<JournalLine> journal(std::string const& service, int newest);

    // --- backfill marks
    struct BackfillMark {
        std::optional<std::vector<std::string>> last_key;
        long long rows = 0;
        bool finished = false;
    };
    [[nodiscard]] BackfillMark backfill_mark(std::string const& service, std::string const& source);
    void mark_backfill(Lease const& lease, std::string const& source, BackfillMark const& mark);

    // --- verification history
    // Stores the verdict and its samples; a clean verification of the whole service resolves all open findings.
    // Takes no lease: it records what was seen. Returns the id.
    long long record(model::Verification const& verification, bool whole, std::string const& authority,
                     std::string const& signature);
    void resolve_findings(std::string const& service, std::string const& source_table, std::string const& by);
    struct History {
        int clean_runs = 0;                       // whole, clean, in a row up to now, since the window began
        int unresolved = 0;
        std::optional<cutover::LastVerification> last; // whole ones only
        std::optional<std::string> last_at;
        long long last_id = 0;
        long long last_rows = 0;
        long long last_differences = 0;
        std::optional<base::Millis> agreed_for;   // since the window began or the last difference, whichever is later
        std::optional<base::Millis> window_elapsed;
    };
    [[nodiscard]] History history(std::string const& service, std::string const& signature);

    // --- overrides
    void record_override(Lease const& lease, std::string const& verb, std::string const& condition,
                         std::string const& reason, std::string const& observed);
    struct Override {
        std::string verb;
        std::string condition;
        std::string reason;
        std::string at;
        std::string operator_name;
    };
    [[nodiscard]] std::vector<Override> overrides(std::string const& service);

private:
    pg::Session& session_;
};

} // namespace pgcarve::control
