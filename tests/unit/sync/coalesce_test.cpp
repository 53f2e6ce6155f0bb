// Goal: what a run of changes comes to (sync/coalesce.hpp) is what the changes do one by one. Method: random histories
// over few keys, played by a model of a table that knows every value, and told as the source tells them: large values
// that did not change are left out, as may be the whole old row, a large key too.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <string>

#include "sync/coalesce.hpp"

namespace {

using namespace pgcarve;
using sync::Cells;
using sync::Change;
using sync::Kind;
using wire::ColumnState;

using Key = std::pair<std::string, std::string>;
struct Values {
    std::optional<std::string> small;
    std::optional<std::string> large;
    bool operator==(Values const&) const = default;
};
using Table = std::map<Key, Values>;

// Two tables: a key of two columns with a small and a large column; in the second one the key comes last.
sync::Mapping two_tables() {
    auto const column = [](std::string name, bool key) { return sync::MappedColumn{std::move(name), "text", base::Oid{25}, -1, key}; };
    sync::MappedTable first{{"public", "a"}, {"service", "a"}, {column("k1", true), column("k2", true), column("s", false), column("l", false)}, {0, 1}};
    sync::MappedTable second{{"public", "b"}, {"service", "b"}, {column("s", false), column("l", false), column("k2", true), column("k1", true)}, {3, 2}};
    return sync::Mapping{{first, second}};
}

wire::Column cell(std::optional<std::string> const& value, std::deque<std::string>& memory) {
    if (!value)
        return {};
    return {ColumnState::text, memory.emplace_back(*value)};
}

struct Teller {
    sync::Arena arena;
    std::deque<std::string> memory;

    Cells row(std::uint32_t table, Key const& key, Values const& values) {
        std::vector<wire::Column> cells{cell(key.first, memory), cell(key.second, memory), cell(values.small, memory), cell(values.large, memory)};
        if (table == 1)
            cells = {cells[2], cells[3], cells[1], cells[0]};
        return arena.keep(cells);
    }
    Cells without(Cells row, std::size_t column) {
        auto const copy = arena.cells(row.size());
        std::ranges::copy(row, copy.begin());
        copy[column] = {ColumnState::unchanged_toast, {}};
        return copy;
    }
    Cells only_key(std::uint32_t table, Key const& key) { return row(table, key, {}); }
};

Key key_in(std::uint32_t table, Cells row) {
    auto const& first = row[table == 0 ? 0 : 3];
    auto const& second = row[table == 0 ? 1 : 2];
    if (first.state != ColumnState::text || second.state != ColumnState::text)
        throw std::runtime_error{"a key that is not known"};
    return {std::string{first.value}, std::string{second.value}};
}

// `before`: what stays where the value was not sent; nullptr: it must have been.
Values values_in(std::uint32_t table, Cells row, Values const* before) {
    auto const read = [&](wire::Column const& c, std::optional<std::string> Values::*member) -> std::optional<std::string> {
        if (c.state == ColumnState::unchanged_toast) {
            if (before == nullptr)
                throw std::runtime_error{"a value that nobody knows is to be inserted"};
            return before->*member;
        }
        return c.state == ColumnState::null ? std::nullopt : std::optional{std::string{c.value}};
    };
    auto const at = table == 0 ? 2U : 0U;
    return {read(row[at], &Values::small), read(row[at + 1], &Values::large)};
}

void must(bool condition, char const* what) {
    if (!condition)
        throw std::runtime_error{what};
}

void apply_net(std::vector<Table>& tables, std::vector<sync::Coalescer::Table> const& all) {
    for (auto const& [number, net] : all) {
        for (auto const row : net.removed)
            must(tables[number].erase(key_in(number, row)) == 1, "a row to be removed is not there");
    }
    for (auto const& [number, net] : all) {
        for (auto const& updated : net.updated) {
            auto const at = tables[number].find(key_in(number, updated.row));
            must(at != tables[number].end(), "a row to be updated is not there");
            at->second = values_in(number, updated.row, &at->second);
        }
    }
    for (auto const& [number, net] : all) {
        for (auto const row : net.inserted)
            must(tables[number].emplace(key_in(number, row), values_in(number, row, nullptr)).second, "a row to be inserted is there");
    }
}

void apply_alone(std::vector<Table>& tables, Change const& change) {
    auto& table = tables[change.table];
    switch (change.kind) {
    case Kind::truncate:
        for (auto const number : *change.truncated)
            tables[number].clear();
        return;
    case Kind::remove:
        must(table.erase(key_in(change.table, change.old)) == 1, "remove");
        return;
    case Kind::insert:
        must(table.emplace(key_in(change.table, change.row), values_in(change.table, change.row, nullptr)).second, "insert");
        return;
    case Kind::update:
        break;
    }
    auto const old_key = key_in(change.table, change.old);
    auto const found = table.find(old_key);
    must(found != table.end(), "update");
    auto const values = values_in(change.table, change.row, &found->second);
    auto filled = std::vector<wire::Column>(change.row.begin(), change.row.end());
    for (std::size_t i = 0; i < filled.size(); ++i) {
        if (filled[i].state == ColumnState::unchanged_toast)
            filled[i] = change.old[i];
    }
    table.erase(found);
    must(table.emplace(key_in(change.table, filled), values).second, "update of the key");
}

// A random history from `tables`, which it changes.
std::vector<Change> history(std::vector<Table>& tables, Teller& teller, std::vector<std::uint32_t> const& both, bool full) {
    std::vector<Change> changes;
    int fresh = 0;
    auto const random_key = [] { return Key{std::string(*rc::gen::inRange<std::size_t>(0, 3), 'x'), *rc::gen::element<std::string>("", "x")}; };
    auto const new_value = [&](char const* kind) -> std::optional<std::string> {
        if (*rc::gen::inRange(0, 5) == 0)
            return std::nullopt;
        return kind + std::to_string(++fresh);
    };
    auto const steps = *rc::gen::inRange(0, 40);
    for (int step = 0; step < steps; ++step) {
        auto const number = *rc::gen::inRange(0U, 2U);
        auto& table = tables[number];
        auto const key = random_key();
        auto const found = table.find(key);
        auto const large_at = number == 0 ? 3U : 1U;
        if (*rc::gen::inRange(0, 40) == 0) {
            changes.push_back({.kind = Kind::truncate, .table = 0, .truncated = &both});
            for (auto& one : tables)
                one.clear();
        } else if (found == table.end()) {
            Values const values{new_value("s"), new_value("l")};
            changes.push_back({.kind = Kind::insert, .table = number, .row = teller.row(number, key, values)});
            table.emplace(key, values);
        } else if (*rc::gen::inRange(0, 3) == 0) {
            changes.push_back({.kind = Kind::remove, .table = number,
                               .old = full ? teller.row(number, key, found->second) : teller.only_key(number, key)});
            table.erase(found);
        } else {
            auto const before = found->second;
            auto values = before;
            values.small = new_value("s");
            bool const keeps_large = *rc::gen::arbitrary<bool>();
            if (!keeps_large)
                values.large = new_value("l");
            auto const other = random_key();
            bool const moves = *rc::gen::inRange(0, 3) == 0 && (other == key || !table.contains(other));
            auto const after = moves ? other : key;
            auto row = teller.row(number, after, values);
            if (keeps_large && before.large && !full) // what stays NULL is sent
                row = teller.without(row, large_at);
            auto old = row; // the key did not change
            if (full)
                old = teller.row(number, key, before);
            else if (after != key)
                old = teller.only_key(number, key);
            else if (*rc::gen::inRange(0, 4) == 0) { // a large key that did not change: the old one says it, the new one does not
                old = teller.only_key(number, key);
                row = teller.without(row, number == 0 ? 0U : 3U);
            }
            changes.push_back({.kind = Kind::update, .table = number, .old = old, .row = row});
            table.erase(found);
            table.emplace(after, values);
        }
    }
    return changes;
}

RC_GTEST_PROP(Coalescer, NetEffectIsTheEffectOfTheChanges, ()) {
    auto const mapping = two_tables();
    Teller teller;
    std::vector<std::uint32_t> const both{0, 1};
    bool const full = *rc::gen::arbitrary<bool>();
    std::vector<Table> start(2);
    history(start, teller, both, full); // whatever it left
    auto want = start;
    auto const changes = history(want, teller, both, full);

    auto one_by_one = start;
    for (auto const& change : changes)
        apply_alone(one_by_one, change);
    RC_ASSERT(one_by_one == want);

    auto merged = start;
    std::size_t at = 0;
    int alone = 0;
    while (at < changes.size()) {
        sync::Arena arena;
        sync::Coalescer coalescer{mapping, arena};
        while (at < changes.size() && coalescer.add(changes[at]))
            ++at;
        apply_net(merged, coalescer.net());
        if (at < changes.size()) {
            apply_alone(merged, changes[at++]);
            ++alone;
        }
    }
    RC_ASSERT(merged == want);
    if (full)
        RC_ASSERT(alone == static_cast<int>(std::ranges::count_if(changes, [](Change const& c) { return c.kind == Kind::truncate; })));
    RC_CLASSIFY(alone > 0, "some applied alone");
}

TEST(Coalescer, MakesTheFewestStatements) {
    auto const mapping = two_tables();
    Teller teller;
    sync::Arena arena;
    sync::Coalescer coalescer{mapping, arena};
    Key const key{"1", ""};
    auto const add = [&](Kind kind, std::optional<Key> old, std::optional<Key> now, std::string const& value) {
        Change change{.kind = kind, .table = 0};
        if (old)
            change.old = teller.row(0, *old, {});
        if (now)
            change.row = teller.row(0, *now, {value, {}});
        EXPECT_TRUE(coalescer.add(change));
    };
    add(Kind::insert, {}, key, "a");
    add(Kind::update, key, key, "b");
    add(Kind::update, key, Key{"2", ""}, "c");
    auto net = coalescer.net();
    ASSERT_EQ(net.size(), 1U);
    EXPECT_TRUE(net[0].net.removed.empty() && net[0].net.updated.empty());
    ASSERT_EQ(net[0].net.inserted.size(), 1U);
    EXPECT_EQ(net[0].net.inserted[0][2].value, "c");
    add(Kind::remove, Key{"2", ""}, {}, "");
    EXPECT_TRUE(coalescer.net().empty()) << "nothing was there before, nothing is there now";
}

TEST(Coalescer, KeysWithTheSameBytesInOtherColumnsAreOthers) {
    auto const mapping = two_tables();
    Teller teller;
    sync::Arena arena;
    sync::Coalescer coalescer{mapping, arena};
    for (auto const& key : {Key{"ab", "c"}, Key{"a", "bc"}, Key{"abc", ""}, Key{"", "abc"}})
        EXPECT_TRUE(coalescer.add({.kind = Kind::insert, .table = 0, .row = teller.row(0, key, {})}));
    EXPECT_EQ(coalescer.net().at(0).net.inserted.size(), 4U);
}

TEST(Coalescer, SetsNothingAsideOfATruncation) {
    auto const mapping = two_tables();
    std::vector<std::uint32_t> const both{0, 1};
    sync::Arena arena;
    sync::Coalescer coalescer{mapping, arena};
    EXPECT_FALSE(coalescer.add({.kind = Kind::truncate, .truncated = &both}));
}

} // namespace
