#include "run/stream/loose_places.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "run/proof/verification.hpp"
#include "run/stream/route.hpp"
#include "sql/builder.hpp"

namespace pgcarve::run {

using base::Error;
using base::Exit;
using cutover::Authority;
using model::TablePair;
using sql::Sql;

namespace {

std::map<std::string, std::string> column_types(pg::Session& session, sql::QName const& table) {
    std::map<std::string, std::string> types;
    Sql sql{"SELECT attname::text AS name, format_type(atttypid, NULL) AS type FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped AND attrelid = to_regclass("};
    for (auto const row : session.query(sql.bind(table.quoted()).add(")")))
        types.emplace(row.text("name"), row.text("type"));
    return types;
}

} // namespace

void Places::read(std::vector<control::ServiceState> states) {
    states_ = std::move(states);
    types_.clear();
}

void Places::forget() {
    sessions_.clear();
    types_.clear();
}

pg::Session& Places::own(std::string const& service) {
    auto& session = sessions_[service];
    if (!session || !session->alive())
        session = std::make_unique<pg::Session>(other_database(context_, service, "loose keys"));
    return *session;
}

Places::Place Places::of(sql::QName const& table, pg::Session& shared) {
    for (auto const& state : states_) {
        if (!state.setup)
            continue;
        auto const names = current_names(state);
        auto const pair = std::ranges::find_if(names.tables, [&](TablePair const& p) { return p.source == table || p.target == table; });
        bool const two = pair != names.tables.end();
        if (state.authority == Authority::database && state.setup->database) {
            auto const& streamed = state.setup->database->tables;
            auto const at = std::ranges::find_if(streamed, [&](TablePair const& p) {
                return p.source == table || (two && (p.source == pair->source || p.source == pair->target));
            });
            if (at != streamed.end())
                return {own(state.name), at->target};
        } else if (two && state.phase != cutover::Phase::planned) {
            bool const moved = state.authority == Authority::schema;
            return {shared, moved ? pair->target : pair->source};
        }
    }
    return {shared, table};
}

plan::LooseTypes Places::types(plan::LooseKey const& key, Place const& parent, Place const& child) {
    auto const at = types_.find(key.text());
    if (at != types_.end())
        return at->second;
    auto const there = column_types(parent.session, parent.table);
    auto const here = column_types(child.session, child.table);
    plan::LooseTypes types;
    auto const take = [](std::map<std::string, std::string> const& from, std::string const& column, sql::QName const& table) {
        auto const found = from.find(column);
        if (found == from.end())
            throw Error{Exit::needs_decision, "table-gone", fmt::format("{}.{} is not there any more", table.display(), sql::display_ident(column)),
                        "it belongs to a foreign key that pgcarve keeps: make it again, or rename it back"};
        return found->second;
    };
    for (auto const& column : key.key.referenced)
        types.referenced.push_back(take(there, column, parent.table));
    for (auto const& column : key.key.columns)
        types.columns.push_back(take(here, column, child.table));
    // The parent's own type may not exist where the child is.
    for (std::size_t i = 0; i < types.referenced.size(); ++i) {
        bool const known = child.session.one(Sql{"SELECT to_regtype("}.bind(types.referenced[i]).add(") IS NOT NULL AS known")).boolean("known");
        types.compared.push_back(known ? types.referenced[i] : types.columns[i]);
    }
    return types_.emplace(key.text(), std::move(types)).first->second;
}

} // namespace pgcarve::run
