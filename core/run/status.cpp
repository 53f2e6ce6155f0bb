#include "run/status.hpp"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "catalog/reader.hpp"
#include "control/migrations.hpp"
#include "run/authority.hpp"
#include "run/executor.hpp"
#include "run/facts.hpp"
#include "run/sync.hpp"
#include "run/verification.hpp"

namespace pgcarve::run {

using cutover::Event;
using cutover::Phase;

namespace {

class Reporter {
public:
    explicit Reporter(Context& context) : context_{context}, session_{context.shared("status")} {
        control::require_current(session_, control::embedded_migrations());
    }

    std::vector<model::ServiceStatus> run(std::optional<std::string> const& wanted) {
        std::set<std::string> names;
        std::map<std::string, control::ServiceState> known;
        for (auto& state : control::Store{session_}.services()) {
            names.insert(state.name);
            known.emplace(state.name, std::move(state));
        }
        for (auto const& [name, unused] : context_.map.services)
            names.insert(name);
        if (wanted) {
            if (!names.contains(*wanted))
                (void)context_.service(*wanted); // throws
            names = {*wanted};
        }
        std::vector<model::ServiceStatus> all;
        for (auto const& name : names) {
            auto const at = known.find(name);
            if (at == known.end()) {
                control::ServiceState fresh;
                fresh.name = name;
                all.push_back(one(fresh));
            } else {
                all.push_back(one(at->second));
            }
        }
        return all;
    }

private:
    model::ServiceStatus one(control::ServiceState const& state) {
        model::ServiceStatus status;
        status.service = state.name;
        status.phase = cutover::text(state.phase);
        status.authority = cutover::text(state.authority);
        auto const* const section = context_.map.service(state.name);
        auto const limits = section != nullptr ? section->limits : model::Limits{};
        status.window.required_seconds = limits.window.count() / 1000;
        status.window.started_at = state.window_started_at;
        if (auto const open = control::Store{session_}.open_attempt(state.name)) {
            auto const holder = control::Store{session_}.lease_holder(state.name);
            if (!holder)
                status.unfinished = fmt::format("{} stopped after {} of {} steps: run `{}` again", open->verb, open->done.size(),
                                                open->plan.steps.size(), rerun_command(open->verb, state.name));
        }
        if (!state.setup) {
            status.next = fmt::format("pgcarve plan {0}, then pgcarve split {0}", state.name);
            return status;
        }
        status.hop = "schema";
        if (state.phase == Phase::dual_writing || state.phase == Phase::schema_live) {
            two_sides(state, status);
            status.lag = {0, 0.0}; // both sides are written in one transaction
        } else if (state.phase == Phase::backfilling) {
            status.copy = progress(state);
            status.next = fmt::format("pgcarve split {}", state.name);
        } else if ((state.phase == Phase::copying || state.phase == Phase::syncing) && state.setup->database) {
            status.hop = "database";
            stream(state, status);
        } else if (state.phase == Phase::completed) {
            status.next = !state.hold_until ? "nothing"
                          : state.hold_over ? fmt::format("pgcarve complete {} --purge", state.name)
                                            : fmt::format("the old tables are held until {}", *state.hold_until);
        } else {
            status.next = fmt::format("pgcarve split {}", state.name);
        }
        if (status.unfinished)
            status.next = *status.unfinished;
        return status;
    }

    model::Catalog const& catalog() {
        if (!catalog_)
            catalog_ = catalog::read_catalog(session_);
        return *catalog_;
    }

    void two_sides(control::ServiceState const& state, model::ServiceStatus& status) {
        auto const setup = current_names(state);
        auto const history = control::Store{session_}.history(state.name, service_signature(setup, catalog()));
        if (history.agreed_for)
            status.window.elapsed_seconds = history.agreed_for->count() / 1000;
        if (history.last) {
            model::VerificationSummary last;
            last.verdict = history.last->verdict == "clean"       ? model::Verdict::clean
                           : history.last->verdict == "different" ? model::Verdict::different
                                                                  : model::Verdict::incomplete;
            last.time = history.last_at.value_or("");
            last.age_seconds = static_cast<double>(history.last->age.count()) / 1000.0;
            last.clean_in_a_row = history.clean_runs;
            last.id = history.last_id;
            last.mode = history.last->full ? "full" : "incremental";
            last.rows = history.last_rows;
            last.differences = history.last_differences;
            status.last_verification = last;
        }
        bool const forth = state.phase == Phase::dual_writing;
        status.gate = gate_now(context_, session_, state, catalog(), forth ? Event::cutover : Event::rollback);
        status.drift = drift(setup, catalog(), state.authority);
        if (!status.drift.empty())
            status.next = fmt::format("pgcarve split {}: it brings both sides back in step", state.name);
        else if (!forth)
            status.next = fmt::format("pgcarve complete {0} when nobody needs the way back; until then pgcarve rollback {0} is open", state.name);
        else if (status.gate.open())
            status.next = fmt::format("pgcarve cutover {}", state.name);
        else
            status.next = first_hint(status.gate, state.name);
    }

    void stream(control::ServiceState const& state, model::ServiceStatus& status) {
        auto const slot = sync_lag(session_, state.setup->database->name);
        if (slot) {
            status.lag.bytes = slot->bytes;
            if (slot->bytes == 0)
                status.lag.seconds = 0.0;
        }
        if (!slot && state.phase == Phase::syncing)
            status.next = fmt::format("slot {} is gone: pgcarve cancel {}, then sync it again", state.setup->database->name, state.name);
        else if (slot && slot->wal_status == "lost")
            status.next = fmt::format("slot {} has lost the log it needs: pgcarve cancel {}, then sync it again", state.setup->database->name, state.name);
        else if (control::Store{session_}.lease_holder(state.name))
            status.next = "nothing: the sync runs";
        else
            status.next = fmt::format("pgcarve sync {}", state.name);
    }

    static std::string first_hint(model::Gate const& gate, std::string const& service) {
        for (auto const& condition : gate.conditions) {
            if (condition.state != model::ConditionState::pass && !condition.hint.empty())
                return fmt::format("{} ({})", condition.hint, condition.id);
        }
        return fmt::format("pgcarve verify {}", service);
    }

    model::CopyProgress progress(control::ServiceState const& state) {
        model::CopyProgress progress;
        control::Store store{session_};
        for (auto const& pair : state.setup->tables) {
            if (pair.is_partition || state.setup->strategy == model::Strategy::move)
                continue;
            auto const mark = store.backfill_mark(state.name, pair.source.quoted());
            auto const* const table = catalog().find(pair.source);
            ++progress.tables_total;
            progress.tables_done += mark.finished ? 1 : 0;
            progress.rows_done += mark.rows;
            progress.rows_estimated += table != nullptr ? static_cast<std::int64_t>(table->estimated_rows) : 0;
        }
        return progress;
    }

    Context& context_;
    pg::Session session_;
    std::optional<model::Catalog> catalog_;
};

} // namespace

std::vector<model::ServiceStatus> status(Context& context, std::optional<std::string> const& service) {
    return Reporter{context}.run(service);
}

} // namespace pgcarve::run
