// What the control schema says about services, held against what is there.
#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "control/migrations.hpp"
#include "plan/loose.hpp"
#include "run/doctor/parts.hpp"
#include "run/facts.hpp"
#include "run/proof/verification.hpp"
#include "run/stream/route.hpp"
#include "run/stream/sync.hpp"

namespace pgcarve::run::doctor {

using cutover::Phase;
using model::DoctorLevel;
using sql::Ident;
using sql::QName;
using sql::Sql;

namespace {

// False: there is none, or it cannot be used.
bool control_schema_usable(Examination& exam) {
    auto const found = exam.session.maybe_one(
        Sql{"SELECT pg_get_userbyid(n.nspowner) AS owner, has_schema_privilege(n.oid, 'USAGE') AND has_schema_privilege(n.oid, 'CREATE')"
            " AND coalesce((SELECT bool_and(has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')"
            "  AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'))"
            "  FROM pg_class c WHERE c.relnamespace = n.oid AND c.relkind = 'r'), true) AS usable,"
            " EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.relname = 'migration') AS ours"
            " FROM pg_namespace n WHERE n.nspname = 'pgcarve'"});
    if (!found || !found->boolean("ours")) {
        exam.add({.level = DoctorLevel::problem,
                  .id = "control-schema",
                  .object = exam.catalog.database,
                  .message = found ? "a schema \"pgcarve\" is there, but it is not pgcarve's"
                                   : "the control schema \"pgcarve\" is not there yet",
                  .hint = found ? "rename that schema, then run `pgcarve init`" : "pgcarve init"});
        return false;
    }
    if (!found->boolean("usable")) {
        exam.add({.level = DoctorLevel::problem,
                  .id = "control-schema",
                  .object = exam.me(),
                  .message = fmt::format("the control schema belongs to {}, and {} may not use it", found->text("owner"), exam.me()),
                  .sql = {Sql{"GRANT "}.add(Ident{found->text("owner")}).add(" TO ").add(Ident{exam.catalog.role.name}).text()},
                  .hint = fmt::format("or run pgcarve as {}", found->text("owner"))});
        return false;
    }
    return true;
}

std::string strip_marks(std::string text) {
    std::erase(text, '`');
    return text;
}

// All that pgcarve's triggers on these tables are, by table.
struct Left {
    QName table;
    std::string trigger;
    QName function;
};
std::vector<Left> triggers_of_ours(pg::Session& session, std::vector<model::Table const*> const& tables) {
    std::vector<Left> found;
    for (auto const row : session.query(
             Sql{"SELECT tn.nspname AS table_schema, c.relname AS table_name, t.tgname AS trigger, p.proname AS function"
                 " FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace tn ON tn.oid = c.relnamespace"
                 " JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace n ON n.oid = p.pronamespace"
                 " WHERE n.nspname = 'pgcarve' AND NOT t.tgisinternal AND t.tgparentid = 0 AND t.tgrelid = ANY ("}
                 .bind(pg::format_array(oid_texts(tables)))
                 .add("::oid[]) ORDER BY 1, 2, 3")))
        found.push_back({{row.text("table_schema"), row.text("table_name")}, row.text("trigger"), {"pgcarve", row.text("function")}});
    return found;
}

// What the operator typed for an attempt of this verb.
std::string command(std::string const& verb, std::string const& service) {
    if (verb == "reconcile") // `split` of a service that is split already
        return fmt::format("pgcarve split {}", service);
    if (verb == "purge")
        return fmt::format("pgcarve complete {} --purge", service);
    return fmt::format("pgcarve {} {}", verb, service);
}

void unfinished(Examination& exam, Case& one, control::Store& store) {
    auto const& name = one.service->name;
    exam.check("unfinished-step", name, "no verb was left half-done", [&] {
        auto const attempt = store.open_attempt(name);
        one.attempt_open = attempt.has_value();
        if (!attempt)
            return;
        if (auto const holder = store.lease_holder(name)) {
            exam.add({.level = DoctorLevel::advice,
                      .id = "running",
                      .object = name,
                      .message = fmt::format("a {} runs now: {}", attempt->verb, *holder),
                      .hint = "wait for it to end"});
            return;
        }
        std::vector<std::string> standing;
        model::Step const* next = nullptr;
        for (auto const& step : attempt->plan.steps) {
            if (attempt->done.contains(step.id))
                standing.push_back(step.id);
            else if (next == nullptr)
                next = &step;
        }
        auto const again = command(attempt->verb, name);
        auto const undo = attempt->verb == "split" ? fmt::format("; or `pgcarve cancel {}` takes everything back", name) : "";
        exam.add({.level = DoctorLevel::decision,
                  .id = "unfinished-step",
                  .object = name,
                  .message = fmt::format("a {}, begun at {}, was not finished; {} of its {} steps stand{}{}; next: {}", attempt->verb,
                                         attempt->started_at, standing.size(), attempt->plan.steps.size(),
                                         standing.empty() ? "" : ": ", listed(standing, 12),
                                         next == nullptr ? "to close the attempt"
                                                         : next->why.empty() ? next->id : fmt::format("{} ({})", next->id, next->why)),
                  .hint = fmt::format("`{}` goes on from there{}", again, undo)});
    });
}

void drifted(Examination& exam, Case const& one) {
    auto const& name = one.service->name;
    auto const setup = current_names(*one.state);
    if (one.planned() || one.state->phase == Phase::completed || one.attempt_open)
        return;
    auto const changes = drift(setup, exam.catalog, one.state->authority);
    exam.check("drift", name, "the tables are as they were when their mirror was made", [&] {
        for (auto const& sentence : changes)
            exam.add({.level = DoctorLevel::problem,
                      .id = "drift",
                      .object = name,
                      .message = sentence,
                      .hint = fmt::format("pgcarve split {} (makes both sides and the mirror fit again)", name)});
    });
    if (!changes.empty() || setup.strategy == model::Strategy::move)
        return; // what the machinery should be follows from the tables
    exam.check("machinery", name, "mirror and fence are as they were installed", [&] {
        for (auto& fault : machinery_faults(exam.session, name, setup, one.state->authority, exam.catalog))
            exam.add({.level = DoctorLevel::problem,
                      .id = "machinery",
                      .object = name,
                      .message = listed(fault.differences, 10),
                      .sql = std::move(fault.mend),
                      .hint = fmt::format("`pgcarve split {}` does it; or run it in one transaction, as the role that ran split. Then"
                                          " `pgcarve verify {}`: what was written meanwhile is on one side only",
                                          name, name)});
    });
}

void open_findings(Examination& exam, Case const& one) {
    auto const& name = one.service->name;
    exam.check("findings", name, "no row is known to differ", [&] {
        for (auto const row : exam.session.query(Sql{"SELECT source_table, count(*) AS n FROM pgcarve.finding"
                                                     " WHERE resolved_at IS NULL AND service = "}
                                                     .bind(name)
                                                     .add(" GROUP BY 1 ORDER BY 1")))
            exam.add({.level = DoctorLevel::problem,
                      .id = "findings",
                      .object = row.text("source_table"),
                      .message = fmt::format("{} row(s) are known to differ between the two sides", row.integer("n")),
                      .hint = fmt::format("pgcarve repair {}", name)});
    });
}

// Those that note deletes on behalf of services which live in databases of their own.
std::set<std::pair<QName, std::string>> loose_triggers(Examination& exam) {
    std::set<std::pair<QName, std::string>> wanted;
    for (auto const& state : control::Store{exam.session}.services()) {
        if (!state.setup || !state.setup->database)
            continue;
        auto const keys = plan::loose_keys(*state.setup, state.setup->database->severed);
        for (auto const& machinery : plan::loose_parents(state.name, keys, false, exam.catalog, true)) {
            for (auto const& trigger : machinery.triggers)
                wanted.emplace(trigger.table, trigger.name);
        }
    }
    return wanted;
}

void leftovers(Examination& exam, Case const& one) {
    if (!one.planned() || one.attempt_open)
        return;
    exam.check("leftover", one.service->name, "nothing of pgcarve's is left on its tables", [&] {
        std::map<QName, std::vector<Left>> by_table;
        auto const wanted = exam.control_readable ? loose_triggers(exam) : std::set<std::pair<QName, std::string>>{};
        for (auto& left : triggers_of_ours(exam.session, one.tables)) {
            if (!wanted.contains({left.table, left.trigger}))
                by_table[left.table].push_back(std::move(left));
        }
        for (auto const& [table, all] : by_table) {
            std::vector<std::string> names;
            std::vector<std::string> mend;
            std::set<QName> functions;
            for (auto const& left : all) {
                names.push_back(left.trigger);
                functions.insert(left.function);
                mend.push_back(Sql{"DROP TRIGGER "}.add(Ident{left.trigger}).add(" ON ").add(table).text());
            }
            for (auto const& function : functions)
                mend.push_back(Sql{"DROP FUNCTION "}.add(function).add("()").text());
            exam.add({.level = DoctorLevel::problem,
                      .id = "leftover",
                      .object = table.display(),
                      .message = fmt::format("the service is not split, yet pgcarve's triggers are on this table: {}", listed(names)),
                      .sql = std::move(mend),
                      .hint = "run it as the owner of the table and of schema pgcarve"});
        }
    });
}

void streamed(Examination& exam, Case const& one) {
    if (!one.streams() || one.attempt_open || one.state->phase == Phase::completed)
        return;
    auto const& name = one.service->name;
    auto const& database = *one.state->setup->database;
    bool const back = one.state->phase == Phase::database_live;
    exam.check("slot", name, "the source keeps the log that the stream needs", [&] {
        auto const& slot = back ? database.back_name() : database.name;
        auto other = back ? std::optional<pg::Session>{std::in_place, other_database(exam.context, name, "doctor")} : std::nullopt;
        auto const found = sync_lag(other ? *other : exam.session, slot);
        if (found && found->wal_status != "lost" && found->wal_status != "unreserved")
            return;
        bool const late = found && found->wal_status == "unreserved"; // a checkpoint may remove it
        exam.add({.level = late ? DoctorLevel::problem : DoctorLevel::decision,
                  .id = "slot",
                  .object = slot,
                  .message = !found ? "the slot is not there any more: what was written since cannot be streamed"
                             : late ? "the slot is about to lose log that the stream still needs"
                                    : "the slot has lost log that the stream still needs",
                  .hint = late   ? fmt::format("pgcarve sync {0} --until-caught-up, and raise max_slot_wal_keep_size", name)
                          : back ? fmt::format("there is no way back any more: pgcarve complete {} ends the hop", name)
                                 : fmt::format("pgcarve cancel {0}, then pgcarve sync {0}", name)});
    });
}

void retired(Examination& exam, Case const& one) {
    if (one.state->phase != Phase::completed || !one.state->hold_over || one.attempt_open)
        return;
    exam.add({.level = DoctorLevel::advice,
              .id = "purge",
              .object = one.service->name,
              .message = fmt::format("the old tables were to be held until {}, which is over", one.state->hold_until.value_or("?")),
              .hint = fmt::format("pgcarve complete {} --purge", one.service->name)});
}

} // namespace

void check_control(Examination& exam) {
    exam.check("control-schema", exam.catalog.database, "the control schema is the one this pgcarve knows", [&] {
        if (!control_schema_usable(exam))
            return;
        try {
            control::require_current(exam.session, control::embedded_migrations());
        } catch (base::Error const& e) {
            if (e.exit() != base::Exit::usage)
                throw;
            exam.add({.level = DoctorLevel::problem,
                      .id = e.code(),
                      .object = "schema pgcarve",
                      .message = e.message(),
                      .hint = strip_marks(e.hint())});
            return;
        }
        exam.control_readable = true;
    });
    if (!exam.control_readable)
        return;
    control::Store store{exam.session};
    for (auto& state : store.services()) {
        auto const at = std::ranges::find(exam.cases, state.name, [](Case const& c) { return c.service->name; });
        if (at != exam.cases.end()) {
            at->state = std::move(state);
        } else if (exam.context.map.service(state.name) == nullptr && state.phase != Phase::planned &&
                   state.phase != Phase::completed) {
            exam.add({.level = DoctorLevel::problem,
                      .id = "unknown-service",
                      .object = state.name,
                      .message = fmt::format("the service is {}, but {} does not name it", cutover::text(state.phase),
                                             exam.context.map.file),
                      .hint = fmt::format("put [service.{}] back", state.name)});
        }
    }
}

void check_progress(Examination& exam, Case& one) {
    if (exam.control_readable && one.state) {
        control::Store store{exam.session};
        unfinished(exam, one, store);
        if (one.state->setup) {
            drifted(exam, one);
            open_findings(exam, one);
            retired(exam, one);
            streamed(exam, one);
        }
    }
    leftovers(exam, one);
}

} // namespace pgcarve::run::doctor
