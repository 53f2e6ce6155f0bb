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

std::vector<Touched> read_touched(pg::Session& target, std::string const& stream, TouchedPlace after, int limit, std::optional<wire::TransactionId> oldest) {
    // In the order of the index: a page costs what is in it, however many there are.
    Sql sql{"SELECT id, at::text AS at, source_table, xids::text[] AS xids, keys FROM pgcarve.touched AS t WHERE stream = "};
    sql.bind(stream).add(" AND at >= ").bind(after.at.text()).add("::pg_lsn AND (at > ").bind(after.at.text()).add("::pg_lsn OR id > ").bind(std::to_string(after.id)).add("::bigint)");
    if (oldest) // numbers go round: older is less than half of them behind
        sql.add(" AND EXISTS (SELECT FROM unnest(xids) AS x WHERE ((x - ").number(static_cast<long long>(oldest->value)).add(") & 4294967295) < 2147483648)");
    sql.add(" ORDER BY t.at, id LIMIT ").number(limit); // t.at: not its text
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

namespace {

// A row's header and its numbers, its index entry, and the headers of an array.
constexpr std::size_t line_overhead = 100;
// However small the record is to be: what was applied just now stays.
constexpr int newest_lines = 20;

// As line_size(), without reading what is kept elsewhere.
void add_size(Sql& sql) {
    sql.add("(pg_column_size(xids) + coalesce(pg_column_size(keys), 0) + octet_length(stream) + octet_length(source_table) + ");
    sql.number(static_cast<long long>(line_overhead)).add(")::bigint");
}

} // namespace

std::size_t line_size(std::string_view stream, std::string_view table, std::size_t xids, std::size_t keys) noexcept {
    return line_overhead + stream.size() + table.size() + 24 + 8 * xids + keys;
}

long long touched_size(pg::Session& target, std::string const& stream) {
    Sql sql{"SELECT coalesce(sum("};
    add_size(sql);
    return target.one(sql.add("), 0)::bigint AS bytes FROM pgcarve.touched WHERE stream = ").bind(stream)).integer("bytes");
}

std::optional<base::Lsn> TouchedCut::at() const {
    if (!excess)
        return std::nullopt;
    if (!unseen || *excess < *unseen)
        return excess;
    return base::Lsn{unseen->value - 1};
}

TouchedCut find_cut(pg::Session& target, std::string const& stream, long long keep, Snapshot const& seen) {
    std::vector<std::string> running;
    for (auto const xid : seen.running())
        running.push_back(std::to_string(static_cast<std::uint32_t>(xid)));
    // A stream's transactions have numbers of 32 bits, which go round. The lines are read seconds after the snapshot was taken: those
    // that it cannot see are a little later than its end, and what seems to be very much later is very old.
    Sql sql{"SELECT max(at) FILTER (WHERE kept > "};
    sql.number(keep).add(" AND newer >= ").number(newest_lines).add(")::text AS excess, min(at) FILTER (WHERE unseen)::text AS unseen FROM (SELECT at, sum(");
    add_size(sql);
    sql.add(") OVER w AS kept, rank() OVER w - 1 AS newer, EXISTS (SELECT FROM unnest(xids) AS x WHERE x = ANY (").bind(pg::format_array(running));
    sql.add("::bigint[]) OR ((x - ").number(static_cast<long long>(seen.end().value_or(0))).add(") & 4294967295) < 1073741824) AS unseen");
    sql.add(" FROM pgcarve.touched WHERE stream = ").bind(stream).add(" WINDOW w AS (ORDER BY at DESC)) AS line");
    pg::Transaction transaction{target, pg::Isolation::read_committed, pg::Access::read_only};
    target.run("SET LOCAL enable_sort = off"); // lines lie in their order already, nearly, and there may be very many
    auto const row = target.one(sql);
    auto const lsn = [&](std::string_view column) {
        auto const text = row.maybe(column);
        return text ? base::Lsn::parse(*text) : std::nullopt;
    };
    return {lsn("excess"), lsn("unseen")};
}

void forget_touched(pg::Session& target, std::string const& stream, base::Lsn cut) {
    target.query(Sql{"UPDATE pgcarve.stream SET touched_from = greatest(touched_from, "}
                     .bind(cut.text())
                     .add("::pg_lsn) WHERE touched_from IS NOT NULL AND name = ")
                     .bind(stream));
}

std::optional<base::Lsn> remove_forgotten(pg::Session& target, std::string const& stream, base::Lsn after, int lines) {
    Sql sql{"WITH gone AS (DELETE FROM pgcarve.touched WHERE ctid = ANY (ARRAY(SELECT ctid FROM pgcarve.touched WHERE stream = "};
    sql.bind(stream).add(" AND at >= ").bind(after.text()).add("::pg_lsn AND at <= (SELECT touched_from FROM pgcarve.stream WHERE name = ").bind(stream);
    sql.add(") ORDER BY at LIMIT ").number(lines).add(" FOR UPDATE SKIP LOCKED)) RETURNING at) SELECT max(at)::text AS at FROM gone");
    auto const at = target.one(sql).maybe("at");
    return at ? base::Lsn::parse(*at) : std::nullopt;
}

} // namespace pgcarve::sync
