#include "run/crossings.hpp"

#include <fmt/format.h>

#include "mirrorgen/loose.hpp"
#include "run/stream/loose.hpp"
#include "sql/builder.hpp"

namespace pgcarve::run {

using sql::Sql;

namespace {

constexpr base::Millis longest_count{60'000};

} // namespace

std::vector<model::SeveredKey> severed_keys(pg::Session& shared) {
    std::vector<model::SeveredKey> all;
    auto const readable = shared.maybe_one(Sql{"SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') AS yes FROM pg_class AS c"
                                               " JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = 'pgcarve' AND c.relname = 'service'"});
    if (!readable || !readable->boolean("yes"))
        return all;
    for (auto const& state : control::Store{shared}.services()) {
        if (state.setup && state.setup->database)
            all.insert(all.end(), state.setup->database->severed.begin(), state.setup->database->severed.end());
    }
    return all;
}

plan::Severance severance(Context const& context, pg::Session& shared, control::ServiceState const& state, model::Catalog const& catalog) {
    auto const ownership = plan::resolve(context.map, catalog, severed_keys(shared));
    return plan::severance(context.map, context.service(state.name), ownership, *state.setup, catalog);
}

std::vector<model::Step> drop_loose_steps(pg::Session& shared, std::string const& service) {
    std::vector<model::Step> steps;
    for (auto const row : shared.query(Sql{"SELECT n.nspname AS schema, c.relname AS name, t.tgname AS trigger, p.proname AS function FROM pg_trigger AS t"
                                           " JOIN pg_class AS c ON c.oid = t.tgrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace"
                                           " JOIN pg_proc AS p ON p.oid = t.tgfoid JOIN pg_namespace AS pn ON pn.oid = p.pronamespace"
                                           " WHERE pn.nspname = 'pgcarve' AND t.tgparentid = 0 AND t.tgname = ANY ("}
                                           .bind(pg::format_array(mirrorgen::loose_trigger_names(service)))
                                           .add("::text[]) ORDER BY 1, 2, 3"))) {
        sql::QName const table{row.text("schema"), row.text("name")};
        auto const trigger = row.text("trigger");
        Sql drop{"DROP TRIGGER IF EXISTS "};
        drop.add(sql::Ident{trigger}).add(" ON ").add(table);
        Sql function{"DROP FUNCTION IF EXISTS "};
        function.add(sql::QName{"pgcarve", row.text("function")}).add("() CASCADE"); // partitions' triggers call it too
        steps.push_back({.id = fmt::format("drop-loose:{}.{}", table.display(), trigger), .sql = {drop.text(), function.text()},
                         .lock = "ACCESS EXCLUSIVE on " + table.display(), .why = "no cutover is under way any more", .undo = {}});
    }
    return steps;
}

void crossing_facts(Context const& context, pg::Session& shared, control::ServiceState const& state, model::Catalog const& catalog, cutover::GateFacts& facts) {
    auto const found = severance(context, shared, state, catalog);
    facts.undecided_crossings = found.undecided;
    for (auto const& key : found.kept)
        facts.undecided_crossings->push_back(fmt::format("{} = \"keep\": two databases cannot hold a foreign key", key));
    auto const counts = count_orphans(shared, found.keys, longest_count);
    if (!counts)
        return;
    facts.orphans.emplace();
    for (auto const& one : *counts) {
        if (one.rows > 0)
            facts.orphans->push_back(fmt::format("{} row(s) of {}", one.rows, one.key));
    }
}

} // namespace pgcarve::run
