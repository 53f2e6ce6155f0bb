#include "sync/coalesce.hpp"

#include <algorithm>

#include "base/error.hpp"

namespace pgcarve::sync {

namespace {

bool whole(Cells row) {
    return std::ranges::none_of(row, [](wire::Column const& c) { return c.state == wire::ColumnState::unchanged_toast; });
}

} // namespace

// Each value with its length, so that no two keys have the same bytes.
std::string Coalescer::key_of(MappedTable const& table, Cells row) const {
    std::string key;
    for (auto const i : table.key) {
        auto const& cell = row[i];
        if (cell.state != wire::ColumnState::text)
            base::bug("a change of " + table.source.display() + " without its key");
        auto const size = static_cast<std::uint32_t>(cell.value.size());
        key.append(reinterpret_cast<char const*>(&size), sizeof size);
        key.append(cell.value);
    }
    return key;
}

Cells Coalescer::merged(Cells before, Cells after) {
    if (whole(after))
        return after;
    auto const row = arena_.cells(after.size());
    for (std::size_t i = 0; i < after.size(); ++i)
        row[i] = after[i].state == wire::ColumnState::unchanged_toast ? before[i] : after[i];
    return row;
}

bool Coalescer::insert(Entry& entry, Cells row) {
    switch (entry.effect) {
    case Effect::none:
        // Gone within this run, or never heard of.
        entry.effect = Effect::insert;
        entry.fresh = true;
        break;
    case Effect::remove:
        entry.effect = Effect::replace;
        break;
    default:
        return false; // the key exists: whatever this is, order matters
    }
    entry.row = row;
    return true;
}

void Coalescer::update(Entry& entry, Cells row) {
    if (entry.effect == Effect::none) {
        entry.effect = Effect::update;
        entry.row = row;
    } else {
        entry.row = merged(entry.row, row);
    }
}

void Coalescer::remove(Entry& entry, Cells key) {
    entry.effect = entry.fresh ? Effect::none : Effect::remove;
    entry.fresh = false;
    entry.row = key;
}

bool Coalescer::add(Change const& change) {
    auto const& table = mapping_.tables()[change.table];
    auto& keys = tables_[change.table];
    auto const entry = [&](std::string key) -> Entry& {
        auto const [at, made] = keys.try_emplace(std::move(key));
        at->second.order = ++changes_;
        return at->second;
    };
    switch (change.kind) {
    case Kind::truncate:
        return false;
    case Kind::insert:
        return insert(entry(key_of(table, change.row)), change.row);
    case Kind::remove: {
        auto& at = entry(key_of(table, change.old));
        if (at.effect == Effect::remove)
            return false; // removed twice: order matters
        remove(at, change.old);
        return true;
    }
    case Kind::update:
        break;
    }
    auto old_key = key_of(table, change.old);
    // The new row may leave a large key out; then it is the old one.
    auto row = change.row;
    if (std::ranges::any_of(table.key, [&](std::size_t i) { return row[i].state == wire::ColumnState::unchanged_toast; })) {
        auto const filled = arena_.cells(row.size());
        std::ranges::copy(row, filled.begin());
        for (auto const i : table.key) {
            if (filled[i].state == wire::ColumnState::unchanged_toast)
                filled[i] = change.old[i];
        }
        row = filled;
    }
    auto new_key = key_of(table, row);
    if (old_key == new_key) {
        auto const known = keys.find(old_key);
        if (known != keys.end() && known->second.effect == Effect::remove)
            return false;
        update(entry(std::move(old_key)), row);
        return true;
    }
    // A row moves to another key: it goes at the one and comes at the other, if all of it is known.
    if (!whole(row)) {
        auto const known = keys.find(old_key);
        if (known == keys.end() || known->second.effect == Effect::none || known->second.effect == Effect::remove)
            return false;
        row = merged(known->second.row, row);
        if (!whole(row))
            return false;
    }
    if (auto const there = keys.find(new_key);
        there != keys.end() && there->second.effect != Effect::none && there->second.effect != Effect::remove)
        return false;
    auto& from = entry(std::move(old_key));
    if (from.effect == Effect::remove)
        return false;
    remove(from, change.old);
    return insert(entry(std::move(new_key)), row);
}

std::vector<Coalescer::Table> Coalescer::net() const {
    std::vector<Table> all;
    for (std::uint32_t number = 0; number < mapping_.tables().size(); ++number) {
        auto const found = tables_.find(number);
        if (found == tables_.end())
            continue;
        std::vector<Entry const*> entries;
        entries.reserve(found->second.size());
        for (auto const& [key, entry] : found->second) {
            if (entry.effect != Effect::none)
                entries.push_back(&entry);
        }
        if (entries.empty())
            continue;
        std::ranges::sort(entries, {}, &Entry::order); // as the source did it: close together stays close together
        Table table{number, {}};
        for (auto const* entry : entries) {
            if (entry->effect == Effect::remove || entry->effect == Effect::replace)
                table.net.removed.push_back(entry->row);
            if (entry->effect == Effect::insert || entry->effect == Effect::replace)
                table.net.inserted.push_back(entry->row);
            if (entry->effect == Effect::update)
                table.net.updated.push_back({entry->row});
        }
        all.push_back(std::move(table));
    }
    return all;
}

} // namespace pgcarve::sync
