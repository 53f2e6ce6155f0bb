#include "sync/applier.hpp"

#include <algorithm>
#include <deque>

#include <fmt/format.h>

#include "base/error.hpp"
#include "sync/statements.hpp"

namespace pgcarve::sync {

namespace {

constexpr auto differs_hint =
    "the target was written by somebody else, or lost what it had: put the row there as the source has it and start the sync again; "
    "once it runs, `pgcarve verify` shows what else differs and `pgcarve repair` mends it";

constexpr std::size_t worth_a_copy = 50; // rows: below it a prepared statement costs less than to begin and end a COPY
constexpr std::string_view feature_not_supported = "0A000";
constexpr std::size_t copy_piece = 64U << 10U;

// A statement met another number of rows than the source says are there.
class CountDiffers : public std::exception {};

void add(pg::TextArray& to, wire::Column const& cell) {
    if (cell.state == wire::ColumnState::null)
        to.add_null();
    else if (cell.state == wire::ColumnState::text)
        to.add(cell.value);
    else
        base::bug("a value without its text");
}

// A value in COPY's text form.
void add_copied(std::string& to, wire::Column const& cell) {
    if (cell.state == wire::ColumnState::null) {
        to += "\\N";
        return;
    }
    if (cell.state != wire::ColumnState::text)
        base::bug("a value without its text");
    auto rest = cell.value;
    for (;;) {
        auto const at = rest.find_first_of("\\\t\n\r");
        to += rest.substr(0, at);
        if (at == std::string_view::npos)
            return;
        char const c = rest[at];
        to += '\\';
        to += c == '\t' ? 't' : c == '\n' ? 'n' : c == '\r' ? 'r' : c;
        rest.remove_prefix(at + 1);
    }
}

std::string key_text(MappedTable const& table, Cells row) {
    std::string text;
    for (auto const i : table.key)
        text += fmt::format("{}{}={}", text.empty() ? "" : ", ", table.columns[i].name, row[i].value);
    return text;
}

std::vector<std::size_t> sent_columns(Cells row) {
    std::vector<std::size_t> set;
    for (std::size_t i = 0; i < row.size(); ++i) {
        if (row[i].state != wire::ColumnState::unchanged_toast)
            set.push_back(i);
    }
    return set;
}

std::vector<std::size_t> known_columns(MappedTable const& table, Cells row) {
    std::vector<std::size_t> set;
    for (std::size_t i = 0; i < row.size(); ++i) {
        if (row[i].state != wire::ColumnState::unchanged_toast && std::ranges::find(table.key, i) == table.key.end())
            set.push_back(i);
    }
    return set;
}

// UPDATE … SET id = DEFAULT gave the row another number, and no UPDATE can do the same with a number that is known.
bool renumbers(MappedTable const& table, Change const& change) {
    if (change.kind != Kind::update)
        return false;
    auto const whole = std::ranges::none_of(change.row, [](auto const& c) { return c.state == wire::ColumnState::unchanged_toast; });
    return whole && std::ranges::any_of(table.columns, &MappedColumn::always_identity);
}

} // namespace

Applier::Applier(pg::Bulk& target, Mapping const& mapping, std::string stream)
    : target_{target}, mapping_{mapping}, stream_{std::move(stream)} {
    // Rows are found through the key's index, in the order given.
    target_.run("SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off;"
                " SET plan_cache_mode = force_generic_plan; SET jit = off; SET pgcarve.mirror = 'on'");
}

void Applier::apply(Batch const& batch) {
    try {
        apply_rows(batch);
        if (batch.complete)
            commit(batch);
    } catch (...) {
        abandon();
        throw;
    }
}

void Applier::apply_rows(Batch const& batch) {
    if (!open_) {
        target_.run("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET CONSTRAINTS ALL DEFERRED; SAVEPOINT pgcarve_batch");
        open_ = true;
    } else {
        target_.run("SAVEPOINT pgcarve_batch");
    }
    if (look_)
        look_(batch.changes);
    std::vector<Change const*> changes;
    changes.reserve(batch.changes.size());
    std::deque<Change> halves;
    for (auto const& change : batch.changes) {
        auto const wanted = wanted_ ? wanted_(change) : Wanted::all;
        if (wanted == Wanted::nothing)
            continue;
        if (wanted == Wanted::all) {
            changes.push_back(&change);
            continue;
        }
        auto half = change;
        half.kind = wanted == Wanted::removal ? Kind::remove : Kind::insert;
        changes.push_back(&halves.emplace_back(half));
    }
    if (!try_sets(changes)) {
        target_.run("ROLLBACK TO SAVEPOINT pgcarve_batch");
        ++applied_.replayed_batches;
        for (auto const* change : changes)
            replay(*change);
    }
    note_touched(changes);
    if (!batch.complete) {
        target_.run("RELEASE SAVEPOINT pgcarve_batch");
        write_touched();
    }
    applied_.changes += static_cast<long long>(changes.size());
}

// A transaction's pieces come before its end is known. No log gets that far.
constexpr auto unknown_position = "FFFFFFFF/FFFFFFFF";

void Applier::note_touched(std::vector<Change const*> const& changes) {
    for (auto const* const change : changes) {
        if (xids_.empty() || xids_.back() != change->xid)
            xids_.push_back(change->xid);
        if (change->kind == Kind::truncate)
            truncated_.insert(change->truncated->begin(), change->truncated->end());
        else
            touched_.try_emplace(change->table, mapping_.tables()[change->table]).first->second.add(*change);
    }
}

void Applier::add_touched(std::vector<pg::TextArray>& to) {
    pg::TextArray tables;
    pg::TextArray xids;
    pg::TextArray keys;
    std::string all = "{";
    for (auto const xid : xids_)
        all += (all.size() > 1 ? "," : "") + std::to_string(xid.value);
    all += "}";
    auto const count = [&](std::string const& table, std::size_t size) {
        applied_.touched_bytes += static_cast<long long>(line_size(stream_, table, xids_.size(), size));
    };
    for (auto const number : truncated_) {
        auto const table = mapping_.tables()[number].source.quoted();
        count(table, 0);
        tables.add(table);
        xids.add(all);
        keys.add_null();
        touched_.erase(number);
    }
    for (auto const& [number, table] : touched_) {
        auto const name = table.table().source.quoted();
        count(name, table.keys().size());
        tables.add(name);
        xids.add(all);
        keys.add(table.keys());
    }
    to.push_back(std::move(tables));
    to.push_back(std::move(xids));
    to.push_back(std::move(keys));
    touched_.clear();
    truncated_.clear();
    xids_.clear();
}

void Applier::write_touched() {
    if (xids_.empty())
        return;
    std::vector<pg::TextArray> parameters(2);
    parameters[0].add(stream_);
    parameters[1].add(unknown_position);
    add_touched(parameters);
    target_.execute("INSERT INTO pgcarve.touched (stream, at, source_table, xids, keys) SELECT $1[1], $2[1]::pg_catalog.pg_lsn, n.t, "
                    "n.x::pg_catalog.int8[], n.k FROM ROWS FROM (pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5)) AS n (t, x, k)",
                    parameters);
    in_pieces_ = true;
}

void Applier::commit(Batch const& batch) {
    std::vector<pg::TextArray> parameters(2);
    parameters[0].add(stream_);
    parameters[1].add(batch.end.text());
    parameters[1].add(std::to_string(batch.commit_time.unix_micros()));
    if (batch.marker)
        parameters[1].add(*batch.marker);
    else
        parameters[1].add_null();
    if (in_pieces_) {
        write_touched();
        target_.execute("UPDATE pgcarve.touched SET at = $2[1]::pg_catalog.pg_lsn WHERE stream = $1[1] AND at = 'FFFFFFFF/FFFFFFFF'", parameters);
        in_pieces_ = false;
    }
    // One statement for all of it: small transactions are bound by their round trips.
    add_touched(parameters);
    if (target_.execute("WITH touched AS (INSERT INTO pgcarve.touched (stream, at, source_table, xids, keys) SELECT $1[1], "
                        "$2[1]::pg_catalog.pg_lsn, n.t, n.x::pg_catalog.int8[], n.k FROM ROWS FROM (pg_catalog.unnest($3), "
                        "pg_catalog.unnest($4), pg_catalog.unnest($5)) AS n (t, x, k)) "
                        "UPDATE pgcarve.stream SET position = $2[1]::pg_catalog.pg_lsn, applied_at = pg_catalog.clock_timestamp(), "
                        "commit_time = timestamptz 'epoch' + $2[2]::pg_catalog.int8 * interval '1 microsecond', marker = $2[3] WHERE name = $1[1]",
                        parameters) != 1)
        unknown_stream();
    open_ = false; // however it ends
    try {
        target_.commit();
    } catch (pg::SqlError const& e) {
        if (!e.sqlstate().starts_with("23")) // a deferred constraint
            throw;
        throw base::Error{base::Exit::needs_decision, "target-differs", fmt::format("at the end of a transaction: {} ({})", e.message(), e.sqlstate()),
                          differs_hint};
    }
    applied_.transactions += static_cast<long long>(batch.transactions);
}

void Applier::move(base::Lsn position) {
    sql::Sql mark{"UPDATE pgcarve.stream SET position = "};
    mark.bind(position.text()).add("::pg_catalog.pg_lsn, applied_at = pg_catalog.clock_timestamp(), "
                                                       "commit_time = pg_catalog.clock_timestamp() WHERE name = ");
    mark.bind(stream_).add(" RETURNING name");
    if (!target_.value(mark))
        unknown_stream();
}

void Applier::unknown_stream() const {
    throw base::Error{base::Exit::needs_decision, "stream-unknown",
                      fmt::format("the target knows nothing of stream {}: its position cannot be kept", stream_),
                      "this is not the database the sync was set up with, or its schema pgcarve was removed"};
}

void Applier::abandon() {
    touched_.clear();
    truncated_.clear();
    xids_.clear();
    in_pieces_ = false;
    if (!open_)
        return;
    open_ = false;
    target_.rollback();
}

// False when the target refuses it this way.
bool Applier::try_sets(std::vector<Change const*> const& changes) {
    try {
        std::size_t at = 0;
        while (at < changes.size()) {
            Arena arena;
            Coalescer coalescer{mapping_, arena};
            while (at < changes.size() && coalescer.add(*changes[at]))
                ++at;
            flush(coalescer.net());
            if (at < changes.size())
                apply_one(*changes[at++]);
        }
        return true;
    } catch (CountDiffers const&) {
        return false;
    } catch (pg::SqlError const& e) {
        if (e.sqlstate() == feature_not_supported && copies_) { // row-level security knows no COPY
            copies_ = false;
            return false;
        }
        if (!e.sqlstate().starts_with("23")) // integrity constraints: another order may do
            throw;
        return false;
    }
}

void Applier::flush(std::vector<Coalescer::Table> const& net) {
    // Children first: the mapping has referenced tables before those that refer to them.
    for (auto table = net.rbegin(); table != net.rend(); ++table)
        remove(mapping_.tables()[table->table], table->net.removed);
    for (auto const& table : net)
        update(mapping_.tables()[table.table], table.net.updated);
    for (auto const& table : net)
        insert(mapping_.tables()[table.table], table.net.inserted);
}

void Applier::run(std::string const& statement, std::size_t expected) {
    if (target_.execute(statement, columns_) != static_cast<long long>(expected))
        throw CountDiffers{};
}

void Applier::remove(MappedTable const& table, std::vector<Cells> const& rows) {
    if (rows.empty())
        return;
    columns_.assign(table.key.size(), {});
    for (auto const row : rows) {
        for (std::size_t i = 0; i < table.key.size(); ++i)
            add(columns_[i], row[table.key[i]]);
    }
    run(delete_statement(table), rows.size());
}

void Applier::update(MappedTable const& table, std::vector<Net::Updated> const& rows) {
    // One statement for each set of columns that was sent: large values which did not change are left out.
    std::map<std::vector<std::size_t>, std::vector<Cells>> by_columns;
    for (auto const& updated : rows)
        by_columns[known_columns(table, updated.row)].push_back(updated.row);
    for (auto const& [set, group] : by_columns) {
        columns_.assign(table.key.size() + set.size(), {});
        for (auto const row : group) {
            for (std::size_t i = 0; i < table.key.size(); ++i)
                add(columns_[i], row[table.key[i]]);
            for (std::size_t i = 0; i < set.size(); ++i)
                add(columns_[table.key.size() + i], row[set[i]]);
        }
        if (set.empty()) // a table of nothing but its key: there is nothing to set
            continue;
        run(update_statement(table, set), group.size());
    }
}

void Applier::insert(MappedTable const& table, std::vector<Cells> const& rows) {
    // One statement unless some rows are from before a column came.
    std::map<std::vector<std::size_t>, std::vector<Cells>> by_columns;
    for (auto const row : rows)
        by_columns[sent_columns(row)].push_back(row);
    for (auto const& [set, group] : by_columns) {
        if (copies_ && group.size() >= worth_a_copy) {
            copy(table, set, group);
            continue;
        }
        columns_.assign(set.size(), {});
        for (auto const row : group) {
            for (std::size_t i = 0; i < set.size(); ++i)
                add(columns_[i], row[set[i]]);
        }
        run(insert_statement(table, set), group.size());
    }
}

void Applier::copy(MappedTable const& table, std::vector<std::size_t> const& set, std::vector<Cells> const& rows) {
    pg::Bulk::CopyIn in{target_, copy_statement(table, set)};
    line_.clear();
    for (auto const row : rows) {
        for (std::size_t i = 0; i < set.size(); ++i) {
            if (i > 0)
                line_ += '\t';
            add_copied(line_, row[set[i]]);
        }
        line_ += '\n';
        if (line_.size() >= copy_piece) {
            in.feed(line_);
            line_.clear();
        }
    }
    in.feed(line_);
    if (in.finish() != static_cast<long long>(rows.size()))
        throw CountDiffers{}; // a trigger of the target's keeps rows out
}

void Applier::truncate(Change const& change) {
    std::vector<MappedTable const*> tables;
    for (auto const number : *change.truncated)
        tables.push_back(&mapping_.tables()[number]);
    target_.run(truncate_statement(tables, change.restart_identity));
}

void Applier::apply_one(Change const& change) {
    auto const& table = mapping_.tables()[change.table];
    switch (change.kind) {
    case Kind::truncate:
        truncate(change);
        return;
    case Kind::remove:
        remove(table, {change.old});
        return;
    case Kind::insert:
        insert(table, {change.row});
        return;
    case Kind::update:
        break;
    }
    auto set = known_columns(table, change.row);
    for (auto const i : table.key) {
        if (change.row[i].state != wire::ColumnState::text || change.row[i].value == change.old[i].value)
            continue;
        if (table.columns[i].always_identity)
            throw CountDiffers{}; // no UPDATE does it
        set.push_back(i);
    }
    if (set.empty())
        return;
    columns_.assign(table.key.size() + set.size(), {});
    for (std::size_t i = 0; i < table.key.size(); ++i)
        add(columns_[i], change.old[table.key[i]]);
    for (std::size_t i = 0; i < set.size(); ++i)
        add(columns_[table.key.size() + i], change.row[set[i]]);
    run(update_statement(table, set), 1);
}

// apply_one() of what is known to be in order: a failure is a difference between the two sides.
void Applier::replay(Change const& change) {
    auto const& table = mapping_.tables()[change.table];
    auto const differs = [&](std::string const& what) {
        throw base::Error{base::Exit::needs_decision, "target-differs", fmt::format("table {}: {}", table.target.display(), what),
                          differs_hint};
    };
    try {
        try {
            apply_one(change);
        } catch (CountDiffers const&) {
            if (!renumbers(table, change))
                throw;
            remove(table, {change.old});
            insert(table, {change.row});
        }
    } catch (CountDiffers const&) {
        differs(fmt::format("the row {} is not there", key_text(table, change.old)));
    } catch (pg::SqlError const& e) {
        if (!e.sqlstate().starts_with("23"))
            throw;
        differs(fmt::format("{} ({})", e.message(), e.sqlstate()));
    }
}

} // namespace pgcarve::sync
