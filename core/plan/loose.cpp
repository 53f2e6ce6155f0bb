#include "plan/loose.hpp"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "base/error.hpp"

namespace pgcarve::plan {

using model::Catalog;
using model::SeveredKey;
using model::Step;
using sql::QName;
using sql::Sql;

namespace {

// The pair of the stream that a table of the shared database belongs to, under whichever of its two names.
model::TablePair const* streamed(model::Setup const& setup, QName const& table) {
    auto const of_source = [&](QName const& name) {
        auto const at = std::ranges::find(setup.database->tables, name, &model::TablePair::source);
        return at == setup.database->tables.end() ? nullptr : &*at;
    };
    if (auto const* const pair = of_source(table))
        return pair;
    for (auto const& pair : setup.tables) {
        if (pair.source != table && pair.target != table)
            continue;
        for (auto const& name : {pair.source, pair.target}) {
            if (auto const* const found = of_source(name))
                return found;
        }
    }
    return nullptr;
}

// gone (old, k1, k2, …): the keys given, typed.
Sql gone(std::vector<std::string> const& types, std::vector<std::string> const& olds) {
    Sql sql{"WITH gone AS MATERIALIZED (SELECT a AS old"};
    for (std::size_t i = 0; i < types.size(); ++i)
        sql.add(", (a::pg_catalog.text[])[").number(static_cast<long long>(i) + 1).add("]::").server_text(types[i]).add(" AS k").number(static_cast<long long>(i) + 1);
    // An array of texts, each of which is an array: quoted as such.
    std::string list = "{";
    for (auto const& old : olds) {
        list += list.size() > 1 ? ",\"" : "\"";
        for (char const c : old) {
            if (c == '"' || c == '\\')
                list += '\\';
            list += c;
        }
        list += '"';
    }
    list += "}";
    return sql.add(" FROM pg_catalog.unnest(").bind(list).add("::pg_catalog.text[]) AS a)\n");
}

// gone.k1 = c.a AND …
void refers(Sql& sql, LooseKey const& key) {
    for (std::size_t i = 0; i < key.key.columns.size(); ++i) {
        sql.add(i > 0 ? Sql::Fixed{" AND g.k"} : Sql::Fixed{"g.k"}).number(static_cast<long long>(i) + 1).add(" ").server_text(key.key.equals[i]);
        sql.add(" c.").add(sql::Ident{key.key.columns[i]});
    }
}

// Rows by their place: found under the lock, so nobody is waited for, and read again by nobody else meanwhile.
void some(Sql& sql, LooseKey const& key, QName const& child, int limit) {
    sql.add(", chosen AS MATERIALIZED (SELECT c.tableoid, c.ctid FROM ").add(child).add(" AS c JOIN gone AS g ON ");
    refers(sql, key);
    sql.add(" LIMIT ").number(limit).add(" FOR UPDATE OF c SKIP LOCKED)\n");
}
void those(Sql& sql) {
    sql.add(" WHERE c.ctid = ANY (ARRAY(SELECT ctid FROM chosen)) AND (c.tableoid, c.ctid) IN (SELECT tableoid, ctid FROM chosen)");
}

void set_all(Sql& sql, std::vector<std::string> const& columns, Sql::Fixed what) {
    for (std::size_t i = 0; i < columns.size(); ++i)
        sql.add(i > 0 ? Sql::Fixed{", "} : Sql::Fixed{""}).add(sql::Ident{columns[i]}).add(" = ").add(what);
}

mirrorgen::LooseParent parent_of(std::string const& service, model::Table const& table, Catalog const& catalog) {
    mirrorgen::LooseParent parent{.service = service, .table = table.name, .partitioned = table.kind == 'p', .row_security = table.row_security};
    std::set<std::string> owners{table.owner};
    for (auto const* const part : catalog.partitions(table)) {
        parent.partitions.push_back(part->name);
        owners.insert(part->owner);
    }
    parent.owners.assign(owners.begin(), owners.end());
    return parent;
}

template <typename Make>
std::vector<Step> steps_of(std::string const& service, std::vector<LooseKey> const& keys, Catalog const& shared, Catalog const& other, bool gone_is_fine,
                           Make const& make) {
    std::vector<Step> steps;
    for (bool const moves : {false, true}) {
        for (auto const& machinery : loose_parents(service, keys, moves, moves ? other : shared, gone_is_fine)) {
            auto step = make(machinery, machinery.triggers.front().table.display());
            if (moves)
                step.id = "other:" + step.id;
            steps.push_back(std::move(step));
        }
    }
    return steps;
}

} // namespace

SeveredKey severed_key(QName const& child, model::Constraint const& constraint, bool parent_moves) {
    SeveredKey key{child, constraint.name, constraint.definition};
    key.parent = constraint.referenced;
    key.parent_moves = parent_moves;
    key.columns = constraint.columns;
    key.referenced = constraint.referenced_columns;
    key.equals = constraint.equals;
    key.referenced_equals = constraint.referenced_equals;
    key.set_columns = constraint.set_columns;
    key.on_delete = constraint.on_delete;
    key.on_update = constraint.on_update;
    key.match = constraint.match;
    return key;
}

std::string LooseKey::text() const {
    std::string columns;
    for (auto const& column : key.columns)
        columns += (columns.empty() ? "" : ",") + sql::display_ident(column);
    return fmt::format("{}.{} -> {}", key.child.display(), columns, key.parent.display());
}

std::vector<LooseKey> loose_keys(model::Setup const& setup, std::vector<SeveredKey> const& severed) {
    std::vector<LooseKey> keys;
    std::set<std::string> seen;
    for (auto key : severed) {
        if (!key.loose())
            continue;
        auto parent = key.parent;
        if (auto const* const pair = streamed(setup, key.parent_moves ? key.parent : key.child)) {
            (key.parent_moves ? key.parent : key.child) = pair->source;
            if (key.parent_moves)
                parent = pair->target;
        }
        LooseKey loose{std::move(key), parent, {}};
        loose.reference = mirrorgen::loose_reference(parent, loose.key.referenced);
        if (seen.insert(loose.text() + " / " + loose.reference).second)
            keys.push_back(std::move(loose));
    }
    return keys;
}

std::vector<mirrorgen::Machinery> loose_parents(std::string const& service, std::vector<LooseKey> const& keys, bool parent_moves, Catalog const& catalog,
                                                bool gone_is_fine) {
    std::map<QName, std::set<std::vector<std::string>>> parents;
    for (auto const& key : keys) {
        if (key.key.parent_moves == parent_moves)
            parents[key.parent].insert(key.key.referenced);
    }
    std::vector<mirrorgen::Machinery> all;
    for (auto const& [name, referenced] : parents) {
        auto const* const table = catalog.find(name);
        if (table == nullptr && !gone_is_fine)
            throw base::Error{base::Exit::needs_decision, "table-gone", fmt::format("table {} is not there any more", name.display()),
                              "rows refer to it from another database; it was dropped or renamed: rename it back"};
        auto parent = table != nullptr ? parent_of(service, *table, catalog) : mirrorgen::LooseParent{.service = service, .table = name};
        parent.referenced.assign(referenced.begin(), referenced.end());
        all.push_back(mirrorgen::loose_parent(parent));
    }
    return all;
}

std::vector<Step> loose_install_steps(std::string const& service, std::vector<LooseKey> const& keys, Catalog const& shared, Catalog const& other) {
    auto steps = steps_of(service, keys, shared, other, false, [](mirrorgen::Machinery const& machinery, std::string const& table) {
        return Step{.id = "loose:" + table,
                    .sql = mirrorgen::install(machinery, true),
                    .lock = "SHARE ROW EXCLUSIVE on " + table,
                    .why = fmt::format("deletes of {} are noted, for rows that refer to it from the other database", table),
                    .undo = mirrorgen::drop(machinery)};
    });
    if (std::ranges::any_of(keys, [](LooseKey const& key) { return key.key.parent_moves; }))
        steps.insert(steps.begin(), {.id = "other:loose-queue", .sql = mirrorgen::loose_queue(), .lock = "", .why = "where it is noted; it goes with the schema pgcarve, which services may share", .undo = {}});
    return steps;
}

std::vector<Step> loose_remove_steps(std::string const& service, std::vector<LooseKey> const& keys, Catalog const& shared, Catalog const& other) {
    return steps_of(service, keys, shared, other, true, [](mirrorgen::Machinery const& machinery, std::string const& table) {
        return Step{.id = "loose-end:" + table,
                    .sql = mirrorgen::drop(machinery),
                    .lock = "ACCESS EXCLUSIVE on " + table,
                    .why = fmt::format("deletes of {} need not be noted any more", table),
                    .undo = {}};
    });
}

Sql absent_keys(LooseKey const& key, LooseTypes const& types, QName const& parent, std::vector<std::string> const& olds) {
    auto sql = gone(types.referenced, olds);
    sql.add("SELECT g.old FROM gone AS g WHERE NOT EXISTS (SELECT FROM ").add(parent).add(" AS p WHERE ");
    for (std::size_t i = 0; i < key.key.referenced.size(); ++i) {
        sql.add(i > 0 ? Sql::Fixed{" AND p."} : Sql::Fixed{"p."}).add(sql::Ident{key.key.referenced[i]}).add(" ");
        sql.server_text(key.key.referenced_equals[i]).add(" g.k").number(static_cast<long long>(i) + 1);
    }
    return sql.add(" OFFSET 0)");
}

Sql referred_keys(LooseKey const& key, LooseTypes const& types, QName const& child, std::vector<std::string> const& olds) {
    auto sql = gone(types.compared, olds);
    sql.add("SELECT g.old FROM gone AS g WHERE EXISTS (SELECT FROM ").add(child).add(" AS c WHERE ");
    refers(sql, key);
    return sql.add(")");
}

Sql referring_rows(LooseKey const& key, LooseTypes const& types, QName const& child, std::vector<std::string> const& olds, int limit) {
    auto sql = gone(types.compared, olds);
    sql.add("SELECT pg_catalog.count(*) AS n FROM (SELECT FROM ").add(child).add(" AS c JOIN gone AS g ON ");
    refers(sql, key);
    return sql.add(" LIMIT ").number(limit).add(") AS r");
}

bool acts(SeveredKey const& key, bool on_delete) {
    auto const action = on_delete ? key.on_delete : key.on_update;
    return action == 'c' || action == 'n' || action == 'd';
}

Sql delete_action(LooseKey const& key, LooseTypes const& types, QName const& child, std::vector<std::string> const& olds, int limit) {
    auto sql = gone(types.compared, olds);
    some(sql, key, child, limit);
    if (key.key.on_delete == 'c') {
        sql.add("DELETE FROM ").add(child).add(" AS c");
    } else {
        sql.add("UPDATE ").add(child).add(" AS c SET ");
        set_all(sql, key.key.set_columns.empty() ? key.key.columns : key.key.set_columns, key.key.on_delete == 'n' ? Sql::Fixed{"NULL"} : Sql::Fixed{"DEFAULT"});
    }
    those(sql);
    return sql;
}

Sql update_action(LooseKey const& key, LooseTypes const& types, QName const& child, std::string const& old, std::string const& now, int limit) {
    auto sql = gone(types.compared, {old});
    some(sql, key, child, limit);
    sql.add("UPDATE ").add(child).add(" AS c SET ");
    if (key.key.on_update != 'c') {
        set_all(sql, key.key.columns, key.key.on_update == 'n' ? Sql::Fixed{"NULL"} : Sql::Fixed{"DEFAULT"});
    } else {
        for (std::size_t i = 0; i < key.key.columns.size(); ++i) {
            sql.add(i > 0 ? Sql::Fixed{", "} : Sql::Fixed{""}).add(sql::Ident{key.key.columns[i]}).add(" = (");
            sql.bind(now).add("::pg_catalog.text[])[").number(static_cast<long long>(i) + 1).add("]::").server_text(types.columns[i]);
        }
    }
    those(sql);
    return sql;
}

Sql orphan_count(SeveredKey const& key, QName const& child, QName const& parent) {
    Sql sql{"SELECT pg_catalog.count(*) AS n FROM "};
    sql.add(child).add(" AS c WHERE (");
    for (std::size_t i = 0; i < key.columns.size(); ++i)
        sql.add(i > 0 ? Sql::Fixed{" AND c."} : Sql::Fixed{"c."}).add(sql::Ident{key.columns[i]}).add(" IS NOT NULL");
    sql.add(" AND NOT EXISTS (SELECT FROM ").add(parent).add(" AS p WHERE ");
    for (std::size_t i = 0; i < key.columns.size(); ++i) {
        sql.add(i > 0 ? Sql::Fixed{" AND p."} : Sql::Fixed{"p."}).add(sql::Ident{key.referenced[i]}).add(" ").server_text(key.equals[i]);
        sql.add(" c.").add(sql::Ident{key.columns[i]});
    }
    sql.add("))");
    if (key.match == 'f' && key.columns.size() > 1) { // all of it or none
        sql.add(" OR (pg_catalog.num_nulls(").names(key.columns, "c").add(") > 0 AND pg_catalog.num_nonnulls(").names(key.columns, "c").add(") > 0)");
    }
    return sql;
}

} // namespace pgcarve::plan
