#include "run/facts.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "ddl/signature.hpp"
#include "plan/machinery.hpp"

namespace pgcarve::run {

using base::Millis;
using sql::Sql;

namespace {

std::vector<std::string> both_sides(model::Setup const& setup) {
    std::vector<std::string> names;
    for (auto const& pair : setup.tables) {
        names.push_back(pair.source.quoted());
        names.push_back(pair.target.quoted());
    }
    return names;
}

Sql oids_of(std::vector<std::string> const& names) {
    auto sql = Sql{"SELECT to_regclass(t)::oid FROM unnest("};
    sql.literal(pg::format_array(names)).add("::text[]) AS t");
    return sql;
}

// Statements of a switch take about this long each, metadata only; measured on two slow cores.
constexpr double milliseconds_per_table = 3.0;
constexpr double milliseconds_at_least = 5.0;
constexpr double longest_lock_wait_ms = 400.0; // run/authority/switch.cpp never lets writers queue longer in one try

} // namespace

std::optional<OldestWriter> oldest_writer(pg::Session& session, std::vector<std::string> const& quoted_tables) {
    auto const rows = session.query(
        Sql{"SELECT DISTINCT coalesce('pid ' || l.pid, 'prepared transaction ' || quote_literal(p.gid)) AS who,"
            " coalesce(a.usename, p.owner, '?') AS usename, coalesce(a.application_name, '') AS application,"
            " extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, p.prepared))::float8 AS seconds"
            " FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid"
            // A prepared transaction keeps its session's virtual id until the server restarts; the lock on its own id tells it.
            " LEFT JOIN (pg_prepared_xacts p JOIN pg_locks x ON x.locktype = 'transactionid' AND x.pid IS NULL"
            "  AND x.transactionid = p.transaction) ON l.pid IS NULL AND x.virtualtransaction = l.virtualtransaction"
            " WHERE l.locktype = 'relation' AND l.granted AND l.mode IN ('RowExclusiveLock', 'ShareLock',"
            " 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')"
            " AND l.pid IS DISTINCT FROM pg_backend_pid()"
            " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            " AND l.relation IN ("}
            .add(oids_of(quoted_tables))
            // A transaction that ended meanwhile has no start any more, and its session a state; one that we may not
            // look at has neither, nor a type.
            .add(") AND (a.xact_start IS NOT NULL OR p.gid IS NOT NULL OR (a.pid IS NOT NULL AND a.state IS NULL"
                 " AND coalesce(a.backend_type, 'client backend') = 'client backend')) ORDER BY 4 DESC NULLS FIRST"));
    OldestWriter oldest;
    for (auto const row : rows) {
        if (!row.maybe("seconds"))
            return std::nullopt;
        auto const age = Millis{static_cast<long long>(row.real("seconds") * 1000)};
        if (oldest.description.empty() || age > oldest.age)
            oldest = {fmt::format("{} ({}{}{}) has been open for {}", row.text("who"), row.text("usename"),
                                  row.text("application").empty() ? "" : ", ", row.text("application"),
                                  base::describe_duration(age)),
                      age};
    }
    return oldest;
}

std::vector<std::string> role_lacks(pg::Session& session, std::string const& role, model::Setup const& setup) {
    if (session.query(Sql{"SELECT FROM pg_roles WHERE rolname = "}.bind(role)).empty())
        return {fmt::format("role {} does not exist", sql::display_ident(role))};
    std::vector<std::string> lacks;
    auto const may_use = session.maybe_one(
        Sql{"SELECT has_schema_privilege("}.bind(role).add("::name, oid, 'USAGE') AS may FROM pg_namespace WHERE nspname = ").bind(setup.schema));
    if (!may_use || !may_use->boolean("may"))
        lacks.push_back(fmt::format("{} lacks USAGE on schema {}", role, sql::display_ident(setup.schema)));
    std::vector<std::string> targets;
    for (auto const& pair : setup.tables) {
        if (!pair.is_partition)
            targets.push_back(pair.target.quoted());
    }
    for (auto const row : session.query(Sql{"SELECT t, p FROM unnest("}
                                            .bind(pg::format_array(targets))
                                            .add("::text[]) AS t, unnest('{SELECT,INSERT,UPDATE,DELETE}'::text[]) AS p"
                                                 " WHERE to_regclass(t) IS NOT NULL AND NOT has_table_privilege(")
                                            .bind(role)
                                            .add("::name, to_regclass(t)::oid, p) ORDER BY t, p")))
        lacks.push_back(fmt::format("{} lacks {} on {}", role, row.text("p"), row.text("t")));
    return lacks;
}

std::vector<std::string> unreadable_sequences(pg::Session& session, model::Setup const& setup) {
    std::vector<std::string> names;
    for (auto const row : session.query(
             Sql{"SELECT DISTINCT s.oid::regclass::text AS name FROM pg_class s JOIN pg_depend d ON d.classid = 'pg_class'::regclass"
                 " AND d.objid = s.oid AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')"
                 " WHERE CASE WHEN s.relkind = 'S' THEN NOT has_sequence_privilege(s.oid, 'SELECT') ELSE false END AND d.refobjid IN ("}
                 .add(oids_of(both_sides(setup)))
                 .add(") ORDER BY 1")))
        names.push_back(row.text("name"));
    return names;
}

std::vector<mirrorgen::Installed> read_installed(pg::Session& session, mirrorgen::Machinery const& machinery) {
    std::vector<mirrorgen::Installed> installed;
    for (auto const row : session.query(mirrorgen::installed_query(machinery))) {
        mirrorgen::Installed one;
        one.table = {row.text("table_schema"), row.text("table_name")};
        one.name = row.text("name");
        one.enabled = row.letter("enabled");
        one.type = static_cast<int>(row.integer("type"));
        one.constraint = row.boolean("constraint");
        one.has_when = row.boolean("has_when");
        one.old_table = row.maybe("old_table").value_or("");
        one.new_table = row.maybe("new_table").value_or("");
        one.function = {{row.text("function_schema"), row.text("function_name")}, row.array("settings"), row.text("body")};
        one.function.security_definer = row.boolean("security_definer");
        one.of_columns = row.array("of_columns");
        installed.push_back(std::move(one));
    }
    return installed;
}

namespace {

// Switching triggers is enough when they are all as they should be but for that.
std::vector<std::string> machinery_mend(mirrorgen::Machinery const& machinery, bool enabled, std::vector<mirrorgen::Installed> installed) {
    for (auto& one : installed)
        one.enabled = 'D';
    if (mirrorgen::drift(machinery, false, installed).empty())
        return enabled ? mirrorgen::enable(machinery) : mirrorgen::disable(machinery);
    return mirrorgen::install(machinery, enabled);
}

} // namespace

std::vector<MachineryFault> machinery_faults(pg::Session& session, std::string const& service, model::Setup const& setup,
                                             cutover::Authority authority, model::Catalog const& catalog) {
    std::vector<MachineryFault> found;
    if (setup.strategy == model::Strategy::move)
        return found;
    auto const all = plan::machinery(service, setup, catalog);
    for (auto const& state : plan::expected(all, setup, authority)) {
        auto const installed = read_installed(session, *state.machinery);
        auto differences = mirrorgen::drift(*state.machinery, state.enabled, installed);
        if (!differences.empty())
            found.push_back({std::move(differences), machinery_mend(*state.machinery, state.enabled, installed)});
    }
    return found;
}

std::vector<std::string> machinery_drift(pg::Session& session, std::string const& service, model::Setup const& setup,
                                         cutover::Authority authority, model::Catalog const& catalog) {
    std::vector<std::string> found;
    for (auto const& fault : machinery_faults(session, service, setup, authority, catalog))
        found.insert(found.end(), fault.differences.begin(), fault.differences.end());
    return found;
}

std::vector<std::string> drift(model::Setup const& setup, model::Catalog const& catalog, cutover::Authority authority) {
    std::vector<std::string> found;
    if (setup.strategy == model::Strategy::move)
        return found;
    for (auto const& pair : setup.tables) {
        auto const* const source = catalog.find(pair.source);
        auto const* const target = catalog.find(pair.target);
        if (source == nullptr || target == nullptr) {
            found.push_back(fmt::format("table {} is not there any more", (source == nullptr ? pair.source : pair.target).display()));
            continue;
        }
        if (pair.is_partition)
            continue;
        bool const shared = authority == cutover::Authority::shared;
        auto const* const leads = shared ? source : target;
        auto const* const follows = shared ? target : source;
        auto differences = ddl::describe_difference(*follows, *leads, follows->name);
        auto const partitions = ddl::describe_partitions(catalog, *source, *target);
        differences.insert(differences.end(), partitions.begin(), partitions.end());
        for (auto const& difference : differences)
            found.push_back(fmt::format("{}: {}{}{}", leads->name.display(), difference.text, difference.mend.empty() ? "" : "; mend: ",
                                        difference.mend));
    }
    return found;
}

std::string service_signature(model::Setup const& setup, model::Catalog const& catalog) {
    std::string all;
    for (auto const& pair : setup.tables) {
        for (auto const& name : {pair.source, pair.target}) {
            auto const* const table = pair.is_partition ? nullptr : catalog.find(name);
            if (table != nullptr)
                all += ddl::table_signature(catalog, *table);
        }
    }
    return all;
}

std::string database_signature(model::Setup const& setup, model::Catalog const& shared, model::Catalog const& other) {
    std::string all;
    for (auto const& pair : setup.database ? setup.database->tables : std::vector<model::TablePair>{}) {
        if (pair.is_partition)
            continue;
        if (auto const* const table = shared.find(pair.source))
            all += ddl::table_signature(shared, *table);
        if (auto const* const table = other.find(pair.target))
            all += ddl::table_signature(other, *table);
    }
    return all;
}

cutover::GateFacts collect_facts(pg::Session& session, control::ServiceState const& state,
                                 model::Catalog const& catalog, bool rollback) {
    cutover::GateFacts facts;
    facts.service = state.name;
    if (!state.setup)
        return facts;
    auto const& setup = *state.setup;
    control::Store store{session};
    auto const history = store.history(state.name, service_signature(setup, catalog));
    facts.window_elapsed = history.agreed_for;
    facts.clean_runs = history.clean_runs;
    facts.verification_known = true;
    facts.last_verification = history.last;
    facts.unresolved_findings = history.unresolved;
    facts.drift = drift(setup, catalog, state.authority);
    facts.unreadable_sequences = unreadable_sequences(session, setup);
    facts.role_lacks = setup.role && !rollback ? role_lacks(session, *setup.role, setup) : std::vector<std::string>{};
    facts.reverse_lacks = facts.drift->empty() ? machinery_drift(session, state.name, setup, state.authority, catalog)
                                                 : std::vector<std::string>{"the tables have changed under the mirror"};
    if (auto const writer = oldest_writer(session, both_sides(setup))) {
        facts.oldest_transaction = writer->description;
        facts.oldest_transaction_age = writer->age;
        auto const roots = std::ranges::count_if(setup.tables, [](auto const& pair) { return !pair.is_partition; });
        auto const wait = std::min(static_cast<double>(writer->age.count()), longest_lock_wait_ms);
        facts.predicted_write_block =
            Millis{static_cast<long long>(milliseconds_at_least + milliseconds_per_table * static_cast<double>(roots) + wait)};
    }
    return facts;
}

} // namespace pgcarve::run
