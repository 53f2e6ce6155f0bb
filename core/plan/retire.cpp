#include "plan/retire.hpp"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "base/error.hpp"
#include "ddl/move.hpp"
#include "ddl/text.hpp"
#include "sql/builder.hpp"

namespace pgcarve::plan {

using model::Constraint;
using model::Notice;
using model::Setup;
using model::Step;
using model::TablePair;
using sql::QName;
using sql::Sql;

namespace {

TablePair const* pair_of(Setup const& setup, QName const& source) {
    auto const at = std::ranges::find(setup.tables, source, &TablePair::source);
    return at == setup.tables.end() ? nullptr : &*at;
}

bool inside(Setup const& setup, QName const& name) {
    return std::ranges::any_of(setup.tables, [&](TablePair const& p) { return p.source == name || p.target == name; });
}

struct IncomingKey {
    model::Table const* child;
    Constraint const* key;
    TablePair const* pair;
};

std::vector<IncomingKey> incoming_keys(Setup const& setup, model::Catalog const& catalog) {
    std::vector<IncomingKey> keys;
    for (auto const& table : catalog.tables) {
        if (inside(setup, table.name))
            continue;
        for (auto const& constraint : table.constraints) {
            auto const* const pair = constraint.type == 'f' ? pair_of(setup, constraint.referenced) : nullptr;
            if (pair != nullptr && !constraint.inherited)
                keys.push_back({&table, &constraint, pair});
        }
    }
    return keys;
}

std::string moved_key_name(Constraint const& key) { return sql::bounded_name(key.name, "_pgcarve"); }

std::string key_definition(IncomingKey const& incoming, model::Catalog const& catalog) {
    auto const definition = ddl::foreign_key(*incoming.key, catalog.find(incoming.pair->source)->sql_name, incoming.pair->target);
    if (!definition)
        throw base::Error{base::Exit::needs_decision, "cannot-move-key",
                          fmt::format("foreign key {} of {} has a definition pgcarve does not understand", incoming.key->name,
                                      incoming.child->name.display()),
                          "move it by hand to the new table, then run the same command again"}
            .with("definition: " + incoming.key->definition);
    return *definition;
}

bool name_byte(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$' || c == '"' ||
           (static_cast<unsigned char>(c) & 0x80U) != 0;
}

// Replaces `from` where it stands as a whole name; a preceding dot means that it is part of a longer one.
std::string replace_name(std::string const& text, std::string const& from, std::string const& to) {
    std::string out;
    std::size_t at = 0;
    for (;;) {
        auto const hit = text.find(from, at);
        if (hit == std::string::npos)
            return out + text.substr(at);
        bool const starts = hit == 0 || !(name_byte(text[hit - 1]) || text[hit - 1] == '.');
        auto const end = hit + from.size();
        bool const ends = end == text.size() || !name_byte(text[end]);
        out += text.substr(at, hit - at) + (starts && ends ? to : from);
        at = end;
    }
}

} // namespace

QName held_name(QName const& source) { return ddl::aside_name(source); }

Dependants dependants(Setup const& setup, model::Catalog const& catalog) {
    Dependants found;
    std::set<std::string> told;
    for (auto const& d : catalog.dependencies) {
        if (!d.to || pair_of(setup, *d.to) == nullptr || (d.from && inside(setup, *d.from)))
            continue;
        auto const refuse = [&](std::string text, std::string hint) {
            if (told.insert(d.kind + d.name).second)
                found.notices.push_back({true, d.name, std::move(text), std::move(hint)});
        };
        if (d.kind == "view" && d.detail.empty()) {
            if (!inside(setup, d.object) && std::ranges::find(found.views, d.object) == found.views.end())
                found.views.push_back(d.object);
        } else if (d.kind == "materialized_view" && d.detail.empty()) {
            if (std::ranges::find(found.materialized_views, d.object) == found.materialized_views.end())
                found.materialized_views.push_back(d.object);
        } else if (d.kind == "function" && d.certain) {
            refuse(fmt::format("function {} is bound to {}", d.name, d.to->display()),
                   fmt::format("recreate it for {}", pair_of(setup, *d.to)->target.display()));
        } else if (d.kind == "function" && told.insert(d.kind + d.name).second) {
            found.notices.push_back({false, d.name,
                                     fmt::format("the text of function {} names {}", d.name, d.to->display()),
                                     fmt::format("let it use {}", pair_of(setup, *d.to)->target.display())});
        } else if (d.kind == "rule" || d.kind == "policy") {
            refuse(fmt::format("{} {} uses {}", d.kind, d.name, d.to->display()),
                   fmt::format("recreate it for {}", pair_of(setup, *d.to)->target.display()));
        } else if (d.kind == "type" && d.detail == "the row type of a table") {
            refuse(fmt::format("a column of {} has the row type of {}", d.from ? d.from->display() : "?", d.to->display()),
                   "give the column another type");
        }
    }
    return found;
}

std::vector<Step> move_incoming_keys(Setup const& setup, model::Catalog const& catalog) {
    std::vector<Step> steps;
    for (auto const& incoming : incoming_keys(setup, catalog)) {
        auto const child = incoming.child->name.quoted();
        auto const name = sql::quote_ident(moved_key_name(*incoming.key));
        auto const what = incoming.child->name.display() + "." + incoming.key->name;
        steps.push_back({"key:" + what,
                         {fmt::format("ALTER TABLE {} ADD CONSTRAINT {} {} NOT VALID", child, name, key_definition(incoming, catalog))},
                         fmt::format("SHARE ROW EXCLUSIVE on {}", incoming.child->name.display()),
                         fmt::format("foreign key {} refers to the new table as well", what),
                         {fmt::format("ALTER TABLE {} DROP CONSTRAINT IF EXISTS {}", child, name)}});
        if (incoming.key->validated)
            steps.push_back({"validate:" + what,
                             {fmt::format("ALTER TABLE {} VALIDATE CONSTRAINT {}", child, name)},
                             fmt::format("SHARE UPDATE EXCLUSIVE on {}", incoming.child->name.display()),
                             fmt::format("foreign key {} holds for every row", what),
                             {}});
    }
    return steps;
}

QName retired_name(Setup const& setup, TablePair const& pair) {
    bool const aside = setup.legacy == model::Legacy::view && !pair.is_partition;
    return aside ? pair.source : held_name(pair.source);
}

std::vector<std::string> retire_statements(Setup const& setup, model::Catalog const& catalog) {
    std::vector<std::string> statements;
    for (auto const& incoming : incoming_keys(setup, catalog)) {
        auto const child = incoming.child->name.quoted();
        statements.push_back(fmt::format("ALTER TABLE {} DROP CONSTRAINT {}", child, sql::quote_ident(incoming.key->name)));
        statements.push_back(fmt::format("ALTER TABLE {} RENAME CONSTRAINT {} TO {}", child,
                                         sql::quote_ident(moved_key_name(*incoming.key)), sql::quote_ident(incoming.key->name)));
    }
    for (auto const& pair : setup.tables) {
        auto const* const source = catalog.find(pair.source);
        auto const* const target = catalog.find(pair.target);
        if (source == nullptr || target == nullptr)
            continue;
        for (auto const& column : source->columns) {
            // An identity column's sequence goes with its table; the new table has its own.
            if (!column.owned_sequence || column.identity != 0)
                continue;
            auto const moved = QName{pair.target.schema, column.owned_sequence->name};
            statements.push_back(fmt::format("ALTER SEQUENCE {} OWNED BY NONE", column.owned_sequence->quoted()));
            if (column.owned_sequence->schema != moved.schema)
                statements.push_back(fmt::format("ALTER SEQUENCE {} SET SCHEMA {}", column.owned_sequence->quoted(),
                                                 sql::quote_ident(moved.schema)));
            statements.push_back(fmt::format("ALTER SEQUENCE {} OWNED BY {}.{}", moved.quoted(), pair.target.quoted(),
                                             sql::quote_ident(column.name)));
        }
    }
    for (auto const& pair : setup.tables) {
        auto const* const source = catalog.find(pair.source);
        auto const held = retired_name(setup, pair);
        if (source != nullptr && held != pair.source)
            statements.push_back(fmt::format("ALTER TABLE {} RENAME TO {}", pair.source.quoted(), sql::quote_ident(held.name)));
    }
    return statements;
}

std::vector<std::string> purge_statements(Setup const& setup, model::Catalog const& catalog) {
    std::string tables;
    for (auto const& pair : setup.tables) {
        auto const held = held_name(pair.source);
        if (!pair.is_partition && catalog.find(held) != nullptr)
            tables += (tables.empty() ? "" : ", ") + held.quoted();
    }
    if (tables.empty())
        return {};
    return {"DROP TABLE " + tables};
}

std::string retarget_view(std::string const& definition, Setup const& setup) {
    auto text = definition;
    for (auto const& pair : setup.tables) {
        auto const held = retired_name(setup, pair);
        text = replace_name(text, held.display(), pair.target.display());
        // Columns are written held_name.column: the new table has the old table's bare name.
        text = replace_name(text, sql::display_ident(held.name), sql::display_ident(pair.target.name));
    }
    return text;
}

} // namespace pgcarve::plan
