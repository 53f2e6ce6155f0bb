// Both sides of a database hop, as one of its switches sees them: which is the old side and which the new, what streams now
// and what will, and what of a switch can be taken back.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "control/store.hpp"
#include "model/catalog.hpp"
#include "pg/wake.hpp"
#include "run/authority/authority.hpp"
#include "run/authority/database_facts.hpp"
#include "run/authority/database_switch.hpp"
#include "run/stream/route.hpp"
#include "run/stream/target.hpp"

namespace pgcarve::run {

struct DatabaseHop {
    // `state`: with a database. Opens both databases; a stop request cancels what runs in either.
    DatabaseHop(Context& context, MoveRequest const& request, control::ServiceState state);

    Context& context;
    MoveRequest const& request;
    std::string verb;
    bool rollback;
    model::Limits limits;
    control::ServiceState state;
    Route forth; // that streams now
    Route back;  // that will
    pg::WakeFd wake;
    pg::Session shared;
    TargetSteps steps; // and the session of the other database
    model::Catalog shared_catalog;
    model::Catalog other_catalog;
    std::unique_ptr<control::Lease> lease; // nullptr: not yet

    [[nodiscard]] model::DatabaseSetup const& database() const { return *state.setup->database; }
    [[nodiscard]] pg::Session& other() { return steps.session(); }
    [[nodiscard]] pg::Session& old_side() { return rollback ? other() : shared; }
    [[nodiscard]] pg::Session& new_side() { return rollback ? shared : other(); }
    [[nodiscard]] cutover::Phase from() const { return rollback ? cutover::Phase::database_live : cutover::Phase::syncing; }
    [[nodiscard]] cutover::Phase to() const { return rollback ? cutover::Phase::syncing : cutover::Phase::database_live; }
    // The step with which the old side closes, and that with which the new one opens.
    [[nodiscard]] std::string closing() const { return rollback ? "other:close" : "switch"; }
    [[nodiscard]] std::string opening() const { return rollback ? "switch" : "other:open"; }
    // What the other database's journal calls a step of this attempt.
    [[nodiscard]] static std::string line(control::Attempt const& attempt, std::string const& step);
    // Whether the attempt is behind its point of no return.
    [[nodiscard]] bool switched(control::Attempt const& attempt);
    [[nodiscard]] bool opened(control::Attempt const& attempt);

    void read_catalogs();
    [[nodiscard]] DatabaseView view() { return {state, shared, other(), shared_catalog, other_catalog}; }
    [[nodiscard]] std::vector<model::SeveredKey> severed();

    // How far the new side is behind: from the sync that runs; when none does, by taking the lease and streaming in its place
    // until a marker comes through at once. Throws "not-in-step" (exit 3).
    [[nodiscard]] StreamLag measure();
    // The same with a stream that is open already. Returns how long the last marker took.
    base::Millis catch_up(sync::Stream& stream);

    // The switch as the attempt's plan has it, without its records.
    [[nodiscard]] ServerSwitch server_switch(control::Attempt const& attempt);

    // Takes back what was prepared, the last first, whether a stop was requested or not. Under the lease.
    void undo(control::Attempt const& attempt, std::string const& why);

private:
    base::Interrupt::Guard guard_;
};

} // namespace pgcarve::run
