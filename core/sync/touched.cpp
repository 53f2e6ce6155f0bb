#include "sync/touched.hpp"

#include <charconv>
#include <utility>

#include "base/error.hpp"
#include "sql/builder.hpp"

namespace pgcarve::sync {

using sql::Sql;

void append_key(std::string& to, MappedTable const& table, Cells row) {
    for (auto const i : table.key) {
        auto const& cell = row[i];
        if (cell.state != wire::ColumnState::text)
            base::bug("a change of " + table.source.display() + " without its key");
        to.append(std::to_string(cell.value.size())).append(1, ':').append(cell.value);
    }
}

std::vector<TouchedKey> read_keys(std::string_view text, std::size_t parts) {
    std::vector<TouchedKey> keys;
    TouchedKey key;
    while (!text.empty()) {
        std::size_t size = 0;
        auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), size);
        auto const digits = static_cast<std::size_t>(end - text.data());
        if (error != std::errc{} || digits >= text.size() || text[digits] != ':' || text.size() - digits - 1 < size)
            base::bug("a list of touched keys that is none");
        key.emplace_back(text.substr(digits + 1, size));
        text.remove_prefix(digits + 1 + size);
        if (key.size() == parts)
            keys.push_back(std::exchange(key, {}));
    }
    if (!key.empty())
        base::bug("a list of touched keys that ends in the middle of one");
    return keys;
}

void TouchedTable::add(Cells row) {
    std::string key;
    append_key(key, *table_, row);
    if (seen_.insert(key).second)
        keys_ += key;
}

void TouchedTable::add(Change const& change) {
    if (change.kind != Kind::insert)
        add(change.old);
    if (change.kind == Kind::remove)
        return;
    // A large key that was not sent again is the old one.
    bool known = true;
    bool same = change.kind == Kind::update;
    for (auto const i : table_->key) {
        known = known && change.row[i].state == wire::ColumnState::text;
        same = same && known && change.row[i].value == change.old[i].value;
    }
    if (known && !same) {
        add(change.row);
    } else if (!known) {
        std::vector<wire::Column> filled{change.row.begin(), change.row.end()};
        for (auto const i : table_->key) {
            if (filled[i].state != wire::ColumnState::text)
                filled[i] = change.old[i];
        }
        add(Cells{filled});
    }
}

std::vector<Touched> read_touched(pg::Session& target, std::string const& stream, base::Lsn since, long long after, int limit) {
    Sql sql{"SELECT id, at::text AS at, source_table, xids::text[] AS xids, keys FROM pgcarve.touched WHERE stream = "};
    sql.bind(stream).add(" AND at > ").bind(since.text()).add("::pg_lsn AND id > ").bind(std::to_string(after)).add("::bigint ORDER BY id LIMIT ");
    sql.number(limit);
    std::vector<Touched> all;
    for (auto const row : target.query(sql)) {
        Touched touched;
        touched.id = row.integer("id");
        touched.at = base::Lsn::parse(row.text("at")).value();
        touched.source_table = row.text("source_table");
        for (auto const& xid : row.array("xids"))
            touched.xids.push_back({static_cast<std::uint32_t>(std::stoul(xid))});
        touched.keys = row.maybe("keys");
        all.push_back(std::move(touched));
    }
    return all;
}

std::optional<base::Lsn> touched_from(pg::Session& target, std::string const& stream) {
    auto const row = target.maybe_one(Sql{"SELECT touched_from::text AS at FROM pgcarve.stream WHERE name = "}.bind(stream));
    auto const at = row ? row->maybe("at") : std::nullopt;
    return at ? std::optional{base::Lsn::parse(*at).value()} : std::nullopt;
}

bool touched_since(pg::Session& target, std::string const& stream, base::Lsn since) {
    auto const from = touched_from(target, stream);
    return from && *from <= since;
}

void prune_touched(pg::Session& target, std::string const& stream, base::Lsn proven) {
    // One statement: a line never goes without its absence being known.
    target.query(Sql{"WITH gone AS (DELETE FROM pgcarve.touched WHERE stream = "}
                     .bind(stream)
                     .add(" AND at <= ")
                     .bind(proven.text())
                     .add("::pg_lsn) UPDATE pgcarve.stream SET touched_from = greatest(touched_from, ")
                     .bind(proven.text())
                     .add("::pg_lsn) WHERE touched_from IS NOT NULL AND name = ")
                     .bind(stream));
}

} // namespace pgcarve::sync
