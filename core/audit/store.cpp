#include "audit/store.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace pgcarve::audit {

using nlohmann::json;
using sql::Sql;

namespace {

json name_json(sql::QName const& name) { return {name.schema, name.name}; }
sql::QName name_from(json const& value) { return {value.at(0).get<std::string>(), value.at(1).get<std::string>()}; }

json key_json(model::Finding const& finding) {
    auto key = json::object();
    for (auto const& [column, value] : finding.key)
        key[column] = value ? json(*value) : json(nullptr);
    return key;
}

json samples_json(std::vector<model::AuditRow> const& rows) {
    auto all = json::array();
    for (auto const& row : rows) {
        auto key = json::array(); // in the key's order
        for (auto const& [column, value] : row.finding.key)
            key.push_back({column, value ? json(*value) : json(nullptr)});
        all.push_back({{"source", name_json(row.source)},
                       {"target", name_json(row.target)},
                       {"kind", model::text(row.finding.kind)},
                       {"key", key},
                       {"columns", row.finding.columns}});
    }
    return all;
}

model::FindingKind kind_from(std::string const& text) {
    for (auto const kind : {model::FindingKind::missing, model::FindingKind::extra, model::FindingKind::different}) {
        if (text == model::text(kind))
            return kind;
    }
    base::bug("a difference of kind " + text);
}

std::vector<model::AuditRow> samples_from(json const& all) {
    std::vector<model::AuditRow> rows;
    for (auto const& one : all) {
        model::AuditRow row{name_from(one.at("source")), name_from(one.at("target")), {}};
        row.finding.kind = kind_from(one.at("kind").get<std::string>());
        for (auto const& part : one.at("key"))
            row.finding.key.emplace_back(part.at(0).get<std::string>(),
                                         part.at(1).is_null() ? std::nullopt : std::optional{part.at(1).get<std::string>()});
        row.finding.columns = one.at("columns").get<std::vector<std::string>>();
        rows.push_back(std::move(row));
    }
    return rows;
}

std::string dumped(json const& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

Sql difference_query() {
    return Sql{"SELECT id, xid, commit_lsn::text AS lsn, to_char(committed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') AS at, row_count, truncated,"
               " samples::text AS samples FROM pgcarve.audit_difference WHERE service = "};
}

model::AuditDifference difference_of(pg::Row const& row) {
    model::AuditDifference one;
    one.id = row.integer("id");
    one.xid = static_cast<std::uint32_t>(row.integer("xid"));
    one.commit_lsn = *base::Lsn::parse(row.text("lsn"));
    one.committed_at = row.text("at");
    one.rows = row.integer("row_count");
    one.truncated = row.boolean("truncated");
    one.samples = samples_from(json::parse(row.text("samples")));
    return one;
}

} // namespace

std::optional<State> Store::find(std::string const& service) {
    auto const row = session_.maybe_one(
        Sql{"SELECT slot, position::text AS position, state, began_at::text AS began_at, transactions, undecided, stop_wanted, lost_why,"
            " extract(epoch FROM clock_timestamp() - moved_at)::float8 AS age,"
            " (SELECT count(*) FROM pgcarve.audit_difference d WHERE d.service = a.service) AS differences FROM pgcarve.audit a WHERE service = "}
            .bind(service));
    if (!row)
        return std::nullopt;
    State state;
    state.slot = row->text("slot");
    state.position = *base::Lsn::parse(row->text("position"));
    state.state = row->text("state");
    state.began_at = row->text("began_at");
    state.transactions = row->integer("transactions");
    state.differences = row->integer("differences");
    state.undecided = row->integer("undecided");
    state.stop_wanted = row->boolean("stop_wanted");
    state.lost_why = row->maybe("lost_why");
    state.age_seconds = row->real("age");
    return state;
}

void Store::begin(std::string const& service, std::string const& slot, base::Lsn position) {
    session_.query(Sql{"INSERT INTO pgcarve.audit (service, slot, position) VALUES ("}
                       .bind(service)
                       .add(", ")
                       .bind(slot)
                       .add(", ")
                       .bind(position.text())
                       .add("::pg_lsn) ON CONFLICT (service) DO UPDATE SET slot = excluded.slot, position = excluded.position, state = 'running',"
                            " began_at = clock_timestamp(), moved_at = clock_timestamp(), stop_wanted = false, lost_why = NULL"));
}

void Store::set_state(std::string const& service, std::string const& state, std::optional<std::string> const& why) {
    session_.query(Sql{"UPDATE pgcarve.audit SET stop_wanted = false, state = "}
                       .bind(state)
                       .add(", lost_why = ")
                       .bind(why)
                       .add(" WHERE service = ")
                       .bind(service));
}

void Store::record(std::string const& service, std::vector<model::AuditDifference>& differences, std::vector<model::AuditEqual> const& equal,
                   Progress const& progress) {
    pg::Transaction transaction{session_};
    std::vector<model::AuditDifference> fresh;
    for (auto& one : differences) {
        auto const stored = session_.maybe_one(
            Sql{"INSERT INTO pgcarve.audit_difference (service, commit_lsn, xid, committed_at, row_count, truncated, samples) VALUES ("}
                .bind(service)
                .add(", ")
                .bind(one.commit_lsn.text())
                .add("::pg_lsn, ")
                .number(one.xid)
                .add(", ")
                .bind(one.committed_at)
                .add("::timestamptz, ")
                .number(one.rows)
                .add(", ")
                .bind(one.truncated ? "t" : "f")
                .add("::boolean, ")
                .bind(dumped(samples_json(one.samples)))
                .add("::jsonb) ON CONFLICT (service, commit_lsn) DO NOTHING RETURNING id"));
        if (!stored)
            continue;
        one.id = stored->integer("id");
        for (auto const& row : one.samples)
            session_.query(Sql{"INSERT INTO pgcarve.finding (audit, service, source_table, kind, key, columns) VALUES ("}
                               .number(one.id)
                               .add(", ")
                               .bind(service)
                               .add(", ")
                               .bind(row.source.quoted())
                               .add(", ")
                               .bind(model::text(row.finding.kind))
                               .add(", ")
                               .bind(dumped(key_json(row.finding)))
                               .add("::jsonb, ")
                               .bind(pg::format_array(row.finding.columns))
                               .add("::text[])"));
        fresh.push_back(std::move(one));
    }
    differences = std::move(fresh);
    for (auto const& one : equal) {
        auto const by = json{{"xid", one.xid}, {"lsn", one.equal_lsn.text()}, {"seconds", one.seconds}};
        session_.query(Sql{"WITH d AS (UPDATE pgcarve.audit_difference SET equal_again_at = "}
                           .bind(one.equal_at)
                           .add("::timestamptz, equal_again = ")
                           .bind(by.dump())
                           .add("::jsonb WHERE equal_again_at IS NULL AND service = ")
                           .bind(service)
                           .add(" AND commit_lsn = ")
                           .bind(one.commit_lsn.text())
                           .add("::pg_lsn RETURNING id) UPDATE pgcarve.finding f SET resolved_at = clock_timestamp(), resolved_by = ")
                           .bind(fmt::format("audit: equal again at {}", one.equal_lsn.text()))
                           .add(" FROM d WHERE f.audit = d.id AND f.resolved_at IS NULL"));
    }
    session_.query(Sql{"UPDATE pgcarve.audit SET moved_at = clock_timestamp(), position = greatest(position, "}
                       .bind(progress.position.text())
                       .add("::pg_lsn), transactions = transactions + ")
                       .number(progress.transactions)
                       .add(", undecided = undecided + ")
                       .number(progress.undecided)
                       .add(" WHERE service = ")
                       .bind(service));
    transaction.commit();
}

std::vector<model::AuditDifference> Store::untold(std::string const& service) {
    std::vector<model::AuditDifference> all;
    for (auto const row : session_.query(difference_query().bind(service).add(" AND NOT told ORDER BY id")))
        all.push_back(difference_of(row));
    return all;
}

std::vector<model::AuditDifference> Store::open(std::string const& service, int limit) {
    std::vector<model::AuditDifference> all;
    for (auto const row : session_.query(difference_query().bind(service).add(" AND equal_again_at IS NULL ORDER BY id DESC LIMIT ").number(limit)))
        all.push_back(difference_of(row));
    return all;
}

void Store::told(std::vector<model::AuditDifference> const& differences) {
    for (auto const& one : differences)
        session_.query(Sql{"UPDATE pgcarve.audit_difference SET told = true WHERE id = "}.number(one.id));
}

base::Lsn Store::mark() {
    // In a prefix of its own: streams look for marks of theirs.
    return *base::Lsn::parse(session_.one(Sql{"SELECT pg_logical_emit_message(true, 'pgcarve audit', '')::text AS position"}).text("position"));
}

void Store::want_stop(std::string const& service) {
    session_.query(Sql{"UPDATE pgcarve.audit SET stop_wanted = true WHERE service = "}.bind(service));
}

bool Store::stop_wanted(std::string const& service) {
    // Somebody who has taken everything away wants it too.
    auto const row = session_.maybe_one(Sql{"SELECT stop_wanted FROM pgcarve.audit WHERE service = "}.bind(service));
    return !row || row->boolean("stop_wanted");
}

void Store::forget(std::string const& service, bool differences) {
    pg::Transaction transaction{session_};
    session_.query(Sql{"DELETE FROM pgcarve.audit WHERE service = "}.bind(service));
    if (differences)
        session_.query(Sql{"DELETE FROM pgcarve.audit_difference WHERE service = "}.bind(service));
    transaction.commit();
}

} // namespace pgcarve::audit
