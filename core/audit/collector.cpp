#include "audit/collector.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/error.hpp"

namespace pgcarve::audit {

using base::Error;
using base::Exit;
using wire::ColumnState;

namespace {

Digest digest_of(wire::Column const& column) {
    switch (column.state) {
    case ColumnState::null:
        return digest(std::nullopt);
    case ColumnState::unchanged_toast:
        return unknown_value;
    case ColumnState::text:
        return digest(column.value);
    case ColumnState::binary:
        break;
    }
    base::bug("a binary value in a stream of texts");
}

} // namespace

Collector::Collector(Plan const& plan, CollectorLimits limits, std::function<std::optional<Home>(base::Oid)> home_of)
    : plan_{plan}
    , limits_{std::move(limits)}
    , home_of_{std::move(home_of)} {}

void Collector::begin() {
    net_ = Net{};
    spill_.reset();
    changes_ = 0;
}

void Collector::take(wire::Relation const& message) {
    Relation made;
    made.shape = relations_.replace(message, {});
    auto const planned = plan_.homes.find(message.id.value);
    made.home = planned != plan_.homes.end() ? std::optional{planned->second} : home_of_(message.id);
    if (made.home) {
        auto const& table = plan_.tables[made.home->table];
        auto const where = [&](std::string const& name) {
            auto const at = std::ranges::find(made.shape->columns, name, &wire::RelationShape::Column::name);
            return at == made.shape->columns.end() ? absent : static_cast<std::size_t>(at - made.shape->columns.begin());
        };
        for (auto const& column : table.key) {
            auto const at = where(column.name);
            if (at == absent || !made.shape->columns[at].key)
                throw Error{Exit::needs_decision, "schema-changed",
                            fmt::format("rows of {}.{} are no longer identified by column {}", made.shape->schema, made.shape->name, column.name),
                            "give the table its key and its replica identity back, or run `pgcarve split` to bring both sides in step; then audit again"};
            made.key.push_back(at);
        }
        for (auto const& name : table.columns)
            made.columns.push_back(where(name));
    }
    known_[message.id.value] = std::move(made);
}

Collector::Relation const& Collector::relation(base::Oid id) const {
    auto const at = known_.find(id.value);
    if (at == known_.end())
        throw Error{Exit::bug, "protocol", fmt::format("the stream names relation {}, which it has not explained", id.value), "please report this"};
    return at->second;
}

RowId Collector::row_id(Relation const& of, wire::Tuple row, wire::Tuple old) const {
    RowId id{of.home->table, {}};
    for (auto const at : of.key) {
        auto const& column = row[at].state == ColumnState::unchanged_toast && !old.empty() ? old[at] : row[at];
        if (column.state != ColumnState::text)
            throw Error{Exit::bug, "protocol", fmt::format("the stream sent a row of {}.{} without its key", of.shape->schema, of.shape->name), "please report this"};
        append_key(id.key, column.value);
    }
    return id;
}

void Collector::values(Relation const& of, wire::Tuple row, wire::Tuple old, wire::OldTuple kind) {
    values_.clear();
    for (auto const at : of.columns) {
        if (at == absent)
            values_.push_back(unknown_value);
        else if (row[at].state == ColumnState::unchanged_toast && kind == wire::OldTuple::full)
            values_.push_back(digest_of(old[at]));
        else
            values_.push_back(digest_of(row[at]));
    }
}

void Collector::take(wire::Insert const& m) {
    auto const& of = relation(m.relation);
    if (!of.home)
        return;
    of.shape->check(m.row);
    values(of, m.row, {}, wire::OldTuple::none);
    put(row_id(of, m.row, {}), of.home->side, std::nullopt);
}

void Collector::take(wire::Update const& m) {
    auto const& of = relation(m.relation);
    if (!of.home)
        return;
    of.shape->check(m.row);
    auto const old = m.old_kind == wire::OldTuple::none ? wire::Tuple{} : m.old;
    if (m.old_kind != wire::OldTuple::none)
        of.shape->check(old);
    values(of, m.row, old, m.old_kind);
    auto id = row_id(of, m.row, old);
    std::optional<Key> moved;
    if (m.old_kind != wire::OldTuple::none) {
        auto before = row_id(of, old, {});
        if (before != id)
            moved = std::move(before.key);
    }
    put(id, of.home->side, moved);
}

void Collector::take(wire::Delete const& m) {
    auto const& of = relation(m.relation);
    if (!of.home)
        return;
    of.shape->check(m.old);
    remove(row_id(of, m.old, {}), of.home->side);
}

void Collector::take(wire::Truncate const& m) {
    for (auto const id : m.relations) {
        auto const& of = relation(id);
        if (!of.home)
            continue;
        ++changes_;
        if (spill_)
            spill_->truncate(of.home->table, of.home->side, of.home->root);
        net_.truncate(of.home->table, of.home->side, of.home->root);
    }
}

void Collector::put(RowId const& id, Side side, std::optional<Key> const& moved_from) {
    ++changes_;
    if (spill_)
        spill_->put(id, side, values_, moved_from);
    else
        net_.put(id, side, values_, moved_from, false);
    grown();
}

void Collector::remove(RowId const& id, Side side) {
    ++changes_;
    if (spill_)
        spill_->remove(id, side);
    else
        net_.remove(id, side);
    grown();
}

void Collector::grown() {
    if (spill_ || net_.bytes() < limits_.memory)
        return;
    spill_ = std::make_unique<Spill>(limits_.folder);
    spill_->begin(net_);
    net_.rows() = {}; // the marks of truncations stay
}

void Collector::finish(std::function<void(Net&)> const& take) {
    if (spill_)
        spill_->groups(limits_.memory, take);
    else
        take(net_);
}

} // namespace pgcarve::audit
