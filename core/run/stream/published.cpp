#include "run/stream/published.hpp"

#include <fmt/format.h>

#include "plan/publication.hpp"

namespace pgcarve::run {

using base::Error;
using base::Exit;
using sql::Sql;

std::string publication_problem(Route const& route, pg::Session& source) {
    auto const name = sql::display_ident(route.name);
    auto const publication = source.maybe_one(Sql{"SELECT oid::text AS oid, puballtables, array_remove(ARRAY[CASE WHEN NOT pubinsert THEN 'inserts' END,"
                                                  " CASE WHEN NOT pubupdate THEN 'updates' END, CASE WHEN NOT pubdelete THEN 'deletes' END,"
                                                  " CASE WHEN NOT pubtruncate THEN 'truncations' END], NULL) AS without FROM pg_publication WHERE pubname = "}
                                                  .bind(route.name));
    if (!publication)
        return fmt::format("publication {} is gone", name);
    if (auto const without = publication->array("without"); !without.empty())
        return fmt::format("publication {} carries no {} any more", name, without.front());
    if (publication->boolean("puballtables"))
        return {};
    std::vector<std::string> roots;
    for (auto const& pair : route.tables) {
        if (!pair.is_partition)
            roots.push_back(pair.source.quoted());
    }
    bool const parts_of_tables = source.server_version() >= 150'000; // and schemas
    Sql sql{"SELECT w.name FROM unnest("};
    sql.bind(pg::format_array(roots)).add("::text[]) WITH ORDINALITY AS w (name, n) WHERE to_regclass(w.name) IS NOT NULL");
    sql.add(" AND NOT EXISTS (SELECT FROM pg_publication_rel AS r WHERE r.prrelid = to_regclass(w.name) AND r.prpubid = ").bind(publication->text("oid")).add("::oid");
    if (parts_of_tables)
        sql.add(" AND r.prqual IS NULL AND r.prattrs IS NULL) AND NOT EXISTS (SELECT FROM pg_publication_namespace AS s JOIN pg_class AS c ON c.relnamespace = s.pnnspid"
                " WHERE c.oid = to_regclass(w.name) AND s.pnpubid = ")
            .bind(publication->text("oid"))
            .add("::oid");
    auto const missing = source.query(sql.add(") ORDER BY w.n"));
    if (missing.empty())
        return {};
    return fmt::format("publication {} does not carry all of {} any more{}", name, missing[0].text("name"),
                       missing.size() > 1 ? fmt::format(", nor of {} others", missing.size() - 1) : "");
}

std::string publication_mend(Route const& route, pg::Session& source) {
    // A slot cannot be read with a publication that is younger: so the way back, whose slot is not made anew, is lost with it.
    bool const gone = !source.maybe_one(Sql{"SELECT 1 AS x FROM pg_publication WHERE pubname = "}.bind(route.name));
    if (gone && route.back)
        return fmt::format("nothing can be streamed back any more; without the way back, `pgcarve complete {}` ends the hop", route.service);
    auto const first = gone ? plan::create_publication(route.name, route.tables, &model::TablePair::source, source.server_version())
                            : fmt::format("undo what was altered in it (ALTER PUBLICATION {} …)", sql::quote_ident(route.name));
    return fmt::format("{}: what was written since may be missing from the {}, which `pgcarve {}` mends", first, route.back ? "shared database" : "target",
                       route.back ? "repair " + route.service : fmt::format("sync {} --heal", route.service));
}

void require_published(Route const& route, pg::Session& source) {
    if (auto const problem = publication_problem(route, source); !problem.empty())
        throw Error{Exit::needs_decision, "publication-changed", problem, publication_mend(route, source)};
}

} // namespace pgcarve::run
