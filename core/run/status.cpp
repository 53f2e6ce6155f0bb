#include "run/status.hpp"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "catalog/reader.hpp"
#include "control/migrations.hpp"
#include "run/authority/authority.hpp"
#include "run/executor.hpp"
#include "run/facts.hpp"
#include "run/proof/verification.hpp"
#include "run/status_parts.hpp"
#include "run/synced.hpp"

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
        status.tables = synced_tables(state);
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
            if (section != nullptr && section->database)
                status.next += fmt::format("; or pgcarve sync {}, straight to its own database", state.name);
            return status;
        }
        status.hop = "schema";
        if (state.phase == Phase::dual_writing || state.phase == Phase::schema_live) {
            two_sides(state, status);
            status.lag = {0, 0.0}; // both sides are written in one transaction
        } else if (state.phase == Phase::backfilling) {
            status.copy = progress(state);
            status.next = fmt::format("pgcarve split {}", state.name);
        } else if (state.setup->database && state.phase != Phase::completed) {
            status.hop = "database";
            show_stream(context_, session_, state, catalog(), status);
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
        show_history(history, status);
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
