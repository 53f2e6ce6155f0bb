#include "lint/sync.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/error.hpp"

namespace pgcarve::lint {

bool Synced::in_key(std::string const& column) const {
    return pair->key.empty() || std::ranges::find(pair->key, column) != pair->key.end();
}

std::string Synced::text() const {
    auto const what = stream() ? "'s stream" : pair->by == model::KeptBy::mirror ? "'s mirror" : "'s dual writes";
    return here().table.display() + " is the " + (source() ? "source" : "target") + " of service " + pair->service + what +
           (source() ? " to " : " from ") + there().table.display();
}

std::vector<Synced> SyncView::find(sql::QName const& table) const {
    std::vector<Synced> found;
    for (auto const& pair : state_.tables) {
        for (auto const side : {Side::source, Side::target}) {
            Synced const synced{&pair, side};
            if (synced.here().database == database_ && synced.here().table == table)
                found.push_back(synced);
        }
    }
    return found;
}

std::vector<Synced> SyncView::all() const {
    std::vector<Synced> found;
    for (auto const& pair : state_.tables) {
        if (pair.source.database == database_)
            found.push_back({&pair, Side::source});
        if (pair.target.database == database_)
            found.push_back({&pair, Side::target});
    }
    return found;
}

std::string afterwards(Synced const& synced) {
    auto const& service = synced.pair->service;
    if (synced.stream())
        return "the stream stops at the first row of the new shape and loses nothing: run pgcarve sync " + service + " again";
    if (synced.pair->by == model::KeptBy::application)
        return "the application's writes of both sides follow, and pgcarve verify " + service + " is clean";
    return "at once pgcarve split " + service + ": it makes the mirror anew, compares the rows and mends those that differ";
}

std::string target_first(Synced const& synced, std::string_view change) {
    auto const& target = synced.pair->target;
    std::string const where = target.database.empty()            ? ""
                              : synced.stream() && synced.source() ? ", in the service's own database and while the sync runs"
                                                                   : ", in the service's own database";
    return "1. ALTER TABLE " + target.table.quoted() + " " + std::string{change} + where + "\n2. this migration, at the source " +
           synced.pair->source.table.display() + "\n3. " + afterwards(synced);
}

namespace {

[[noreturn]] void bad(std::string const& what) {
    throw base::Error{base::Exit::usage, "sync-state", what, "write it anew: pgcarve status --format json > state.json"};
}

std::string string_in(nlohmann::json const& json, char const* key) {
    if (!json.is_object() || !json.contains(key) || !json[key].is_string())
        bad(std::string{"the state file has no "} + key + " where one belongs");
    return json[key].get<std::string>();
}

model::SyncedSide side_in(nlohmann::json const& json, char const* key) {
    if (!json.is_object() || !json.contains(key))
        bad(std::string{"the state file has no "} + key + " where one belongs");
    auto const& side = json[key];
    return {string_in(side, "database"), {string_in(side, "schema"), string_in(side, "name")}};
}

} // namespace

model::SyncState parse_sync_state(std::string const& text) {
    auto const json = nlohmann::json::parse(text, nullptr, false);
    if (!json.is_object() || !json.contains("schema_version") || json["schema_version"] != 1 || !json.contains("services") ||
        !json["services"].is_array())
        bad("the state file is not what `pgcarve status --format json` prints");
    model::SyncState state;
    for (auto const& service : json["services"]) {
        auto const name = string_in(service, "service");
        auto const phase = string_in(service, "phase");
        if (!service.contains("tables") || !service["tables"].is_array())
            bad("the state file says nothing about the tables of service " + name + ": an older pgcarve wrote it");
        for (auto const& table : service["tables"]) {
            model::SyncedTable pair;
            pair.service = name;
            pair.phase = phase;
            pair.source = side_in(table, "source");
            pair.target = side_in(table, "target");
            auto const by = string_in(table, "by");
            if (by != "mirror" && by != "application" && by != "stream")
                bad("the state file says that table " + pair.source.table.display() + " is kept by " + by + ", which is not known");
            pair.by = by == "mirror" ? model::KeptBy::mirror : by == "stream" ? model::KeptBy::stream : model::KeptBy::application;
            if (!table.contains("key") || !table["key"].is_array())
                bad("the state file has no key where one belongs");
            for (auto const& column : table["key"]) {
                if (!column.is_string())
                    bad("the state file has a key that is no list of columns");
                pair.key.push_back(column.get<std::string>());
            }
            state.tables.push_back(std::move(pair));
        }
    }
    return state;
}

} // namespace pgcarve::lint
