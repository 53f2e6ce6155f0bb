#include "control/store.hpp"

#include <fmt/format.h>

#include "control/plan_json.hpp"

namespace pgcarve::control {

using base::Error;
using base::Exit;
using nlohmann::json;
using sql::Sql;

namespace {

ServiceState state_of(pg::Row const& row) {
    ServiceState state;
    state.name = row.text("name");
    auto const phase = cutover::parse_phase(row.text("phase"));
    auto const base_phase = cutover::parse_phase(row.text("base_phase"));
    auto const authority = cutover::parse_authority(row.text("authority"));
    if (!phase || !base_phase || !authority)
        base::bug(fmt::format("service {} has phase {} and authority {}", state.name, row.text("phase"), row.text("authority")));
    state.phase = *phase;
    state.base_phase = *base_phase;
    state.authority = *authority;
    auto const setup = json::parse(row.text("setup"));
    if (!setup.empty())
        state.setup = setup_from_json(setup);
    state.window_started_at = row.maybe("window_started_at");
    state.hold_until = row.maybe("hold_until");
    state.hold_over = row.boolean("hold_over");
    return state;
}

Sql service_query() {
    return Sql{"SELECT name, phase, base_phase, authority, setup::text AS setup, window_started_at::text AS window_started_at,"
               " hold_until::text AS hold_until, coalesce(hold_until <= clock_timestamp(), false) AS hold_over"
               " FROM pgcarve.service"};
}

base::Millis millis(double seconds) { return base::Millis{static_cast<long long>(seconds * 1000.0)}; }

} // namespace

std::optional<ServiceState> Store::service(std::string const& name) {
    auto const row = session_.maybe_one(service_query().add(" WHERE name = ").bind(name));
    return row ? std::optional{state_of(*row)} : std::nullopt;
}

std::vector<ServiceState> Store::services() {
    std::vector<ServiceState> all;
    for (auto const row : session_.query(service_query().add(" ORDER BY name")))
        all.push_back(state_of(row));
    return all;
}

void Store::advance(Lease const& lease, cutover::Event event, cutover::Phase expected) {
    auto const base_row =
        session_.one(Sql{"SELECT base_phase FROM pgcarve.service WHERE name = "}.bind(lease.service()));
    auto const base = cutover::parse_phase(base_row.text("base_phase"));
    auto const to = cutover::next(expected, event, base.value_or(cutover::Phase::planned));
    if (!to)
        base::bug(fmt::format("{} is not allowed in phase {}", cutover::text(event), cutover::text(expected)));
    using enum cutover::Phase;
    std::optional<cutover::Authority> authority;
    if (*to == planned || *to == backfilling || *to == dual_writing)
        authority = cutover::Authority::shared;
    else if (*to == schema_live)
        authority = cutover::Authority::schema;
    else if (*to == database_live)
        authority = cutover::Authority::database;
    else if (*to == syncing && event == cutover::Event::rollback)
        authority = base == schema_live ? cutover::Authority::schema : cutover::Authority::shared;
    auto const changed =
        session_
            .query(Sql{"UPDATE pgcarve.service SET changed_at = clock_timestamp(), phase = "}
                       .bind(std::string{cutover::text(*to)})
                       .add(", authority = coalesce(")
                       .bind(authority ? std::optional{std::string{cutover::text(*authority)}} : std::nullopt)
                       .add("::text, authority), window_started_at = CASE WHEN ")
                       // A hop's window runs from the first moment both sides agree, and on through a rollback.
                       .bind(event == cutover::Event::backfilled || event == cutover::Event::copied ? "t" : "f")
                       .add("::boolean THEN clock_timestamp() ELSE window_started_at END, base_phase = CASE WHEN ")
                       // A sync that is cancelled leads back to where it began.
                       .bind(event == cutover::Event::sync ? "t" : "f")
                       .add("::boolean THEN phase ELSE base_phase END WHERE name = ")
                       .bind(lease.service())
                       .add(" AND phase = ")
                       .bind(std::string{cutover::text(expected)})
                       .add(" AND epoch = ")
                       .number(lease.epoch()))
            .affected();
    if (changed != 1) {
        check_lease(lease);
        throw Error{Exit::usage, "wrong-phase",
                    fmt::format("service {} is no longer {}", lease.service(), cutover::text(expected)),
                    fmt::format("look with `pgcarve status {}`", lease.service())};
    }
}

void Store::save_setup(Lease const& lease, model::Setup const& setup) {
    check_lease(lease);
    session_.query(Sql{"UPDATE pgcarve.service SET setup = "}
                       .bind(to_json(setup).dump())
                       .add("::jsonb WHERE name = ")
                       .bind(lease.service()));
}

void Store::clear_setup(Lease const& lease) {
    check_lease(lease);
    session_.query(Sql{"UPDATE pgcarve.service SET setup = '{}', window_started_at = NULL WHERE name = "}.bind(lease.service()));
    session_.query(Sql{"DELETE FROM pgcarve.backfill WHERE service = "}.bind(lease.service()));
    session_.query(Sql{"UPDATE pgcarve.finding SET resolved_at = clock_timestamp(), resolved_by = 'cancel' WHERE service = "}
                       .bind(lease.service())
                       .add(" AND resolved_at IS NULL"));
}

void Store::set_hold(Lease const& lease, base::Millis hold) {
    check_lease(lease);
    session_.query(Sql{"UPDATE pgcarve.service SET hold_until = clock_timestamp() + make_interval(secs => "}
                       .bind(fmt::format("{}", static_cast<double>(hold.count()) / 1000.0))
                       .add("::float8) WHERE name = ")
                       .bind(lease.service()));
}

void Store::clear_hold(Lease const& lease) {
    check_lease(lease);
    session_.query(Sql{"UPDATE pgcarve.service SET hold_until = NULL WHERE name = "}.bind(lease.service()));
}

std::optional<Attempt> Store::open_attempt(std::string const& service) {
    auto const row = session_.maybe_one(Sql{"SELECT id, verb, plan::text AS plan, started_at::text AS started_at"
                                            " FROM pgcarve.attempt WHERE state = 'open' AND service = "}
                                            .bind(service));
    if (!row)
        return std::nullopt;
    Attempt attempt{row->integer("id"), row->text("verb"), plan_from_json(json::parse(row->text("plan"))), {}, row->text("started_at")};
    // The last word on a step counts: it may have been done, undone and done again.
    for (auto const line : session_.query(Sql{"SELECT DISTINCT ON (step) step, state FROM pgcarve.journal WHERE attempt = "}
                                              .number(attempt.id)
                                              .add(" AND state IN ('done', 'undone') ORDER BY step, id DESC"))) {
        if (line.text("state") == "done")
            attempt.done.insert(line.text("step"));
    }
    return attempt;
}

std::optional<Store::Finished> Store::last_finished(std::string const& service) {
    auto const row = session_.maybe_one(
        Sql{"SELECT verb, state, coalesce(result, 'null')::text AS result, finished_at::text AS finished_at"
            " FROM pgcarve.attempt WHERE state <> 'open' AND service = "}
            .bind(service)
            .add(" ORDER BY id DESC LIMIT 1"));
    if (!row)
        return std::nullopt;
    return Finished{row->text("verb"), row->text("state"), json::parse(row->text("result")), row->text("finished_at")};
}

Attempt Store::begin_attempt(Lease const& lease, model::Plan const& plan) {
    check_lease(lease);
    auto const row = session_.one(Sql{"INSERT INTO pgcarve.attempt (service, verb, plan) VALUES ("}
                                      .bind(lease.service())
                                      .add(", ")
                                      .bind(plan.verb)
                                      .add(", ")
                                      .bind(to_json(plan).dump())
                                      .add("::jsonb) RETURNING id, started_at::text AS started_at"));
    Attempt attempt{row.integer("id"), plan.verb, plan, {}, row.text("started_at")};
    note(lease, plan.verb, "begin", {{"steps", plan.steps.size()}});
    return attempt;
}

void Store::finish_attempt(Lease const& lease, Attempt const& attempt, bool undone, json const& result) {
    check_lease(lease);
    auto const changed = session_
                             .query(Sql{"UPDATE pgcarve.attempt SET finished_at = clock_timestamp(), state = "}
                                        .bind(undone ? "undone" : "finished")
                                        .add(", result = ")
                                        .bind(result.dump())
                                        .add("::jsonb WHERE state = 'open' AND id = ")
                                        .number(attempt.id))
                             .affected();
    if (changed != 1)
        base::bug(fmt::format("attempt {} was finished twice", attempt.id));
    note(lease, attempt.verb, undone ? "undone" : "end", result);
}

void Store::step_done(Lease const& lease, Attempt& attempt, std::string const& step, json const& detail) {
    check_lease(lease);
    session_.query(Sql{"INSERT INTO pgcarve.journal (service, attempt, verb, step, state, detail, operator) VALUES ("}
                       .bind(lease.service())
                       .add(", ")
                       .number(attempt.id)
                       .add(", ")
                       .bind(attempt.verb)
                       .add(", ")
                       .bind(step)
                       .add(", 'done', ")
                       .bind(detail.is_null() ? std::nullopt : std::optional{detail.dump()})
                       .add("::jsonb, ")
                       .bind(lease.operator_name())
                       .add(")"));
    attempt.done.insert(step);
}

json Store::step_detail(Attempt const& attempt, std::string const& step) {
    auto const row = session_.maybe_one(Sql{"SELECT coalesce(detail, 'null')::text AS detail FROM pgcarve.journal WHERE attempt = "}
                                            .number(attempt.id)
                                            .add(" AND state = 'done' AND step = ")
                                            .bind(step)
                                            .add(" ORDER BY id DESC LIMIT 1"));
    return row ? json::parse(row->text("detail")) : json(nullptr);
}

void Store::step_undone(Lease const& lease, Attempt const& attempt, std::string const& step) {
    check_lease(lease);
    session_.query(Sql{"INSERT INTO pgcarve.journal (service, attempt, verb, step, state, operator) VALUES ("}
                       .bind(lease.service())
                       .add(", ")
                       .number(attempt.id)
                       .add(", ")
                       .bind(attempt.verb)
                       .add(", ")
                       .bind(step)
                       .add(", 'undone', ")
                       .bind(lease.operator_name())
                       .add(")"));
}

void Store::note(Lease const& lease, std::string const& verb, std::string const& step, json const& detail) {
    note(lease.service(), lease.operator_name(), verb, step, detail);
}

void Store::note(std::string const& service, std::string const& operator_name, std::string const& verb, std::string const& step, json const& detail) {
    session_.query(Sql{"INSERT INTO pgcarve.journal (service, verb, step, state, detail, operator) VALUES ("}
                       .bind(service)
                       .add(", ")
                       .bind(verb)
                       .add(", ")
                       .bind(step)
                       .add(", 'note', ")
                       .bind(detail.dump())
                       .add("::jsonb, ")
                       .bind(operator_name)
                       .add(")"));
}

std::vector<JournalLine> Store::journal(std::string const& service, int newest) {
    std::vector<JournalLine> lines;
    auto const rows = session_.query(
        Sql{"SELECT at::text AS at, verb, step, state, db_user, operator, coalesce(client_addr::text, 'local') AS addr,"
            " coalesce(detail::text, '') AS detail FROM pgcarve.journal WHERE service = "}
            .bind(service)
            .add(" ORDER BY id DESC LIMIT ")
            .number(newest));
    for (auto const row : rows)
        lines.push_back({row.text("at"), row.text("verb"), row.text("step"), row.text("state"), row.text("db_user"),
                         row.text("operator"), row.text("addr"), row.text("detail")});
    return {lines.rbegin(), lines.rend()};
}

Store::BackfillMark Store::backfill_mark(std::string const& service, std::string const& source) {
    auto const row = session_.maybe_one(Sql{"SELECT last_key, rows_copied, finished FROM pgcarve.backfill WHERE service = "}
                                            .bind(service)
                                            .add(" AND source_table = ")
                                            .bind(source));
    if (!row)
        return {};
    BackfillMark mark;
    if (row->maybe("last_key"))
        mark.last_key = row->array("last_key");
    mark.rows = row->integer("rows_copied");
    mark.finished = row->boolean("finished");
    return mark;
}

void Store::mark_backfill(Lease const& lease, std::string const& source, BackfillMark const& mark) {
    check_lease(lease);
    session_.query(Sql{"INSERT INTO pgcarve.backfill (service, source_table, last_key, rows_copied, finished) VALUES ("}
                       .bind(lease.service())
                       .add(", ")
                       .bind(source)
                       .add(", ")
                       .bind(mark.last_key ? std::optional{pg::format_array(*mark.last_key)} : std::nullopt)
                       .add("::text[], ")
                       .number(mark.rows)
                       .add(", ")
                       .bind(mark.finished ? "t" : "f")
                       .add("::boolean) ON CONFLICT (service, source_table) DO UPDATE SET last_key = excluded.last_key,"
                            " rows_copied = excluded.rows_copied, finished = excluded.finished"));
}

void Store::record_override(Lease const& lease, std::string const& verb, std::string const& condition,
                            std::string const& reason, std::string const& observed) {
    session_.query(Sql{"INSERT INTO pgcarve.gate_override (service, verb, condition, reason, observed, operator) VALUES ("}
                       .bind(lease.service())
                       .add(", ")
                       .bind(verb)
                       .add(", ")
                       .bind(condition)
                       .add(", ")
                       .bind(reason)
                       .add(", ")
                       .bind(observed)
                       .add(", ")
                       .bind(lease.operator_name())
                       .add(")"));
}

std::vector<Store::Override> Store::overrides(std::string const& service) {
    std::vector<Override> all;
    for (auto const row : session_.query(
             Sql{"SELECT verb, condition, reason, at::text AS at, operator FROM pgcarve.gate_override WHERE service = "}
                 .bind(service)
                 .add(" ORDER BY id")))
        all.push_back({row.text("verb"), row.text("condition"), row.text("reason"), row.text("at"), row.text("operator")});
    return all;
}

// ---- verification history

long long Store::record(model::Verification const& v, bool whole, std::string const& authority,
                        std::string const& signature) {
    auto tables = json::array();
    for (auto const& t : v.tables)
        tables.push_back({{"source", t.source.display()},
                          {"target", t.target.display()},
                          {"verdict", model::text(t.verdict)},
                          {"why", t.why},
                          {"rows", t.rows},
                          {"missing", t.missing},
                          {"extra", t.extra},
                          {"different", t.different}});
    pg::Transaction transaction{session_};
    auto const id = session_
                        .one(Sql{"INSERT INTO pgcarve.verification (service, mode, whole, verdict, authority, signature, proven_lsn,"
                                 " proven_at, seconds, row_count, differences, tables, horizon, cluster) VALUES ("}
                                 .bind(v.service)
                                 .add(", ")
                                 .bind(v.mode)
                                 .add(", ")
                                 .bind(whole ? "t" : "f")
                                 .add("::boolean, ")
                                 .bind(model::text(v.verdict))
                                 .add(", ")
                                 .bind(authority)
                                 .add(", ")
                                 .bind(signature)
                                 .add(", ")
                                 .bind(v.proven_lsn.value == 0 ? std::nullopt : std::optional{v.proven_lsn.text()})
                                 .add("::pg_lsn, ")
                                 .bind(v.proven_time.empty() ? std::nullopt : std::optional{v.proven_time})
                                 .add("::timestamptz, ")
                                 .bind(fmt::format("{}", v.seconds))
                                 .add("::float8, ")
                                 .number(v.rows())
                                 .add(", ")
                                 .number(v.differences())
                                 .add(", ")
                                 .bind(tables.dump())
                                 .add("::jsonb, ")
                                 .bind(v.horizon ? std::optional{std::to_string(*v.horizon)} : std::nullopt)
                                 .add("::xid8, (SELECT system_identifier FROM pg_control_system())) RETURNING id"))
                        .integer("id");
    for (auto const& table : v.tables) {
        for (auto const& finding : table.samples) {
            auto key = json::object();
            for (auto const& [column, value] : finding.key)
                key[column] = value ? json(*value) : json(nullptr);
            session_.query(Sql{"INSERT INTO pgcarve.finding (verification, service, source_table, kind, key, columns) VALUES ("}
                               .number(id)
                               .add(", ")
                               .bind(v.service)
                               .add(", ")
                               .bind(table.source.quoted())
                               .add(", ")
                               .bind(model::text(finding.kind))
                               .add(", ")
                               .bind(key.dump())
                               .add("::jsonb, ")
                               .bind(pg::format_array(finding.columns))
                               .add("::text[])"));
        }
    }
    if (whole && v.verdict == model::Verdict::clean)
        session_.query(Sql{"UPDATE pgcarve.finding SET resolved_at = clock_timestamp(), resolved_by = "}
                           .bind(fmt::format("verification {}", id))
                           .add(" WHERE resolved_at IS NULL AND service = ")
                           .bind(v.service));
    transaction.commit();
    return id;
}

void Store::resolve_findings(std::string const& service, std::string const& source_table, std::string const& by) {
    session_.query(Sql{"UPDATE pgcarve.finding SET resolved_at = clock_timestamp(), resolved_by = "}
                       .bind(by)
                       .add(" WHERE resolved_at IS NULL AND service = ")
                       .bind(service)
                       .add(" AND source_table = ")
                       .bind(source_table));
}

Store::History Store::history(std::string const& service, std::string const& signature) {
    History history;
    auto const facts = session_.maybe_one(
        Sql{"SELECT extract(epoch FROM clock_timestamp() - s.window_started_at)::float8 AS window_seconds,"
            " extract(epoch FROM clock_timestamp() - greatest(s.window_started_at,"
            " (SELECT max(finished_at) FROM pgcarve.verification v WHERE v.service = s.name AND verdict = 'different'),"
            " (SELECT max(coalesce(equal_again_at, committed_at)) FROM pgcarve.audit_difference d WHERE d.service = s.name"
            "  AND (equal_again_at IS NULL OR equal_again_at > committed_at + interval '10 seconds'))))::float8"
            " AS agreed_seconds,"
            " (SELECT count(*) FROM pgcarve.finding f WHERE f.service = s.name AND resolved_at IS NULL) AS unresolved,"
            // Clean runs since the last one that was not clean, within this window.
            " (SELECT count(*) FROM pgcarve.verification v WHERE v.service = s.name AND v.whole AND v.verdict = 'clean'"
            "  AND v.finished_at >= s.window_started_at AND v.id > coalesce((SELECT max(id) FROM pgcarve.verification w"
            "  WHERE w.service = s.name AND w.verdict <> 'clean'), 0)) AS clean_runs"
            " FROM pgcarve.service s WHERE s.name = "}
            .bind(service));
    if (!facts)
        return history;
    if (facts->maybe("window_seconds")) {
        history.window_elapsed = millis(facts->real("window_seconds"));
        history.agreed_for = millis(facts->real("agreed_seconds"));
    }
    history.unresolved = static_cast<int>(facts->integer("unresolved"));
    history.clean_runs = static_cast<int>(facts->integer("clean_runs"));
    auto const last = session_.maybe_one(
        Sql{"SELECT id, verdict, mode, signature, row_count, differences, finished_at::text AS finished_at,"
            " extract(epoch FROM clock_timestamp() - finished_at)::float8 AS age FROM pgcarve.verification"
            " WHERE whole AND service = "}
            .bind(service)
            .add(" AND finished_at >= (SELECT coalesce(window_started_at, '-infinity') FROM pgcarve.service WHERE name = ")
            .bind(service)
            .add(") ORDER BY id DESC LIMIT 1"));
    if (last) {
        history.last = cutover::LastVerification{last->text("verdict"), millis(last->real("age")), last->text("mode") == "full",
                                                 last->text("signature") == signature};
        history.last_at = last->text("finished_at");
        history.last_id = last->integer("id");
        history.last_rows = last->integer("row_count");
        history.last_differences = last->integer("differences");
    }
    return history;
}

} // namespace pgcarve::control
