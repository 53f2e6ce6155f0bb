#include "audit/ledger.hpp"

#include <algorithm>

namespace pgcarve::audit {

namespace {

void fill_side(SideState& now, SideState const& before) {
    if (now.presence == Presence::unknown) {
        if (!now.only_later)
            now = before;
        return;
    }
    if (now.presence == Presence::absent || now.only_later)
        return;
    if (before.presence != Presence::present)
        return;
    bool all = true;
    for (std::size_t i = 0; i < now.columns.size(); ++i) {
        if (now.columns[i] == unknown_value && i < before.columns.size())
            now.columns[i] = before.columns[i];
        all = all && now.columns[i] != unknown_value;
    }
    // What is still unknown has been so since before: it is where that was.
    if (all)
        now.origin.clear();
    else if (!before.origin.empty())
        now.origin = before.origin;
    now.only_later = before.only_later && !all;
}

} // namespace

void Ledger::fill(Net& net) const {
    for (auto& [id, state] : net.rows()) {
        for (auto const side : both) {
            auto& now = state.of(side);
            auto const at = now.origin.empty() ? rows_.find(id) : rows_.find({id.table, now.origin});
            if (at != rows_.end())
                fill_side(now, at->second.state.of(side));
        }
    }
}

void Ledger::take(Net const& net, Number number) {
    // A truncation makes what was known of the table's side untrue, and what a snapshot from before shows.
    for (auto const& [table, truncated] : net.truncations()) {
        for (auto& [id, entry] : rows_) {
            if (id.table != table)
                continue;
            for (auto const side : both) {
                auto& known = entry.state.of(side);
                if (truncated[index(side)].whole)
                    known = {Presence::absent, {}, {}, false};
                else if (truncated[index(side)].part)
                    known = {Presence::unknown, {}, {}, true};
            }
            entry.written = number;
        }
    }
    for (auto const& [id, state] : net.rows()) {
        auto const [at, is_new] = rows_.try_emplace(id);
        if (!is_new)
            bytes_ -= std::min(bytes_, cost(id, at->second.state));
        at->second = {state, number};
        bytes_ += cost(id, state);
    }
}

void Ledger::learn(RowId const& id, Side side, SideState const& shown, Number number) {
    auto const at = rows_.find(id);
    if (at == rows_.end() || at->second.written != number)
        return;
    bytes_ -= std::min(bytes_, cost(id, at->second.state));
    at->second.state.of(side) = shown;
    bytes_ += cost(id, at->second.state);
}

void Ledger::forget(Number number) {
    rows_.clear();
    bytes_ = 0;
    floor_ = number;
}

void Ledger::release(Number upto) {
    if (upto <= floor_)
        return;
    std::erase_if(rows_, [&](auto const& row) {
        if (row.second.written > upto)
            return false;
        bytes_ -= std::min(bytes_, cost(row.first, row.second.state));
        return true;
    });
    floor_ = upto;
}

} // namespace pgcarve::audit
