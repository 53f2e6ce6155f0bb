#include "run/proof/touched_keys.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/error.hpp"

namespace pgcarve::run {

using sql::Sql;

TouchedReader::TouchedReader(pg::Session& source, std::vector<model::TablePair> const& pairs, sync::Mapping const& mapping, std::string stream)
    : stream_{std::move(stream)} {
    std::vector<std::string> names;
    for (auto const& pair : pairs)
        names.push_back(pair.source.quoted());
    // At once: under a cutover's fence every round trip counts. Of a table without partitions, pg_partition_tree() gives nothing.
    std::vector<std::set<std::string>> members(pairs.size());
    for (auto const row : source.query(Sql{"SELECT p.number, n.nspname, c.relname FROM unnest("}
                                           .bind(pg::format_array(names))
                                           .add("::text[]) WITH ORDINALITY AS p (name, number), LATERAL (SELECT to_regclass(p.name)::oid AS oid"
                                                " UNION SELECT relid::oid FROM pg_partition_tree(to_regclass(p.name))) AS t"
                                                " JOIN pg_class AS c ON c.oid = t.oid JOIN pg_namespace AS n ON n.oid = c.relnamespace")))
        members[static_cast<std::size_t>(row.integer("number")) - 1].insert(sql::QName{row.text("nspname"), row.text("relname")}.quoted());
    for (std::size_t i = 0; i < pairs.size(); ++i) {
        for (auto const& table : mapping.tables()) {
            if (!members[i].contains(table.source.quoted()))
                continue;
            Leaf leaf{i, table.key.size(), {}};
            for (auto const& name : pairs[i].key) {
                auto const at = std::ranges::find(table.key, name, [&](std::size_t column) { return table.columns[column].name; });
                if (at == table.key.end())
                    base::bug("the key of " + table.source.display() + " is not that of its root");
                leaf.order.push_back(static_cast<std::size_t>(at - table.key.begin()));
            }
            leaves_[table.source.quoted()] = std::move(leaf);
        }
    }
}

TouchedByTable TouchedReader::read(pg::Session& target, base::Lsn since, std::size_t limit, std::function<bool(sync::Touched const&)> const& wanted,
                                   std::optional<wire::TransactionId> oldest) const {
    TouchedByTable all;
    std::size_t count = 0;
    constexpr int lines = 100; // each has up to a batch of keys
    for (sync::TouchedPlace after{since};;) {
        auto const page = sync::read_touched(target, stream_, after, lines, oldest);
        for (auto const& line : page) {
            after = {line.at, line.id};
            if (wanted && !wanted(line))
                continue;
            auto const leaf = leaves_.find(line.source_table);
            if (leaf == leaves_.end())
                continue; // of a partition that is gone, or of a table that nobody asked about
            auto& rows = all[leaf->second.pair];
            if (!line.keys) {
                rows.all = true;
                continue;
            }
            for (auto& key : sync::read_keys(*line.keys, leaf->second.parts)) {
                verify::Key ordered;
                ordered.reserve(key.size());
                for (auto const at : leaf->second.order)
                    ordered.push_back(std::move(key[at]));
                if (rows.keys.insert(std::move(ordered)).second && ++count > limit)
                    throw TooMany{};
            }
        }
        if (page.size() < static_cast<std::size_t>(lines))
            return all;
    }
}

} // namespace pgcarve::run
