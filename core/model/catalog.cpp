#include "model/catalog.hpp"

#include <algorithm>
#include <tuple>

#include <fmt/format.h>

namespace pgcarve::model {

Column const* Table::column(std::string_view column_name) const {
    auto const at = std::ranges::find_if(columns, [&](Column const& c) { return c.name == column_name; });
    return at == columns.end() ? nullptr : &*at;
}

namespace {

bool identifies_rows(Table const& table, Index const& index) {
    if (!index.unique || !index.valid || index.partial || index.expressions || index.key_columns.empty())
        return false;
    return std::ranges::all_of(index.key_columns, [&](std::string const& name) {
        auto const* const column = table.column(name);
        return column != nullptr && (column->not_null || index.primary);
    });
}

} // namespace

std::optional<Key> usable_key(Table const& table) {
    std::vector<Index const*> candidates;
    for (auto const& index : table.indexes) {
        if (identifies_rows(table, index))
            candidates.push_back(&index);
    }
    if (candidates.empty())
        return std::nullopt;
    auto const rank = [](Index const* i) { return std::tuple{!i->immediate, !i->primary, i->name}; };
    auto const* const best = *std::ranges::min_element(candidates, {}, rank);
    return Key{best->key_columns, best->name, best->immediate};
}

std::string identity_statement(Table const& table, Key const& key) {
    bool const primary = std::ranges::any_of(table.indexes, [&](Index const& i) { return i.primary && i.name == key.index; });
    return fmt::format("ALTER TABLE {} REPLICA IDENTITY {};", table.name.quoted(), primary ? "DEFAULT" : "USING INDEX " + sql::quote_ident(key.index));
}

Sequence const* Catalog::sequence(sql::QName const& name) const {
    auto const at = std::ranges::find_if(sequences, [&](Sequence const& s) { return s.name == name; });
    return at == sequences.end() ? nullptr : &*at;
}

Table const* Catalog::find(sql::QName const& name) const {
    auto const at = std::ranges::find_if(tables, [&](Table const& t) { return t.name == name; });
    return at == tables.end() ? nullptr : &*at;
}

Table const* Catalog::find(base::Oid oid) const {
    auto const at = std::ranges::find_if(tables, [&](Table const& t) { return t.oid == oid; });
    return at == tables.end() ? nullptr : &*at;
}

std::vector<Table const*> Catalog::partitions(Table const& root) const {
    std::vector<Table const*> found;
    std::vector<Table const*> level{&root};
    while (!level.empty()) {
        std::vector<Table const*> next;
        for (auto const& table : tables) {
            auto const is_child = [&](Table const* parent) { return table.partition_of == parent->name; };
            if (table.partition_of && std::ranges::any_of(level, is_child))
                next.push_back(&table);
        }
        std::ranges::sort(next, {}, [](Table const* t) { return t->name; });
        found.insert(found.end(), next.begin(), next.end());
        level = std::move(next);
    }
    return found;
}

} // namespace pgcarve::model
