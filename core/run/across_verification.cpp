#include "run/across_verification.hpp"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include <fmt/format.h>

namespace pgcarve::run {

using base::Error;
using sql::Sql;
using verify::AcrossCounts;
using verify::AcrossScope;
using verify::AcrossShape;
using verify::Difference;
using verify::Incomparable;
using verify::Key;
using verify::Side;
using Clock = std::chrono::steady_clock;

namespace {

constexpr std::size_t keys_at_a_time = 5'000;
constexpr std::size_t most_in_doubt = 50'000; // keys at one moment; beyond them, another one is taken
constexpr std::size_t most_remembered = 100'000; // differences that are not counted twice
constexpr int turn_parts = 64; // of a table that is not ordered
constexpr base::Millis statement_grace{60'000}; // a statement that began when the snapshot was about to be old
// What a server hashes in a second, at the least: for the size of what has to fit into one snapshot.
constexpr double rows_per_second = 100'000;

// Two sessions that read what a moment shows.
struct Reader {
    pg::Session source;
    pg::Session target;

    Reader(Route const& route, AcrossOptions const& options, bool primary)
        : source{settings(primary || options.scan_dsn.empty() ? route.source_dsn : options.scan_dsn, options)}, target{settings(route.target_dsn, options)} {
        // Several readers share the load on purpose: parallel plans below them would take more than was asked for.
        for (auto* const session : {&source, &target})
            session->run("SET jit = off; SET max_parallel_workers_per_gather = 0; SET work_mem = '16MB'");
        patient(source);
        patient(target);
    }
    static pg::SessionSettings settings(std::string dsn, AcrossOptions const& options) {
        return {.dsn = std::move(dsn), .purpose = "verify", .statement_timeout = options.snapshot_limit + statement_grace};
    }

    // Runs `work` in transactions with the moment's snapshots. Their locks on tables end with it.
    void at(Moment const& moment, std::function<void(verify::TwoSessions const&)> const& work) {
        pg::Transaction here{source, pg::Isolation::repeatable_read, pg::Access::read_only};
        pg::Transaction there{target, pg::Isolation::repeatable_read, pg::Access::read_only};
        source.run("SET TRANSACTION SNAPSHOT " + sql::literal(moment.source_id));
        target.run("SET TRANSACTION SNAPSHOT " + sql::literal(moment.target_id));
        work({source, target});
    }
    void cancel() noexcept {
        source.cancel();
        target.cancel();
    }
};

struct Unit {
    std::size_t table = 0;
    AcrossScope scope;
    std::vector<Key> bounds;
};

struct Table {
    model::TableVerification result;
    std::optional<AcrossShape> shape; // as of the moment
    std::vector<Key> doubted;         // at the moment: left out
    std::size_t units = 0;
    std::size_t units_done = 0;
    std::set<Key> known; // differences counted, bounded
    [[nodiscard]] bool failed() const { return !result.why.empty(); }
};

double seconds(Clock::time_point since) { return std::chrono::duration<double>(Clock::now() - since).count(); }

class Run {
public:
    Run(Context& context, Route const& route, sync::Mapping const& mapping, std::vector<model::TablePair> const& pairs, AcrossOptions const& options,
        verify::CompareEvents const& events, AcrossFound const& found)
        : context_{context}, route_{route}, pairs_{pairs}, options_{options}, events_{events}, found_{found},
          moments_{context, route, mapping, options.moments, options.scan_dsn}, plain_source_{route.source("verify")},
          touched_{plain_source_, pairs, mapping, route.name}, first_{route, options, false}, primary_{route, options, true},
          hash_{verify::common_hash(first_.source, first_.target)} {
        if (options.compare.max_active_sessions) {
            for (auto* const session : {&plain_source_, &primary_.target}) {
                // Without this right pg_stat_activity shows other roles' sessions without their state.
                if (!session->one(Sql{"SELECT pg_has_role('pg_read_all_stats', 'USAGE') AS yes"}).boolean("yes"))
                    throw Error{base::Exit::usage, "load-unknown", fmt::format("this role cannot see how many sessions are active ({})", session->describe()),
                                "GRANT pg_read_all_stats TO it, or leave out the limit on the load"};
            }
        }
        tables_.resize(pairs.size());
        for (std::size_t i = 0; i < pairs.size(); ++i) {
            tables_[i].result.source = pairs[i].source;
            tables_[i].result.target = pairs[i].target;
        }
    }

    AcrossOutcome go() {
        std::optional<base::Lsn> since = options_.since;
        for (bool first = true; first || !units_.empty(); first = false) {
            auto const moment = whole_moment();
            if (first && since && !covered(moment, *since))
                since.reset();
            if (first)
                everything_ = !since;
            proven(moment);
            open(moment, first);
            // What was compared before, or proven by an earlier verification, and was touched since or is in doubt still.
            if (since)
                look_again(first_, moment, together(touched_at(moment, *since), pending_), doubt_);
            pending_ = doubt_;
            since = moment.at;
            work(moment);
            if (stopped())
                break;
        }
        if (!stopped())
            settle();
        return finish();
    }
    AcrossOutcome only(TouchedByTable keys) {
        everything_ = false;
        pending_ = std::move(keys);
        settle();
        return finish();
    }
    [[noreturn]] void too_much() const {
        throw Error{base::Exit::not_proven, "not-proven",
                    fmt::format("more than {} rows were written between two snapshots of {}", options_.max_touched, base::format_duration(options_.snapshot_limit)),
                    "try again when the source is less busy, or tables one by one with --tables"};
    }

private:
    [[nodiscard]] bool stopped() const { return !stop_reason_.empty(); }

    // ---- moments

    // With few enough rows in doubt.
    Moment whole_moment() {
        for (int tries = 1;; ++tries) {
            auto moment = moments_.take();
            try {
                doubt_ = touched_.read(*moment.target, {}, most_in_doubt, [&](sync::Touched const& line) { return moment.doubts(line); });
                return moment;
            } catch (TouchedReader::TooMany const&) {
                if (tries == 10)
                    throw Error{base::Exit::not_proven, "not-proven", fmt::format("more than {} rows are always being written", most_in_doubt),
                                "try again when the source is less busy"};
                context_.interrupt.wait_for(base::Millis{500});
                context_.interrupt.check();
            }
        }
    }

    bool covered(Moment const& moment, base::Lsn since) {
        if (!sync::touched_since(*moment.target, route_.name, since))
            return false;
        try {
            (void)touched_at(moment, since);
            return true;
        } catch (TouchedReader::TooMany const&) {
            return false;
        }
    }

    TouchedByTable touched_at(Moment const& moment, base::Lsn since) {
        return touched_.read(*moment.target, since, options_.max_touched);
    }

    static TouchedByTable together(TouchedByTable rows, TouchedByTable const& more) {
        for (auto const& [i, touched] : more) {
            rows[i].keys.insert(touched.keys.begin(), touched.keys.end());
            rows[i].all = rows[i].all || touched.all;
        }
        return rows;
    }

    void proven(Moment const& moment) {
        lsn_ = moment.at;
        time_ = moment.time;
    }

    // ---- what is to be done

    void open(Moment const& moment, bool first) {
        for (std::size_t i = 0; i < tables_.size(); ++i) {
            auto& table = tables_[i];
            if (table.failed())
                continue;
            guarded(table, [&] {
                first_.at(moment, [&](verify::TwoSessions const& sessions) {
                    table.shape = verify::read_across(sessions.source, sessions.target, pairs_[i], hash_);
                    table.doubted.clear();
                    if (auto const doubted = doubt_.find(i); doubted != doubt_.end()) {
                        if (doubted->second.all)
                            throw Incomparable{"it was truncated when it was to be compared"};
                        table.doubted = ordered_keys(*table.shape, pairs_[i], doubted->second.keys);
                    }
                    if (first)
                        everything_ ? cut(sessions, i) : cut_share(sessions, i);
                    verify::check_unchanged(sessions, *table.shape);
                });
            });
        }
        // A long one first: it may be the longest piece of all.
        if (first)
            std::ranges::stable_sort(units_, [&](Unit const& a, Unit const& b) { return weight(a) > weight(b); });
    }

    double weight(Unit const& unit) const {
        return unit.bounds.empty() ? tables_[unit.table].shape->rows[tables_[unit.table].shape->bigger()] / unit.scope.parts
                                   : static_cast<double>(unit.bounds.size()) * options_.bucket_rows;
    }

    void add(Unit unit) {
        unit.scope.where = options_.compare.where;
        ++tables_[unit.table].units;
        units_.push_back(std::move(unit));
    }

    void cut(verify::TwoSessions const& sessions, std::size_t i) {
        auto const& shape = *tables_[i].shape;
        if (!shape.ranged) {
            double const fits = std::max(1.0, rows_per_second * static_cast<double>(options_.snapshot_limit.count()) / 1000.0 / 2);
            int const parts = static_cast<int>(std::clamp(std::ceil(shape.rows[shape.bigger()] / fits), 1.0, 1000.0));
            for (int part = 0; part < parts; ++part)
                add({i, {.parts = parts, .part = part}, {}});
            return;
        }
        add_ranges(i, {}, verify::across_bounds(sessions, shape, options_.bucket_rows, options_.compare.where));
    }

    // Units of about unit_rows within a range that the bounds divide.
    void add_ranges(std::size_t i, verify::Range const& whole, std::vector<Key> const& bounds) {
        auto const step = static_cast<std::size_t>(std::max(1.0, options_.unit_rows / options_.bucket_rows));
        auto range = whole;
        for (std::size_t from = 0;; from += step) {
            bool const last = from + step >= bounds.size();
            Unit unit{i, {}, {bounds.begin() + static_cast<std::ptrdiff_t>(std::min(from, bounds.size())),
                              last ? bounds.end() : bounds.begin() + static_cast<std::ptrdiff_t>(from + step)}};
            unit.scope.range = range;
            unit.scope.range.up_to = whole.up_to;
            if (!last) { // its last bound is its end
                unit.scope.range.up_to = unit.bounds.back();
                range.after = unit.bounds.back();
                unit.bounds.pop_back();
            }
            add(std::move(unit));
            if (last)
                return;
        }
    }

    // The share whose turn it is.
    void cut_share(verify::TwoSessions const& sessions, std::size_t i) {
        auto const& shape = *tables_[i].shape;
        auto const name = pairs_[i].source.quoted();
        auto const turn = options_.turns.find(name);
        auto const place = turn == options_.turns.end() ? std::vector<std::string>{} : pg::parse_array(turn->second);
        if (options_.share <= 0)
            return;
        if (!shape.ordered) {
            int from = 0;
            if (place.size() == 2 && place[0] == "part")
                std::from_chars(place[1].data(), place[1].data() + place[1].size(), from);
            int const count = static_cast<int>(std::clamp(std::ceil(options_.share * turn_parts), 1.0, static_cast<double>(turn_parts)));
            for (int n = 0; n < count; ++n)
                add({i, {.parts = turn_parts, .part = (from + n) % turn_parts}, {}});
            turns_[name] = pg::format_array({"part", std::to_string((from + count) % turn_parts)});
            return;
        }
        verify::Range range;
        if (place.size() == shape.key.size() + 1 && place[0] == "key")
            range.after = Key{place.begin() + 1, place.end()};
        auto const rows = static_cast<long long>(std::ceil(std::max(options_.bucket_rows, options_.share * shape.rows[Side::source])));
        auto next = verify::next_rows(sessions, shape, range.after, rows, static_cast<long long>(options_.bucket_rows));
        std::vector<std::string> then;
        if (!next.end) {
            range.up_to = next.bounds.back();
            next.bounds.pop_back();
            then = *range.up_to;
            then.insert(then.begin(), "key");
        }
        turns_[name] = pg::format_array(then); // empty: from the beginning
        add_ranges(i, range, next.bounds);
    }

    // ---- doing it

    // Differences come from several threads.
    void count(std::size_t i, AcrossCounts const& counts) {
        std::lock_guard const lock{mutex_};
        tables_[i].result.rows += counts.rows;
    }

    void found(verify::TwoSessions const& sessions, std::size_t i, Difference const& difference) {
        std::unique_lock lock{mutex_};
        auto& table = tables_[i];
        if (table.known.contains(difference.key))
            return;
        if (remembered_ < most_remembered) {
            table.known.insert(difference.key);
            ++remembered_;
        }
        auto& result = table.result;
        (difference.kind == model::FindingKind::missing ? result.missing : difference.kind == model::FindingKind::extra ? result.extra : result.different) += 1;
        if (found_)
            found_(i, *table.shape, difference);
        if (result.samples.size() >= options_.compare.max_samples)
            return;
        auto finding = verify::to_finding(*table.shape, difference);
        if (options_.compare.show_values) {
            lock.unlock();
            verify::add_values(sessions, *table.shape, difference, finding);
            lock.lock();
        }
        result.samples.push_back(std::move(finding));
    }

    // What goes wrong with one table leaves the others to go on.
    template <class Work>
    void guarded(Table& table, Work const& work) {
        auto const failed = [&](std::string why) {
            std::lock_guard const lock{mutex_};
            if (table.result.why.empty())
                table.result.why = std::move(why);
        };
        try {
            work();
        } catch (Incomparable const& e) {
            failed(e.what());
        } catch (pg::SqlError const& e) {
            if (stopping_)
                return; // cancelled by us
            failed(fmt::format("{} ({})", e.message().substr(0, e.message().find('\n')), e.sqlstate()));
        }
    }

    std::optional<Unit> take() {
        std::lock_guard const lock{mutex_};
        if (stopping_ || holding_)
            return std::nullopt;
        while (!units_.empty()) {
            auto unit = std::move(units_.front());
            units_.pop_front();
            if (!tables_[unit.table].failed())
                return unit;
        }
        return std::nullopt;
    }

    void run_unit(Reader& reader, Moment const& moment, Unit unit) {
        auto& table = tables_[unit.table];
        guarded(table, [&] {
            reader.at(moment, [&](verify::TwoSessions const& sessions) {
                unit.scope.without = &table.doubted;
                auto const counts = verify::compare_scope(sessions, *table.shape, unit.scope, unit.bounds,
                                                          [&](Difference const& difference) { found(sessions, unit.table, difference); });
                verify::check_unchanged(sessions, *table.shape);
                count(unit.table, counts);
                std::lock_guard const lock{mutex_};
                ++table.units_done;
            });
        });
    }

    // Units until none is left, or the snapshots are old.
    void work(Moment const& moment) {
        auto const begin = Clock::now();
        auto const old = begin + options_.snapshot_limit;
        auto const count = static_cast<std::size_t>(std::max(1, options_.compare.workers == 0 ? 2 : options_.compare.workers));
        while (readers_.size() < std::min(count, std::max<std::size_t>(1, units_.size())))
            readers_.push_back(std::make_unique<Reader>(route_, options_, false));
        std::atomic<std::size_t> running = readers_.size();
        std::exception_ptr crash;
        std::vector<std::jthread> threads;
        std::condition_variable ended;
        for (auto const& reader : readers_) {
            threads.emplace_back([&, &own = *reader] {
                try {
                    // At least one unit a snapshot, so that it goes on however short its life is.
                    for (bool first = true; first || Clock::now() < old; first = false) {
                        if (holding_ && !stopping_) {
                            std::this_thread::sleep_for(std::chrono::milliseconds{20});
                            continue;
                        }
                        auto unit = take();
                        if (!unit && !holding_)
                            break;
                        if (unit)
                            run_unit(own, moment, *std::move(unit));
                        if (options_.compare.pause.count() > 0)
                            std::this_thread::sleep_for(options_.compare.pause);
                    }
                } catch (...) {
                    std::lock_guard const lock{mutex_};
                    crash = std::current_exception();
                    stopping_ = true;
                }
                std::lock_guard const lock{mutex_};
                --running;
                ended.notify_all();
            });
        }
        for (std::unique_lock lock{mutex_}; running > 0;) {
            ended.wait_for(lock, std::chrono::milliseconds{100});
            lock.unlock();
            supervise();
            if (stopping_) {
                for (auto const& reader : readers_)
                    reader->cancel();
            }
            lock.lock();
        }
        threads.clear();
        if (crash)
            std::rethrow_exception(crash);
    }

    void supervise() {
        report();
        if (options_.compare.max_active_sessions)
            holding_ = busy() > *options_.compare.max_active_sessions;
        if (events_.interrupted && events_.interrupted()) {
            interrupted_ = true;
            stop("interrupted");
        } else if (options_.compare.max_duration && Clock::now() - begin_ >= *options_.compare.max_duration) {
            stop(fmt::format("the time allowed ({}) was used up", base::format_duration(*options_.compare.max_duration)));
        }
    }

    void stop(std::string why) {
        if (stop_reason_.empty())
            stop_reason_ = std::move(why);
        stopping_ = true;
    }

    // Active sessions of others on the busier of the two servers.
    long long busy() {
        long long most = 0;
        for (auto* const session : {&plain_source_, &primary_.target}) {
            auto const row = session->one(Sql{"SELECT count(*) AS n FROM pg_stat_activity WHERE state = 'active' AND backend_type = 'client backend'"
                                              " AND pid <> pg_backend_pid() AND application_name NOT LIKE 'pgcarve %'"});
            most = std::max(most, row.integer("n"));
        }
        return most;
    }

    void report() {
        if (!events_.progress)
            return;
        verify::CompareProgress now;
        now.tables = tables_.size();
        now.holding = holding_;
        std::lock_guard const lock{mutex_};
        for (auto const& table : tables_) {
            now.tables_done += table.failed() || (table.units > 0 && table.units == table.units_done) ? 1U : 0U;
            now.rows_done += table.result.rows;
            now.rows_estimated += table.shape && everything_ ? std::max(static_cast<double>(table.result.rows), table.shape->rows[Side::source])
                                                             : static_cast<double>(table.result.rows);
            now.differences += table.result.missing + table.result.extra + table.result.different;
        }
        now.rows_per_second = static_cast<double>(now.rows_done) / std::max(0.001, seconds(begin_));
        events_.progress(now);
    }

    // ---- rows by their keys

    // Compares these but for those in doubt.
    void look_again(Reader& reader, Moment const& moment, TouchedByTable const& rows, TouchedByTable const& doubt) {
        for (auto const& [i, touched] : rows) {
            auto& table = tables_[i];
            if (table.failed())
                continue;
            auto const number = i;
            guarded(table, [&] {
                if (touched.all)
                    throw Incomparable{"it was truncated since it was compared"};
                auto left = touched.keys;
                if (auto const doubted = doubt.find(number); doubted != doubt.end()) {
                    for (auto const& key : doubted->second.keys)
                        left.erase(key);
                }
                reader.at(moment, [&](verify::TwoSessions const& sessions) {
                    table.shape = verify::read_across(sessions.source, sessions.target, pairs_[number], hash_);
                    auto const keys = ordered_keys(*table.shape, pairs_[number], left);
                    for (std::size_t from = 0; from < keys.size(); from += keys_at_a_time) {
                        std::vector<Key> const some{keys.begin() + static_cast<std::ptrdiff_t>(from),
                                                    keys.begin() + static_cast<std::ptrdiff_t>(std::min(keys.size(), from + keys_at_a_time))};
                        auto const counts = verify::compare_keys(sessions, *table.shape, some, options_.compare.where,
                                                                 [&](Difference const& difference) { found(sessions, number, difference); });
                        if (!everything_)
                            count(number, counts);
                        supervise();
                        if (stopping_)
                            return;
                    }
                    verify::check_unchanged(sessions, *table.shape);
                });
            });
        }
    }

    // Rows in doubt, at one moment after another, until none is left.
    void settle() {
        auto const deadline = Clock::now() + options_.doubt_limit;
        while (!pending_.empty()) {
            context_.interrupt.check();
            auto const moment = moments_.take(true);
            if (lsn_.value == 0)
                proven(moment);
            std::vector<wire::TransactionId> unseen;
            TouchedByTable doubt;
            try {
                doubt = touched_.read(*moment.target, {}, most_in_doubt, [&](sync::Touched const& line) {
                    if (!moment.doubts(line))
                        return false;
                    std::ranges::copy_if(line.xids, std::back_inserter(unseen), [&](auto const xid) { return !moment.seen.sees(xid); });
                    return true;
                });
            } catch (TouchedReader::TooMany const&) {
                context_.interrupt.wait_for(base::Millis{200});
                if (Clock::now() < deadline)
                    continue;
            }
            look_again(primary_, moment, pending_, doubt);
            TouchedByTable left;
            for (auto const& [i, touched] : pending_) {
                auto const doubted = doubt.find(i);
                if (doubted == doubt.end() || tables_[i].failed())
                    continue;
                for (auto const& key : touched.keys) {
                    if (doubted->second.keys.contains(key))
                        left[i].keys.insert(key);
                }
            }
            pending_ = std::move(left);
            if (!pending_.empty() && Clock::now() > deadline) {
                auto const why = fmt::format("rows were still being written when {} were over{}", base::format_duration(options_.doubt_limit), describe(unseen));
                for (auto const& [i, touched] : pending_)
                    tables_[i].result.why = fmt::format("{} {}", touched.keys.size(), why);
                pending_.clear();
            }
            supervise();
            if (stopping_)
                return;
        }
    }

    // Who has committed, but is not seen by others yet: it waits for a standby, for instance.
    std::string describe(std::vector<wire::TransactionId> const& xids) {
        std::vector<std::string> numbers;
        for (auto const xid : xids)
            numbers.push_back(std::to_string(xid.value));
        auto const row = plain_source_.maybe_one(
            Sql{"SELECT pid, usename::text AS usename, application_name, coalesce(wait_event, state) AS does,"
                " extract(epoch FROM clock_timestamp() - xact_start)::bigint AS seconds FROM pg_stat_activity WHERE backend_xid::text = ANY ("}
                .bind(pg::format_array(numbers))
                .add("::text[]) ORDER BY xact_start LIMIT 1"));
        if (!row)
            return {};
        return fmt::format("; the longest by process {} ({}, {}; {} for {}s)", row->integer("pid"), row->maybe("usename").value_or("?"),
                           row->text("application_name"), row->maybe("does").value_or("?"), row->maybe("seconds").value_or("?"));
    }

    // ---- the end

    AcrossOutcome finish() {
        AcrossOutcome outcome;
        auto& all = outcome.verification;
        for (std::size_t i = 0; i < tables_.size(); ++i) {
            auto& table = tables_[i];
            auto& result = table.result;
            bool const differs = result.missing + result.extra + result.different > 0;
            bool const whole = !table.failed() && table.units_done == table.units && !stopped();
            if (!whole && result.why.empty())
                result.why = fmt::format("{} after {} of {} pieces", stop_reason_, table.units_done, table.units);
            // A difference that was seen is proven, however much was not looked at; `why` still says that.
            result.verdict = differs ? model::Verdict::different : whole ? model::Verdict::clean : model::Verdict::incomplete;
            if (!whole)
                turns_.erase(pairs_[i].source.quoted());
            all.tables.push_back(std::move(result));
        }
        all.service = route_.service;
        all.verdict = model::overall(all.tables);
        all.mode = everything_ ? "full" : "incremental";
        all.proven_lsn = lsn_;
        all.proven_time = time_;
        all.seconds = seconds(begin_);
        outcome.turns = std::move(turns_);
        outcome.interrupted = interrupted_;
        outcome.everything = everything_;
        return outcome;
    }

    Context& context_;
    Route const& route_;
    std::vector<model::TablePair> const& pairs_;
    AcrossOptions const& options_;
    verify::CompareEvents const& events_;
    AcrossFound const& found_;
    Moments moments_;
    pg::Session plain_source_;
    TouchedReader touched_;
    Reader first_;
    Reader primary_; // where rows in doubt are settled: what a standby says of them comes later
    verify::RowHash hash_;
    std::vector<std::unique_ptr<Reader>> readers_;

    Clock::time_point begin_ = Clock::now();
    std::mutex mutex_;
    std::deque<Unit> units_;
    std::vector<Table> tables_;
    std::size_t remembered_ = 0;
    TouchedByTable doubt_;   // at the moment
    TouchedByTable pending_; // to be looked at again
    std::map<std::string, std::string> turns_;
    std::atomic<bool> stopping_{false};
    std::atomic<bool> holding_{false};
    std::string stop_reason_;
    bool interrupted_ = false;
    bool everything_ = true;
    base::Lsn lsn_{};
    std::string time_;
};

} // namespace

std::vector<Key> ordered_keys(AcrossShape const& shape, model::TablePair const& pair, std::set<Key> const& keys) {
    std::vector<std::size_t> order;
    for (auto const& part : shape.key) {
        auto const at = std::ranges::find(pair.key, shape.columns[part.column].name);
        if (at == pair.key.end())
            base::bug("the key of " + pair.source.display() + " is not the one it was");
        order.push_back(static_cast<std::size_t>(at - pair.key.begin()));
    }
    std::vector<Key> all;
    all.reserve(keys.size());
    for (auto const& key : keys) {
        Key ordered;
        for (auto const at : order)
            ordered.push_back(key[at]);
        all.push_back(std::move(ordered));
    }
    return all;
}

AcrossOutcome verify_across(Context& context, Route const& route, sync::Mapping const& mapping, std::vector<model::TablePair> const& pairs,
                            AcrossOptions const& options, verify::CompareEvents const& events, AcrossFound const& found) {
    Run run{context, route, mapping, pairs, options, events, found};
    try {
        return run.go();
    } catch (TouchedReader::TooMany const&) {
        run.too_much();
    }
}

AcrossOutcome verify_keys(Context& context, Route const& route, sync::Mapping const& mapping, std::vector<model::TablePair> const& pairs,
                          TouchedByTable const& keys, AcrossOptions const& options, verify::CompareEvents const& events) {
    AcrossFound const nobody;
    return Run{context, route, mapping, pairs, options, events, nobody}.only(keys);
}

} // namespace pgcarve::run
