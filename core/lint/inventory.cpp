#include "lint/inventory.hpp"

#include <nlohmann/json.hpp>

#include "base/error.hpp"

namespace pgcarve::lint {

namespace {

using Json = nlohmann::json;

[[noreturn]] void bad(std::string const& what) {
    throw base::Error{base::Exit::usage, "inventory", "the inventory " + what, "write it anew: pgcarve assess --save inventory.json"};
}

Json const& at(Json const& json, char const* key) {
    if (!json.is_object() || !json.contains(key))
        bad(std::string{"has no "} + key + " where one belongs");
    return json[key];
}

std::string text_at(Json const& json, char const* key) {
    auto const& value = at(json, key);
    if (!value.is_string())
        bad(std::string{"has a "} + key + " that is no text");
    return value.get<std::string>();
}

Json const& list_at(Json const& json, char const* key) {
    auto const& value = at(json, key);
    if (!value.is_array())
        bad(std::string{"has "} + key + " that are no list");
    return value;
}

std::optional<std::string> maybe_at(Json const& json, char const* key) {
    return at(json, key).is_null() ? std::nullopt : std::optional{text_at(json, key)};
}

sql::QName name_at(Json const& json) {
    return {text_at(json, "schema"), text_at(json, "name")};
}

model::Table table_of(Json const& json) {
    model::Table table;
    table.name = name_at(json);
    auto const kind = text_at(json, "kind");
    table.kind = kind.empty() ? 'r' : kind[0];
    table.partition_key = maybe_at(json, "partition_key");
    table.partition_bound = maybe_at(json, "partition_bound");
    if (!at(json, "partition_of").is_null())
        table.partition_of = name_at(at(json, "partition_of"));
    for (auto const& one : list_at(json, "columns")) {
        model::Column column;
        column.name = text_at(one, "name");
        column.type = text_at(one, "type");
        if (!at(one, "not_null").is_boolean())
            bad("has a not_null that is neither true nor false");
        column.not_null = one["not_null"].get<bool>();
        table.columns.push_back(std::move(column));
    }
    for (auto const& one : list_at(json, "constraints")) {
        model::Constraint constraint;
        constraint.name = text_at(one, "name");
        auto const type = text_at(one, "type");
        constraint.type = type.empty() ? char{0} : type[0];
        constraint.definition = text_at(one, "definition");
        table.constraints.push_back(std::move(constraint));
    }
    for (auto const& one : list_at(json, "indexes")) {
        if (!one.is_string())
            bad("has an index that is no text");
        model::Index index;
        index.definition = one.get<std::string>();
        table.indexes.push_back(std::move(index));
    }
    return table;
}

} // namespace

model::Catalog parse_inventory(std::string const& text) {
    auto const json = Json::parse(text, nullptr, false);
    if (!json.is_object() || !json.contains("schema_version") || json["schema_version"] != 1)
        bad("is not what `pgcarve assess --save` writes");
    model::Catalog catalog;
    if (!at(json, "server_version").is_number_integer())
        bad("has no server_version");
    catalog.server_version = json["server_version"].get<int>();
    for (auto const& table : list_at(json, "tables"))
        catalog.tables.push_back(table_of(table));
    return catalog;
}

} // namespace pgcarve::lint
