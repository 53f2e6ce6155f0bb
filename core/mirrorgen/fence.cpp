#include "mirrorgen/parts.hpp"

namespace pgcarve::mirrorgen {

using sql::Sql;

namespace {

// The mirror's functions are known by their search_path, since a setting of our own in a function needs a superuser;
// pgcarve.mirror is the hatch for sessions (backfill, repair). Also read where the caller's search_path is in force.
constexpr Sql::Fixed not_the_mirror =
    "pg_catalog.current_setting('search_path') OPERATOR(pg_catalog.<>) 'pg_catalog, pgcarve, pg_temp'"
    " AND coalesce(pg_catalog.current_setting('pgcarve.mirror', true), '') OPERATOR(pg_catalog.<>) 'on'";

// RAISE EXCEPTION that says where the table went.
Sql refusal(Spec const& spec, Sql::Fixed indent) {
    bool const forward = spec.direction == Direction::forward;
    auto const message = forward ? "table " + spec.follower.quoted() + " is not in use yet: service " + spec.service + " is fed from " +
                                       spec.authority.quoted()
                                 : "table " + spec.follower.quoted() + " moved to service " + spec.service;
    auto const hint = "write to " + spec.authority.quoted() + (forward ? " until the cutover" : "");
    Sql sql;
    sql.add(indent).add("RAISE EXCEPTION USING ERRCODE = 'PGC01',\n").add(indent).add("    MESSAGE = ").literal(message).add(",\n");
    return sql.add(indent).add("    HINT = ").literal(hint).add(";\n");
}

// A statement of a client is refused at once. One that a foreign key's action makes may be what the authority's own
// action does as well: it is judged at commit, by check(). The condition stands in the function because a trigger's WHEN
// is parsed anew by every statement, which costs the mirror's own writes more than this call.
std::string refuse(Spec const& spec) {
    Sql sql{"\nBEGIN\n    IF "};
    sql.add(not_the_mirror);
    if (spec.acted_on)
        sql.add("\n        AND pg_catalog.pg_trigger_depth() OPERATOR(pg_catalog.=) 1");
    sql.add(" THEN\n");
    sql.add(refusal(spec, "        ")).add("    END IF;\n    IF TG_OP OPERATOR(pg_catalog.=) 'DELETE' THEN\n        RETURN OLD;\n    END IF;\n    RETURN NEW;\nEND\n");
    return sql.text();
}

// Rows of the follower with this record's key that the authority does not have byte for byte, or the reverse.
Sql differs(Spec const& spec, std::string_view record) {
    auto const one_way = [&](sql::QName const& here, sql::QName const& there) {
        Sql sql{"EXISTS (SELECT FROM "};
        sql.add(here).add(" AS t WHERE ").add(same_key(spec.key, "t", record)).add("\n            AND NOT EXISTS (SELECT FROM ");
        sql.add(there).add(" AS x WHERE ").add(same_key(spec.key, "x", record)).add("\n                AND ROW(");
        sql.names(spec.columns, "x").add(")::record OPERATOR(pg_catalog.*=) ROW(").names(spec.columns, "t");
        return sql.add(")::record))");
    };
    Sql sql;
    auto const seen = through_views(spec);
    return sql.add(one_way(seen.follower, seen.authority)).add("\n        OR ").add(one_way(seen.authority, seen.follower));
}

std::string check(Spec const& spec) {
    Sql sql{"\n#variable_conflict use_column\nBEGIN\n"};
    auto const one = [&](Sql::Fixed condition, std::string_view record) {
        sql.add(condition).add("        IF ").add(differs(spec, record)).add(" THEN\n");
        sql.add(refusal(spec, "            ")).add("        END IF;\n    END IF;\n");
    };
    one("    IF TG_OP <> 'INSERT' THEN\n", "OLD");
    one("    IF TG_OP <> 'DELETE' THEN\n", "NEW");
    return sql.add("    RETURN NULL;\nEND\n").text();
}

} // namespace

Machinery fence(Spec const& spec) {
    Machinery made;
    made.owners = spec.owners;
    made.views = views_of(spec);
    std::vector<std::string> check_settings{"search_path=pg_catalog, pg_temp", "enable_seqscan=off"};
    if (spec.row_security)
        check_settings.emplace_back("row_security=off");
    auto const refuses = function_name(spec.follower, "fence");
    auto const checks = function_name(spec.follower, "fence_check");
    made.functions.push_back({refuses, {}, refuse(spec), false});
    (spec.acted_on ? made.functions : made.needless_functions).push_back({checks, std::move(check_settings), check(spec)});

    std::vector<sql::QName> partitions;
    for (auto const& partition : spec.follower_partitions)
        partitions.push_back(partition.name);
    constexpr int writes = on_insert | on_update | on_delete;
    auto const truncate = [&](sql::QName const& table) {
        made.triggers.push_back({table, "pgcarve_fence_truncate", before | on_truncate, false, "", "", "", refuses, {}, {}, {}});
    };
    // A row trigger is cloned to partitions, those to come as well; a statement trigger refuses before a row is looked for.
    if (spec.follower_partitioned)
        made.triggers.push_back({spec.follower, "pgcarve_fence_row", on_row | before | writes, false, "", "", "", refuses, partitions, {}, {}});
    else
        made.triggers.push_back({spec.follower, "pgcarve_fence", before | writes, false, "", "", "", refuses, {}, {}, {}});
    truncate(spec.follower);
    for (auto const& partition : partitions)
        truncate(partition);
    (spec.acted_on ? made.triggers : made.needless_triggers)
        .push_back({spec.follower, "pgcarve_fence_check", on_row | writes, true, "", "", std::string{not_the_mirror.text}, checks, partitions, {}, {}});
    return made;
}

} // namespace pgcarve::mirrorgen
