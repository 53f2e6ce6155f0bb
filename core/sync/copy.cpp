#include "sync/copy.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <numeric>
#include <set>
#include <thread>
#include <unordered_set>
#include <utility>

#include <fmt/format.h>

#include "base/error.hpp"
#include "sql/builder.hpp"
#include "sync/copy_statements.hpp"
#include "sync/places.hpp"

namespace pgcarve::sync {

using sql::Sql;

namespace {

using Clock = std::chrono::steady_clock;
constexpr int longest_row_of_conflicts = 20; // of one table, without a range that could be mended
constexpr auto passes_locks = "SET pgcarve.mirror = 'on'"; // what keeps other writers from the target's tables
constexpr std::string_view exclusion_violation = "23P01";
constexpr auto patience = std::chrono::seconds{60}; // with transactions that keep a snapshot from being of use

// A truncation that some ranges of a table have seen and others not: the table is copied anew.
struct Reset : std::exception {
    std::uint32_t table;
    explicit Reset(std::uint32_t number) : table{number} {}
};

} // namespace

struct Copy::Impl {
    CopySettings settings;
    Mapping const& mapping;

    mutable std::mutex mutex; // of everything below while workers run
    std::vector<TableChunks> tables;
    std::vector<std::optional<Places>> places; // by table; of those whose keys only the source compares
    std::vector<std::vector<Range>> taken; // by workers, not recorded yet
    std::vector<std::size_t> order;        // largest first
    std::vector<char> keyed;               // by late_keys: made, or being made
    CopyProgress counts;
    std::exception_ptr error;

    std::vector<int> conflicts; // by table, in a row
    std::vector<std::uint32_t> crowded; // tables with a conflict in this turn

    // Transactions whose changes were left out because their rows were still to be copied. No snapshot may be older.
    std::unordered_set<std::uint32_t> skipped;

    Impl(CopySettings given, Mapping const& map) : settings{std::move(given)}, mapping{map} {
        read_orders();
        taken.resize(tables.size());
        conflicts.resize(tables.size());
        keyed.resize(settings.late_keys.size());
        settings.followed.resize(tables.size());
        for (std::size_t i = 0; i < tables.size(); ++i) {
            if (settings.followed[i])
                tables[i].follow();
        }
        settings.estimated_rows.resize(tables.size());
        order.resize(tables.size());
        std::iota(order.begin(), order.end(), std::size_t{0});
        std::ranges::stable_sort(order, std::ranges::greater{}, [&](std::size_t i) { return settings.estimated_rows[i]; });
        counts.estimated_rows = std::accumulate(settings.estimated_rows.begin(), settings.estimated_rows.end(), 0.0);
        read_record();
    }

    // A repair looks for a range's rows at both sides, which need not agree about a collation.
    void read_orders() {
        pg::Session source{settings.source};
        for (auto const& table : mapping.tables()) {
            auto by = key_order(table);
            auto place = only_source_compares(by) && !(settings.repair && by == KeyOrder::source_by_collation) ? Places::of(source, table) : std::nullopt;
            if (only_source_compares(by) && !place)
                by = KeyOrder::none;
            tables.emplace_back(by);
            places.push_back(std::move(place));
        }
    }

    void read_record() {
        std::set<std::uint32_t> unordered; // split by an earlier run, and its index has gone since
        pg::Session target{settings.target};
        Sql sql{"SELECT source_table, lo, hi, snapshot, row_count FROM pgcarve.chunk WHERE stream = "};
        for (auto const row : target.query(sql.bind(settings.stream).add(" ORDER BY id"))) {
            auto const name = row.text(0);
            auto const at = std::ranges::find_if(mapping.tables(), [&](MappedTable const& t) { return t.source.display() == name; });
            if (at == mapping.tables().end())
                throw base::Error{base::Exit::needs_decision, "schema-changed", fmt::format("rows of {} were copied, and it is not part of this sync any more", name),
                                  "put it back into pgcarve.toml, or cancel the sync and begin it anew"};
            auto const number = static_cast<std::size_t>(at - mapping.tables().begin());
            if (settings.followed[number])
                continue;
            if (tables[number].order() == KeyOrder::none && (row.maybe(1) || row.maybe(2))) {
                unordered.insert(static_cast<std::uint32_t>(number));
                continue;
            }
            tables[number].add({row.maybe(1), row.maybe(2)}, Snapshot::parse(row.text(3)));
            counts.rows += row.integer(4);
        }
        for (auto const number : unordered)
            reset(number);
    }

    [[nodiscard]] bool finished() const {
        std::lock_guard const lock{mutex};
        return std::ranges::none_of(tables, [](TableChunks const& t) { return t.missing().has_value(); });
    }

    // ---- what the stream leaves out

    void look(pg::Session& source, std::vector<Change> const& changes) {
        for (std::uint32_t number = 0; number < places.size(); ++number) {
            if (places[number])
                places[number]->look(source, number, changes, tables[number].upper_ends());
        }
    }

    Applier::Wanted wanted(Change const& change) {
        using Wanted = Applier::Wanted;
        if (change.kind == Kind::truncate) {
            for (auto const number : *change.truncated) {
                if (tables[number].any_sees(change.xid))
                    throw Reset{number};
            }
            for (auto const number : *change.truncated) {
                if (tables[number].missing())
                    skipped.insert(change.xid.value);
            }
            return Wanted::all;
        }
        auto const& table = mapping.tables()[change.table];
        auto const key_of = [&](Cells row) { return row[table.key.front()].value; };
        auto const there = [&](std::string_view key) {
            auto const& chunks = tables[change.table];
            auto const* const snapshot = only_source_compares(chunks.order()) ? chunks.snapshot_at(places[change.table]->at(key)) : chunks.snapshot_of(key);
            if (snapshot == nullptr)
                skipped.insert(change.xid.value);
            return snapshot != nullptr && !snapshot->sees(change.xid);
        };
        auto const whole = [](bool wanted) { return wanted ? Wanted::all : Wanted::nothing; };
        if (change.kind == Kind::insert)
            return whole(there(key_of(change.row)));
        bool const old_there = there(key_of(change.old));
        if (change.kind == Kind::remove || change.row[table.key.front()].state == wire::ColumnState::unchanged_toast ||
            key_of(change.row) == key_of(change.old))
            return whole(old_there);
        // From one range to another.
        bool const new_there = there(key_of(change.row));
        if (new_there == old_there)
            return whole(old_there);
        if (old_there)
            return Wanted::removal; // the other range has it, or will have it
        // To be inserted, all of it has to be known; otherwise the table is copied anew.
        if (std::ranges::any_of(change.row, [](auto const& cell) { return cell.state == wire::ColumnState::unchanged_toast; }))
            throw Reset{change.table};
        return Wanted::insertion;
    }

    // To be copied anew; a repair needs no empty table for that.
    void reset(std::uint32_t number) {
        auto const& table = mapping.tables()[number];
        pg::Session target{settings.target};
        target.run(passes_locks);
        pg::Transaction transaction{target};
        if (!settings.repair)
            target.query(Sql{"TRUNCATE ONLY "}.add(table.target));
        Sql sql{"DELETE FROM pgcarve.chunk WHERE stream = "};
        target.query(sql.bind(settings.stream).add(" AND source_table = ").bind(table.source.display()));
        transaction.commit();
        tables[number].clear();
    }

    // ---- the workers

    struct Task {
        std::size_t table;
        Range range;
    };

    // A range that nobody has or takes. Only its lower end is known yet.
    std::optional<Task> take() {
        for (auto const number : order) {
            if (only_source_compares(tables[number].order()) && !taken[number].empty())
                continue; // one behind the other
            auto with_taken = tables[number];
            for (auto const& range : taken[number])
                with_taken.add(range, {});
            if (auto const missing = with_taken.missing())
                return Task{number, *missing};
        }
        return std::nullopt;
    }

    [[nodiscard]] bool split(Task const& task) const {
        return tables[task.table].order() != KeyOrder::none;
    }

    // A snapshot that sees all that was left out. Leaves its transaction open.
    Snapshot open_snapshot(pg::Bulk& source, base::Interrupt& interrupt) {
        auto const deadline = Clock::now() + patience;
        for (;;) {
            source.begin(pg::Isolation::repeatable_read, pg::Access::read_only);
            auto snapshot = Snapshot::parse(source.value(Sql{"SELECT pg_current_snapshot()::text"}).value_or(""));
            auto const unseen = std::ranges::find_if(skipped, [&](std::uint32_t xid) { return !snapshot.sees({xid}); });
            if (unseen == skipped.end())
                return snapshot;
            source.rollback();
            interrupt.check();
            if (Clock::now() > deadline)
                throw base::Error{base::Exit::unavailable, "commit-unseen",
                                  fmt::format("transaction {} has committed, but the source does not show it yet", *unseen),
                                  "it waits for a synchronous standby: see pg_stat_replication; then run the same command again"};
            interrupt.wait_for(base::Millis{10});
        }
    }

    void copy_one(pg::Bulk& source, pg::Bulk& target, base::Interrupt& interrupt, Clock::time_point until, bool& more) {
        std::unique_lock lock{mutex};
        auto task = take();
        more = task.has_value() && Clock::now() < until;
        if (!more)
            return;
        auto const& table = mapping.tables()[task->table];
        // The end is found under the lock: the next worker begins behind it.
        auto const snapshot = open_snapshot(source, interrupt);
        if (split(*task)) {
            if (auto const end = source.value(end_of_range_statement(table, task->range, settings.range_rows)))
                task->range.hi = *end;
        }
        taken[task->table].push_back(task->range);
        lock.unlock();

        Brought brought;
        try {
            brought = settings.repair ? mend(source, target, table, task->range, interrupt) : bring(source, target, copy_in_statement(table), table, task->range, interrupt);
        } catch (pg::SqlError const& e) {
            // Its range stays taken until the next turn. By then the stream has moved on, and what was stale is gone.
            if (!settings.repair || (e.sqlstate() != pg::sqlstate::unique_violation && e.sqlstate() != exclusion_violation))
                throw;
            target.rollback();
            source.rollback();
            lock.lock();
            if (++conflicts[task->table] > longest_row_of_conflicts)
                throw base::Error{base::Exit::needs_decision, "target-differs", fmt::format("table {}: {} ({})", table.target.display(), e.message(), e.sqlstate()),
                                  "the target has a constraint that the source does not have: drop it there, then run the same command again"};
            crowded.push_back(static_cast<std::uint32_t>(task->table));
            return;
        }
        Sql sql{"INSERT INTO pgcarve.chunk (stream, source_table, lo, hi, snapshot, row_count) VALUES ("};
        sql.bind(settings.stream).add(", ").bind(table.source.display()).add(", ").bind(task->range.lo).add(", ").bind(task->range.hi);
        target.value(sql.add(", ").bind(snapshot.text()).add(", ").bind(std::to_string(brought.rows)).add(")"));
        target.commit();

        lock.lock();
        std::erase_if(taken[task->table], [&](Range const& r) { return r.lo == task->range.lo; });
        tables[task->table].add(task->range, snapshot);
        conflicts[task->table] = 0;
        counts.rows += brought.rows;
        counts.bytes += brought.bytes;
        counts.mended += brought.mended;
        if (auto const whole = whole_without_keys(task->table)) {
            keyed[*whole] = 1;
            lock.unlock();
            settings.late_keys[*whole].make();
        }
    }

    // ---- keys

    // The keys that this table waits for, when all of their tables are there.
    [[nodiscard]] std::optional<std::size_t> whole_without_keys(std::size_t table) const {
        for (std::size_t i = 0; i < keyed.size(); ++i) {
            auto const& of = settings.late_keys[i].tables;
            if (keyed[i] == 0 && std::ranges::find(of, table) != of.end() &&
                std::ranges::none_of(of, [&](std::uint32_t number) { return tables[number].missing().has_value(); }))
                return i;
        }
        return std::nullopt;
    }

    // Some rows are there, and others are still to come.
    [[nodiscard]] bool begun_without_keys() const {
        for (std::size_t i = 0; i < keyed.size(); ++i) {
            auto const& of = settings.late_keys[i].tables;
            if (keyed[i] == 0 && std::ranges::any_of(of, [&](std::uint32_t number) { return !tables[number].none(); }))
                return true;
        }
        return false;
    }

    // Of all tables that the stream will write to: those with rows.
    void make_keys(base::Interrupt& interrupt) {
        for (std::size_t i = 0; i < keyed.size(); ++i) {
            auto const& of = settings.late_keys[i].tables;
            if (keyed[i] != 0 || std::ranges::all_of(of, [&](std::uint32_t number) { return tables[number].none(); }))
                continue;
            interrupt.check();
            try {
                settings.late_keys[i].make();
            } catch (base::Error const&) {
                interrupt.check(); // a stop cancels it
                throw;
            }
            keyed[i] = 1;
        }
    }

    // Whether a turn whose time is over goes on.
    [[nodiscard]] bool worth_going_on(pg::Bulk& source, Clock::time_point until, base::Lsn began, Events const& events) const {
        if (Clock::now() >= until + settings.longest_turn - settings.turn || !begun_without_keys())
            return false;
        auto const now = log_end(source);
        return static_cast<long long>(now.value - began.value) < settings.longest_turn_log && events.throttled().empty();
    }

    static base::Lsn log_end(pg::Bulk& source) {
        auto const end = base::Lsn::parse(source.value(Sql{"SELECT pg_current_wal_lsn()::text"}).value_or(""));
        if (!end)
            base::bug("a log without an end");
        return *end;
    }

    struct Brought {
        long long rows = 0;
        long long bytes = 0;
        long long mended = 0;
    };

    // Opens the target's transaction, ends the source's.
    static Brought bring(pg::Bulk& source, pg::Bulk& target, std::string const& into, MappedTable const& table, Range const& range, base::Interrupt& interrupt) {
        if (!target.in_transaction())
            target.begin();
        Brought brought;
        pg::Bulk::CopyIn in{target, into};
        source.copy_out(copy_out_statement(table, range), [&](std::string_view piece) {
            interrupt.check();
            brought.bytes += static_cast<long long>(piece.size());
            in.feed(piece);
        });
        brought.rows = in.finish();
        source.commit();
        return brought;
    }

    static Brought mend(pg::Bulk& source, pg::Bulk& target, MappedTable const& table, Range const& range, base::Interrupt& interrupt) {
        auto const repair = range_repair(table, range);
        target.begin();
        target.run(repair.stage);
        auto brought = bring(source, target, repair.copy_in, table, range, interrupt);
        target.run(repair.analyze);
        for (auto const& statement : repair.mend)
            brought.mended += std::stoll(target.value(statement).value_or("0"));
        return brought;
    }

    // Rows of ranges that are still to come may be stale, and stand in the way of those that are right. False: there are none.
    bool make_room() {
        auto const now = std::exchange(crowded, {});
        long long stale = 0;
        for (auto const number : now) {
            auto const& table = mapping.tables()[number];
            pg::Session target{settings.target};
            target.run(passes_locks);
            pg::Transaction transaction{target};
            auto rest = tables[number];
            while (auto const range = rest.missing()) {
                stale += static_cast<long long>(target.query(empty_range_statement(table, *range)).affected());
                rest.add(*range, {});
            }
            transaction.commit();
        }
        return stale > 0;
    }

    void work(base::Interrupt& interrupt, Clock::time_point until, Events const& events) {
        try {
            pg::Bulk source{settings.source};
            pg::Bulk target{settings.target};
            target.run(passes_locks);
            auto const guard = interrupt.on_request([&] { source.cancel(); target.cancel(); });
            auto const began = log_end(source);
            // One range at least, however long the connections took.
            auto end = Clock::time_point::max();
            for (bool more = true; more;) {
                interrupt.check();
                {
                    std::lock_guard const lock{mutex};
                    if (error)
                        return;
                }
                copy_one(source, target, interrupt, end, more);
                std::lock_guard const lock{mutex};
                events.after_range();
                report(events);
                end = more && Clock::now() >= until && worth_going_on(source, until, began, events) ? Clock::time_point::max() : until;
            }
        } catch (...) {
            std::lock_guard const lock{mutex};
            if (!error)
                error = std::current_exception();
        }
    }

    void report(Events const& events) {
        counts.tables_left = static_cast<int>(std::ranges::count_if(tables, [](TableChunks const& t) { return t.missing().has_value(); }));
        events.progress(counts);
    }

    void one_turn(base::Interrupt& interrupt, Events const& events) {
        auto const until = Clock::now() + settings.turn;
        std::vector<std::thread> threads;
        for (int i = 0; i < std::max(events.workers ? events.workers() : settings.workers, 1); ++i)
            threads.emplace_back([&] { work(interrupt, until, events); });
        for (auto& thread : threads)
            thread.join();
        for (auto& ranges : taken)
            ranges.clear();
        if (auto const first = std::exchange(error, nullptr)) {
            interrupt.check(); // the statements that a stop cancelled fail: that is no error of theirs
            std::rethrow_exception(first);
        }
    }

    // ---- between the turns

    // What earlier snapshots had to see, all later ones will see as well.
    void forget_seen(pg::Session& source) {
        auto const snapshot = Snapshot::parse(source.one(Sql{"SELECT pg_current_snapshot()::text AS s"}).text("s"));
        std::erase_if(skipped, [&](std::uint32_t xid) { return snapshot.sees({xid}); });
    }

    // After a restart nobody knows what was left out before: whoever may have been committing then has to be done. One that
    // waits for its client has not begun to, and will come with the stream.
    void wait_for_commits(pg::Session& source, base::Interrupt& interrupt) {
        auto const deadline = Clock::now() + patience;
        auto const then = Snapshot::parse(source.one(Sql{"SELECT pg_current_snapshot()::text AS s"}).text("s"));
        std::vector<std::string> running;
        for (auto const xid : then.running())
            running.push_back(std::to_string(xid));
        for (;;) {
            Sql sql{"SELECT x FROM unnest("};
            sql.bind(pg::format_array(running)).add("::text[]) AS x WHERE NOT pg_visible_in_snapshot(x::xid8, pg_current_snapshot()) "
                                                    "AND pg_xact_status(x::xid8) = 'in progress' AND NOT EXISTS (SELECT FROM pg_stat_activity AS a "
                                                    "WHERE a.backend_xid = x::xid8::xid AND a.state LIKE 'idle in transaction%') "
                                                    "AND NOT EXISTS (SELECT FROM pg_prepared_xacts AS p WHERE p.transaction = x::xid8::xid)");
            auto const busy = source.query(sql);
            if (busy.empty())
                return;
            if (Clock::now() > deadline)
                throw base::Error{base::Exit::unavailable, "commit-unseen",
                                  fmt::format("transaction {} has been running since before this start, and may be committing", busy[0].text(0)),
                                  "see pg_stat_activity for what it does; run the same command again when it has ended"};
            interrupt.check();
            interrupt.wait_for(base::Millis{100});
        }
    }

    // Throws Reset.
    void catch_up(pg::Session& source, Stream& stream, base::Interrupt& interrupt, Events const& events) {
        auto const until = mark(source);
        while (!stream.run_until(until, base::Millis{1'000}, interrupt)) {
            interrupt.check();
            report(events);
        }
    }

    // The stream goes on meanwhile: the source keeps its log until it has.
    void wait_while_throttled(Stream& stream, base::Interrupt& interrupt, Events const& events) {
        for (;;) {
            counts.waits = events.throttled();
            if (counts.waits.empty())
                return;
            report(events);
            interrupt.check();
            (void)stream.run_until(base::Lsn{~std::uint64_t{0}}, base::Millis{1'000}, interrupt);
        }
    }

    void run(OpenStream const& open, std::unique_ptr<Stream>& stream, base::Interrupt& interrupt, Events const& events) {
        pg::Session source{settings.source};
        wait_for_commits(source, interrupt);
        bool anew = false;
        for (;;) {
            try {
                if (!stream)
                    stream = open();
                stream->filter([this](Change const& change) { return wanted(change); }, [&](std::vector<Change> const& changes) { look(source, changes); });
                make_keys(interrupt); // an earlier run may have left rows without them
                // A range that is copied now would have seen the truncation as well, and it would be for ever the same.
                if (std::exchange(anew, false))
                    catch_up(source, *stream, interrupt, events);
                while (!finished()) {
                    wait_while_throttled(*stream, interrupt, events);
                    forget_seen(source);
                    one_turn(interrupt, events);
                    (void)make_room();
                    make_keys(interrupt);
                    catch_up(source, *stream, interrupt, events);
                }
                catch_up(source, *stream, interrupt, events);
                report(events);
                // Whatever comes from here on committed after the last snapshot.
                stream->filter({});
                return;
            } catch (Reset const& again) {
                stream.reset(); // what it was applying is undone, and comes again
                reset(again.table);
                anew = true;
            } catch (base::Error const& e) {
                if (!settings.repair || e.code() != "target-differs")
                    throw;
                // A change of a range that is right may meet a stale row of another one.
                stream.reset();
                for (std::uint32_t number = 0; number < tables.size(); ++number)
                    crowded.push_back(number);
                if (!make_room())
                    throw;
            }
        }
    }
};

Copy::Copy(CopySettings settings, Mapping const& mapping) : impl_{std::make_unique<Impl>(std::move(settings), mapping)} {}
Copy::~Copy() = default;
bool Copy::finished() const { return impl_->finished(); }

void Copy::run(OpenStream const& open, std::unique_ptr<Stream>& stream, base::Interrupt& interrupt, Events const& events) {
    impl_->run(open, stream, interrupt, events);
}

} // namespace pgcarve::sync
