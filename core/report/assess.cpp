#include "report/assess.hpp"

#include <map>

#include <fmt/format.h>

#include "report/document.hpp"
#include "report/table.hpp"

namespace pgcarve::report {

namespace {

std::string owner_text(std::string const& owner) {
    return owner.empty() ? "nobody" : owner;
}

Json owner_json(std::string const& owner) {
    return owner.empty() ? Json(nullptr) : Json(owner);
}

Json name_json(sql::QName const& name) {
    Json out;
    out["schema"] = name.schema;
    out["name"] = name.name;
    return out;
}

Json table_json(model::Table const& table, std::map<sql::QName, std::string> const& owners) {
    Json out = name_json(table.name);
    auto const owner = owners.find(table.name);
    out["owner"] = owner == owners.end() ? Json(nullptr) : owner_json(owner->second);
    out["kind"] = std::string(1, table.kind);
    out["rows"] = static_cast<std::int64_t>(table.estimated_rows);
    out["bytes"] = table.bytes;
    out["partition_key"] = or_null(table.partition_key);
    out["partition_of"] = table.partition_of ? name_json(*table.partition_of) : Json(nullptr);
    out["partition_bound"] = or_null(table.partition_bound);
    out["columns"] = Json::array();
    for (auto const& column : table.columns) {
        Json one;
        one["name"] = column.name;
        one["type"] = column.type;
        one["not_null"] = column.not_null;
        one["default"] = or_null(column.default_expr);
        out["columns"].push_back(std::move(one));
    }
    out["constraints"] = Json::array();
    for (auto const& constraint : table.constraints) {
        Json one;
        one["name"] = constraint.name;
        one["type"] = std::string(1, constraint.type);
        one["definition"] = constraint.definition;
        out["constraints"].push_back(std::move(one));
    }
    out["indexes"] = Json::array();
    for (auto const& index : table.indexes)
        out["indexes"].push_back(index.definition);
    return out;
}

} // namespace

std::string text(model::Assessment const& a, Style style) {
    struct Sum {
        int tables = 0;
        double rows = 0;
        std::int64_t bytes = 0;
        int crossings = 0;
    };
    std::map<std::string, Sum> sums;
    for (auto const& table : a.tables) {
        auto& sum = sums[table.owner];
        ++sum.tables;
        sum.rows += table.rows;
        sum.bytes += table.bytes;
    }
    for (auto const& crossing : a.crossings) {
        ++sums[crossing.owner_from].crossings;
        ++sums[crossing.owner_to].crossings;
    }
    auto out = fmt::format("{}: {}, {}\n\n", printable(a.catalog.database), plural(static_cast<std::int64_t>(a.tables.size()), "table"),
                           plural(static_cast<std::int64_t>(a.crossings.size()), "crossing"));
    Table owners{{"OWNER", "TABLES", "ROWS (ABOUT)", "SIZE", "CROSSINGS"}};
    for (auto const& [owner, sum] : sums)
        owners.row({{owner_text(owner), Tone::strong}, number(sum.tables), number(static_cast<std::int64_t>(sum.rows)), bytes(sum.bytes), number(sum.crossings)});
    out += owners.text(style);
    if (!a.crossings.empty()) {
        Table crossings{{"KIND", "FROM", "OF", "TO", "OF"}};
        for (auto const& c : a.crossings)
            crossings.row({c.certain ? c.kind : c.kind + " ?", c.from, owner_text(c.owner_from), c.to, owner_text(c.owner_to)});
        out += "\n" + crossings.text(style);
    }
    for (auto const& proposal : a.proposals)
        out += fmt::format("\n{} hangs on {} most ({:.0f} %): add it to [service.{}] tables?", proposal.table.display(), printable(proposal.service),
                           100 * proposal.confidence, printable(proposal.service));
    return out + (a.proposals.empty() ? "" : "\n");
}

std::string json(model::Assessment const& a) {
    auto out = document();
    out["database"] = a.catalog.database;
    out["server_version"] = a.catalog.server_version;
    out["crossings"] = Json::array();
    for (auto const& c : a.crossings) {
        Json one;
        one["kind"] = c.kind;
        one["from"] = c.from;
        one["to"] = c.to;
        one["owner_from"] = owner_json(c.owner_from);
        one["owner_to"] = owner_json(c.owner_to);
        one["certain"] = c.certain;
        one["detail"] = c.detail;
        out["crossings"].push_back(std::move(one));
    }
    out["proposals"] = Json::array();
    for (auto const& p : a.proposals) {
        Json one;
        one["table"] = p.table.display();
        one["service"] = p.service;
        one["confidence"] = rounded(p.confidence);
        out["proposals"].push_back(std::move(one));
    }
    std::map<sql::QName, std::string> owners;
    for (auto const& table : a.tables)
        owners.emplace(table.name, table.owner);
    out["tables"] = Json::array();
    for (auto const& table : a.catalog.tables)
        out["tables"].push_back(table_json(table, owners));
    return dump(out);
}

} // namespace pgcarve::report
