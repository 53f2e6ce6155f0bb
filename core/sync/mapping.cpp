#include "sync/mapping.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/error.hpp"

namespace pgcarve::sync {

namespace {

[[noreturn]] void changed(std::string what) {
    throw base::Error{base::Exit::needs_decision, "schema-changed", std::move(what),
                      "bring the target's table to the same shape, then start the sync again"};
}

} // namespace

Mapping::Mapping(std::vector<MappedTable> tables, base::Lsn as_of, std::set<sql::QName> aside)
    : as_of_{as_of}, tables_{std::move(tables)}, aside_{std::move(aside)} {
    for (std::uint32_t i = 0; i < tables_.size(); ++i) {
        if (tables_[i].key.empty())
            base::bug("a stream of a table without a key: " + tables_[i].source.display());
        if (!by_source_.emplace(tables_[i].source, i).second)
            base::bug("a table mapped twice: " + tables_[i].source.display());
    }
}

std::optional<Mapping::Resolved> Mapping::resolve(wire::RelationShape const& shape, base::Lsn committed) const {
    bool const older = committed < as_of_;
    auto const name = sql::QName{shape.schema, shape.name};
    if (aside_.contains(name))
        return std::nullopt;
    auto const found = by_source_.find(name);
    if (found == by_source_.end())
        changed(fmt::format("the source streams table {}, which is not part of this sync: it was renamed, attached as a partition "
                            "or added to the publication since the sync began",
                            name.display()));
    Resolved resolved{found->second, {}};
    auto const& table = tables_[found->second];
    for (auto const& column : table.columns) {
        auto const at = std::ranges::find(shape.columns, column.name, &wire::RelationShape::Column::name);
        if (at == shape.columns.end() && older && !column.key) {
            resolved.at.push_back(absent);
            continue;
        }
        if (at == shape.columns.end())
            changed(fmt::format("column {} of table {} is gone at the source", column.name, name.display()));
        if (!older && (at->type != column.source_type || at->typmod != column.typmod))
            changed(fmt::format("column {} of table {} has another type at the source than when the sync began", column.name, name.display()));
        resolved.at.push_back(static_cast<std::size_t>(at - shape.columns.begin()));
    }
    for (auto const& column : shape.columns) {
        if (!older && std::ranges::find(table.columns, column.name, &MappedColumn::name) == table.columns.end())
            changed(fmt::format("column {} of table {} is new at the source", column.name, name.display()));
    }
    // Without an identity there are only insertions.
    if (std::ranges::any_of(shape.columns, &wire::RelationShape::Column::key)) {
        for (auto const i : table.key) {
            if (!shape.columns[resolved.at[i]].key)
                changed(fmt::format("column {} of table {} is part of its key, but the replica identity is without it now",
                                    table.columns[i].name, name.display()));
        }
    }
    return resolved;
}

} // namespace pgcarve::sync
