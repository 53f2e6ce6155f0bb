#include "plan/reference.hpp"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "base/error.hpp"
#include "mirrorgen/write_lock.hpp"

namespace pgcarve::plan {

using model::TablePair;
using sql::QName;

std::vector<TablePair> reference_pairs(model::DatabaseSetup const& database, Ownership const& ownership, std::vector<model::SeveredKey> const& severed,
                                       model::Catalog const& shared) {
    std::set<QName> roots{ownership.reference.begin(), ownership.reference.end()};
    for (auto const& key : severed) {
        if (key.decision == model::CrossingDecision::replicate && !key.parent_moves)
            roots.insert(key.parent);
    }
    std::vector<TablePair> pairs;
    auto const add = [&](model::Table const& table, bool is_partition) {
        auto const key = model::usable_key(table);
        TablePair pair{table.name, {database.schema, table.name.name}, key ? key->columns : std::vector<std::string>{}, key && key->immediate, is_partition, {}};
        for (auto const& column : table.columns)
            pair.columns.push_back(column.name);
        pairs.push_back(std::move(pair));
    };
    for (auto const& name : roots) {
        auto const* const table = shared.find(name);
        if (table == nullptr || std::ranges::find(database.tables, name, &TablePair::source) != database.tables.end())
            continue;
        add(*table, false);
        for (auto const* const partition : shared.partitions(*table))
            add(*partition, true);
    }
    return pairs;
}

std::vector<mirrorgen::Machinery> reference_locks(model::DatabaseSetup const& database, model::Catalog const& other) {
    std::vector<mirrorgen::Machinery> locks;
    for (auto const& pair : database.reference) {
        if (pair.is_partition)
            continue;
        auto const* const table = other.find(pair.target);
        if (table == nullptr)
            throw base::Error{base::Exit::needs_decision, "table-gone", fmt::format("table {} is not in the other database any more", pair.target.display()),
                              "it was dropped or renamed under the sync: rename it back"};
        locks.push_back(mirrorgen::write_lock(mirrorgen::write_lock_of(*table, other, fmt::format("table {} is read-only here: it follows the shared database", pair.target.quoted()),
                                                                       fmt::format("write to {} in the shared database", pair.source.quoted()))));
    }
    return locks;
}

} // namespace pgcarve::plan
