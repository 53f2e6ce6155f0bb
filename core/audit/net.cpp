#include "audit/net.hpp"

#include <charconv>

#include "base/error.hpp"

namespace pgcarve::audit {

namespace {

constexpr Digest null_value = 1;
constexpr std::size_t per_row = 160; // of the map, its node and the vectors

} // namespace

Digest digest(std::optional<std::string_view> value) {
    if (!value)
        return null_value;
    auto const found = static_cast<Digest>(std::hash<std::string_view>{}(*value));
    return found <= null_value ? found + 2 : found;
}

void append_key(Key& key, std::string_view value) {
    key += std::to_string(value.size());
    key += ':';
    key += value;
}

std::vector<std::string> key_values(Key const& key) {
    std::vector<std::string> values;
    std::size_t at = 0;
    while (at < key.size()) {
        std::size_t size = 0;
        auto const [end, error] = std::from_chars(key.data() + at, key.data() + key.size(), size);
        auto const from = static_cast<std::size_t>(end - key.data()) + 1;
        if (error != std::errc{} || from + size > key.size())
            base::bug("a key that cannot be read");
        values.push_back(key.substr(from, size));
        at = from + size;
    }
    return values;
}

std::size_t cost(RowId const& id, RowState const& state) {
    auto bytes = per_row + id.key.size();
    for (auto const& side : state.sides)
        bytes += side.columns.size() * sizeof(Digest) + side.origin.size();
    return bytes;
}

RowState& Net::row(RowId const& id) {
    auto const [at, is_new] = rows_.try_emplace(id);
    if (!is_new)
        return at->second;
    bytes_ += per_row + id.key.size();
    auto const truncated = truncated_.find(id.table);
    if (truncated != truncated_.end()) {
        for (auto const side : both) {
            if (truncated->second[index(side)].whole)
                at->second.of(side).presence = Presence::absent;
            else if (truncated->second[index(side)].part)
                at->second.of(side).only_later = true;
        }
    }
    return at->second;
}

void Net::put(RowId const& id, Side side, std::vector<Digest> const& values, std::optional<Key> const& moved_from, bool partial) {
    SideState before;
    if (moved_from && partial) {
        before.only_later = true;
    } else if (moved_from) {
        auto& old = row({id.table, *moved_from}).of(side);
        before = std::move(old);
        if (before.origin.empty())
            before.origin = *moved_from;
        old = {Presence::absent, {}, {}, false};
    }
    auto& now = row(id).of(side);
    if (moved_from)
        now = std::move(before);
    bool const made = now.presence == Presence::absent; // an insert sends every value
    if (now.presence != Presence::present)
        now.columns.assign(values.size(), unknown_value);
    now.presence = Presence::present;
    bytes_ += values.size() * sizeof(Digest) + now.origin.size();
    bool all = true;
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (values[i] != unknown_value)
            now.columns[i] = values[i];
        all = all && now.columns[i] != unknown_value;
    }
    if (all || made) {
        now.origin.clear();
        now.only_later = false;
    }
}

void Net::remove(RowId const& id, Side side) { row(id).of(side) = {Presence::absent, {}, {}, false}; }

void Net::truncate(std::uint32_t table, Side side, bool whole) {
    auto& mark = truncated_[table][index(side)];
    (whole ? mark.whole : mark.part) = true;
    for (auto& [id, state] : rows_) {
        if (id.table != table)
            continue;
        auto& now = state.of(side);
        if (whole)
            now = {Presence::absent, {}, {}, false};
        else if (now.presence != Presence::absent)
            now = {Presence::unknown, {}, {}, true};
    }
}

std::array<Net::Truncated, 2> Net::truncated(std::uint32_t table) const {
    auto const at = truncated_.find(table);
    return at == truncated_.end() ? std::array<Truncated, 2>{} : at->second;
}

} // namespace pgcarve::audit
