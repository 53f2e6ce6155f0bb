#include "run/across_verification.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include <fmt/format.h>

#include "run/across_reader.hpp"
#include "run/across_tables.hpp"
#include "run/across_units.hpp"

namespace pgcarve::run {

using base::Error;
using sql::Sql;
using verify::AcrossShape;
using verify::Difference;
using verify::Incomparable;
using verify::Key;
using verify::Side;
using Clock = std::chrono::steady_clock;

namespace {

constexpr std::size_t keys_at_a_time = 5'000;
constexpr std::size_t most_in_doubt = 50'000; // keys at one moment; beyond them, another one is taken

double seconds(Clock::time_point since) { return std::chrono::duration<double>(Clock::now() - since).count(); }

// What is in doubt at a moment, and the position from which on everything has to be looked at again that a comparison
// at this moment left out, or that came later.
struct Doubts {
    TouchedByTable rows;
    base::Lsn from;
};

class Run {
public:
    Run(Context& context, Route const& route, sync::Mapping const& mapping, std::vector<model::TablePair> const& pairs, AcrossOptions const& options,
        verify::CompareEvents const& events, AcrossFound const& found)
        : context_{context}, route_{route}, pairs_{pairs}, options_{options}, events_{events},
          moments_{context, route, mapping, options.moments, options.scan_dsn}, plain_source_{route.source("verify")},
          touched_{plain_source_, pairs, mapping, route.name}, hash_{verify::RowHash::array}, tables_{pairs, options.compare, found} {
        readers_.push_back(std::make_unique<Reader>(route, options, false));
        hash_ = verify::common_hash(first().source(), first().target());
        if (options.compare.max_active_sessions) {
            for (auto* const session : {&plain_source_, &primary().target()}) {
                // Without this right pg_stat_activity shows other roles' sessions without their state.
                if (!session->one(Sql{"SELECT pg_has_role('pg_read_all_stats', 'USAGE') AS yes"}).boolean("yes"))
                    throw Error{base::Exit::usage, "load-unknown", fmt::format("this role cannot see how many sessions are active ({})", session->describe()),
                                "GRANT pg_read_all_stats TO it, or leave out the limit on the load"};
            }
        }
        if (options.shared == nullptr) {
            ranges_ = std::make_unique<OwnRanges>();
            return;
        }
        std::vector<std::string> names;
        for (auto const& pair : pairs)
            names.push_back(pair.source.quoted());
        ranges_ = std::make_unique<SharedRanges>(*options.shared, std::move(names), options.compare.resume_within, options.compare.fresh, [&context] {
            context.interrupt.wait_for(base::Millis{50});
            context.interrupt.check();
        });
    }

    AcrossOutcome go() {
        for (bool first = true;; first = false) {
            auto const moment = whole_moment();
            lsn_ = moment.at;
            time_ = moment.time;
            open(moment);
            if (first)
                begin(moment);
            else
                ranges_->forget_before(sync::touched_from(*moment.target, route_.name));
            auto held = look_again_since(moment, first);
            work(moment, held);
            pending_ = doubts_.rows;
            if (stopped() || over(moment, held))
                break;
            wait_for_others();
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
    Reader& first() { return *readers_.front(); }
    // Where rows in doubt are settled: what a standby says of them comes later.
    Reader& primary() {
        if (options_.scan_dsn.empty())
            return first();
        if (!primary_)
            primary_ = std::make_unique<Reader>(route_, options_, true);
        return *primary_;
    }

    // ---- moments

    Doubts read_doubts(Moment const& moment, std::vector<wire::TransactionId>* unseen = nullptr) {
        Doubts doubts{{}, moment.at};
        doubts.rows = touched_.read(*moment.target, {}, most_in_doubt, [&](sync::Touched const& line) {
            if (!moment.doubts(line))
                return false;
            doubts.from = std::min(doubts.from, base::Lsn{line.at.value - 1});
            if (unseen != nullptr)
                std::ranges::copy_if(line.xids, std::back_inserter(*unseen), [&](auto const xid) { return !moment.seen.sees(xid); });
            return true;
        });
        return doubts;
    }

    // With few enough rows in doubt.
    Moment whole_moment() {
        for (int tries = 1;; ++tries) {
            auto moment = moments_.take();
            try {
                doubts_ = read_doubts(moment);
                bool const truncating = std::ranges::any_of(doubts_.rows, [](auto const& rows) { return rows.second.all; });
                if (!truncating || tries >= 10)
                    return moment;
            } catch (TouchedReader::TooMany const&) {
                if (tries >= 10)
                    throw Error{base::Exit::not_proven, "not-proven", fmt::format("more than {} rows are always being written", most_in_doubt),
                                "try again when the source is less busy"};
            }
            context_.interrupt.wait_for(base::Millis{500});
            context_.interrupt.check();
        }
    }

    // ---- what is to be done

    void open(Moment const& moment) {
        for (std::size_t i = 0; i < tables_.size(); ++i) {
            if (tables_[i].failed())
                continue;
            guarded(i, [&] {
                first().at(moment, [&](verify::TwoSessions const& sessions) {
                    auto& table = tables_[i];
                    table.shape = verify::read_across(sessions.source, sessions.target, pairs_[i], hash_);
                    table.doubted.clear();
                    if (auto const doubted = doubts_.rows.find(i); doubted != doubts_.rows.end()) {
                        if (doubted->second.all)
                            throw Incomparable{"it was truncated when it was to be compared"};
                        table.doubted = ordered_keys(*table.shape, pairs_[i], doubted->second.keys);
                    }
                });
            });
        }
    }

    // Takes up what there is, or cuts the tables.
    void begin(Moment const& moment) {
        auto const from = sync::touched_from(*moment.target, route_.name);
        if (options_.since && from && *from <= *options_.since) {
            try {
                since_last_ = touched_.read(*moment.target, *options_.since, options_.max_touched);
            } catch (TouchedReader::TooMany const&) { // NOLINT(bugprone-empty-catch)
                // Then everything is compared.
            }
        }
        everything_ = !since_last_;
        if (ranges_->attach(from)) {
            std::size_t done = 0;
            auto const states = ranges_->state();
            for (auto const& state : states) {
                ++tables_[state.table].units;
                if (state.proof) {
                    ++done;
                    ++tables_[state.table].units_done;
                    taken_up_.insert(state.n);
                }
            }
            context_.events.info(fmt::format("a verification that has begun already: {} of its {} pieces are proven", done, states.size()));
            return;
        }
        std::vector<Unit> units;
        CutSizes const sizes{options_.bucket_rows, options_.unit_rows, options_.snapshot_limit};
        for (std::size_t i = 0; i < tables_.size(); ++i) {
            auto& table = tables_[i];
            std::vector<Unit> own{Unit{i, {}, {}}}; // of one that cannot be cut: others may be able to compare it, or say why not
            if (!table.failed()) {
                guarded(i, [&] {
                    first().at(moment, [&](verify::TwoSessions const& sessions) {
                        bool const truncated = since_last_ && since_last_->contains(i) && since_last_->at(i).all;
                        if (everything_ || truncated) {
                            own = cut(sessions, i, *table.shape, options_.compare.where, sizes);
                        } else {
                            own.clear();
                            if (options_.share > 0) {
                                auto const name = pairs_[i].source.quoted();
                                auto const turn = options_.turns.find(name);
                                auto share = cut_share(sessions, i, *table.shape, options_.share, turn == options_.turns.end() ? "" : turn->second, sizes);
                                own = std::move(share.units);
                                turns_[name] = std::move(share.next);
                            }
                        }
                        verify::check_unchanged(sessions, *table.shape);
                    });
                });
            }
            table.units = own.size();
            std::ranges::move(own, std::back_inserter(units));
        }
        // A long one first: it may be the longest piece of all.
        std::ranges::stable_sort(units, [&](Unit const& a, Unit const& b) { return weight(a) > weight(b); });
        ranges_->begin(std::move(units));
    }

    double weight(Unit const& unit) {
        auto const& shape = tables_[unit.table].shape;
        if (!shape)
            return 0;
        return unit.bounds.empty() ? shape->rows[shape->bigger()] / unit.scope.parts : static_cast<double>(unit.bounds.size()) * options_.bucket_rows;
    }

    // What was compared at an earlier moment, or proven by an earlier verification, and was touched since or is in doubt
    // still. Returns the pieces that hold at this moment then.
    std::set<int> look_again_since(Moment const& moment, bool first_time) {
        std::set<int> held;
        std::optional<base::Lsn> since;
        for (auto const& state : ranges_->state()) {
            if (!state.proof)
                continue;
            held.insert(state.n);
            since = std::min(since.value_or(state.proof->from), state.proof->from);
        }
        TouchedByTable touched = pending_;
        if (first_time && since_last_)
            touched = std::move(*since_last_);
        if (since) {
            try {
                for (auto& [i, rows] : touched_.read(*moment.target, *since, options_.max_touched)) {
                    touched[i].keys.merge(rows.keys);
                    touched[i].all = touched[i].all || rows.all;
                }
            } catch (TouchedReader::TooMany const&) {
                if (!first_time)
                    throw;
                // It is cheaper to compare everything again.
                context_.events.info("too much was written since: everything is compared");
                ranges_->forget_before(std::nullopt);
                taken_up_.clear();
                held.clear();
            }
        }
        for (auto& [i, rows] : touched) {
            if (!rows.all)
                continue;
            // Of a table that was truncated nothing is proven. Where all of it is compared, that is done again, or was not begun yet.
            if (everything_ || first_time) {
                if (everything_)
                    ranges_->forget_table(i);
                rows = {};
            }
        }
        if (everything_)
            keep_proven(held);
        bool const nothing_found = look_again(first(), moment, touched, doubts_.rows);
        if (nothing_found && !stopped())
            ranges_->raise({held.begin(), held.end()}, doubts_.from, moment.at);
        return held;
    }
    // Leaves what is proven still.
    void keep_proven(std::set<int>& held) {
        if (held.empty())
            return;
        std::set<int> left;
        for (auto const& state : ranges_->state()) {
            if (state.proof && held.contains(state.n))
                left.insert(state.n);
        }
        held = std::move(left);
    }

    // Whether every piece holds at the moment.
    bool over(Moment const& moment, std::set<int> const& held) {
        return std::ranges::all_of(ranges_->state(), [&](Ranges::State const& state) {
            return tables_[state.table].failed() || (state.proof && state.proof->at <= moment.at && held.contains(state.n));
        });
    }

    // Until there is something to do here, or nobody has anything to do.
    void wait_for_others() {
        bool told = false;
        for (;;) {
            supervise();
            if (stopped())
                return;
            std::size_t open = 0;
            for (auto const& state : ranges_->state()) {
                if (!tables_[state.table].failed() && !state.proof)
                    ++open;
            }
            if (open == 0)
                return;
            if (auto const unit = ranges_->take(tables_.failed())) {
                ranges_->let_go(*unit);
                return;
            }
            if (!std::exchange(told, true))
                context_.events.info(fmt::format("other processes compare the last {} pieces", open));
            context_.interrupt.wait_for(base::Millis{300});
        }
    }

    // ---- doing it

    // What goes wrong with one table leaves the others to go on. False: it did.
    template <class Work>
    bool guarded(std::size_t i, Work const& work) {
        try {
            work();
            return true;
        } catch (Incomparable const& e) {
            tables_.fail(i, e.what());
        } catch (pg::SqlError const& e) {
            if (!stopping_) // else cancelled by us
                tables_.fail(i, fmt::format("{} ({})", e.message().substr(0, e.message().find('\n')), e.sqlstate()));
        }
        return false;
    }

    void run_unit(Reader& reader, Moment const& moment, Unit const& unit, std::set<int>& held) {
        auto& table = tables_[unit.table];
        Proof proof{doubts_.from, moment.at, {}, {}, {}};
        bool const done = guarded(unit.table, [&] {
            reader.at(moment, [&](verify::TwoSessions const& sessions) {
                auto scope = unit.scope;
                scope.where = options_.compare.where;
                scope.without = &table.doubted;
                proof.counts = verify::compare_scope(sessions, *table.shape, scope, unit.bounds, [&](Difference const& difference) {
                    if (auto finding = tables_.found(sessions, unit.table, difference, proof.found.size()))
                        proof.found.push_back(std::move(*finding));
                });
                verify::check_unchanged(sessions, *table.shape);
            });
        });
        if (!done)
            return ranges_->let_go(unit);
        bool const counts = ranges_->prove(unit, proof);
        tables_.progress(unit.table, proof.counts);
        std::lock_guard const lock{mutex_};
        ++table.units_done;
        if (counts)
            held.insert(unit.n);
    }

    // Units until none is left, or the snapshots are old.
    void work(Moment const& moment, std::set<int>& held) {
        auto const old = Clock::now() + options_.snapshot_limit;
        auto const count = static_cast<std::size_t>(std::max(1, options_.compare.workers == 0 ? 2 : options_.compare.workers));
        std::atomic<std::size_t> running = count;
        std::exception_ptr crash;
        std::vector<std::jthread> threads;
        std::condition_variable ended;
        readers_.resize(std::max(count, readers_.size()));
        auto const one = [&](std::unique_ptr<Reader>& own) {
            // At least one unit a snapshot, so that it goes on however short its life is.
            for (bool first = true; !stopping_ && (first || Clock::now() < old); first = false) {
                if (holding_) {
                    std::this_thread::sleep_for(std::chrono::milliseconds{20});
                    continue;
                }
                auto const unit = ranges_->take(tables_.failed());
                if (!unit)
                    break;
                if (!own) {
                    auto made = std::make_unique<Reader>(route_, options_, false);
                    std::lock_guard const lock{mutex_};
                    own = std::move(made);
                }
                run_unit(*own, moment, *unit, held);
                if (options_.compare.pause.count() > 0)
                    std::this_thread::sleep_for(options_.compare.pause);
            }
        };
        for (std::size_t i = 0; i < count; ++i) {
            threads.emplace_back([&, i] {
                try {
                    one(readers_[i]);
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
            lock.lock();
            if (stopping_) {
                for (auto const& reader : readers_) {
                    if (reader)
                        reader->cancel();
                }
            }
        }
        threads.clear();
        if (crash)
            std::rethrow_exception(crash);
    }

    void supervise() {
        report();
        if (!stopping_)
            ranges_->alive();
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
        for (auto* const session : {&plain_source_, &watched()}) {
            auto const row = session->one(Sql{"SELECT count(*) AS n FROM pg_stat_activity WHERE state = 'active' AND backend_type = 'client backend'"
                                              " AND pid <> pg_backend_pid() AND application_name NOT LIKE 'pgcarve %'"});
            most = std::max(most, row.integer("n"));
        }
        return most;
    }

    // Of the target, while readers are at work in other threads.
    pg::Session& watched() {
        if (!watched_)
            watched_.emplace(route_.target("verify"));
        return *watched_;
    }

    void report() {
        if (!events_.progress)
            return;
        auto now = tables_.progress(everything_);
        now.holding = holding_;
        now.rows_per_second = static_cast<double>(now.rows_done) / std::max(0.001, seconds(begin_));
        events_.progress(now);
    }

    // ---- rows by their keys

    // Compares these but for those in doubt. Whether no difference was found.
    bool look_again(Reader& reader, Moment const& moment, TouchedByTable const& rows, TouchedByTable const& doubt) {
        bool nothing = true;
        for (auto const& [i, touched] : rows) {
            if (tables_[i].failed() || (touched.keys.empty() && !touched.all))
                continue;
            auto const number = i;
            nothing = guarded(number, [&] {
                if (touched.all)
                    throw Incomparable{"it was truncated since it was compared"};
                auto& table = tables_[number];
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
                                                                 [&](Difference const& difference) { tables_.found_again(sessions, number, difference); });
                        if (!everything_)
                            tables_.again_counted(number, counts.rows);
                        nothing = nothing && counts.clean();
                        supervise();
                        if (stopping_)
                            return;
                    }
                    verify::check_unchanged(sessions, *table.shape);
                });
            }) && nothing;
        }
        return nothing;
    }

    // Rows in doubt, at one moment after another, until none is left.
    void settle() {
        auto const deadline = Clock::now() + options_.doubt_limit;
        while (!pending_.empty()) {
            context_.interrupt.check();
            auto const moment = moments_.take(true);
            if (lsn_.value == 0) {
                lsn_ = moment.at;
                time_ = moment.time;
            }
            std::vector<wire::TransactionId> unseen;
            TouchedByTable doubt;
            try {
                doubt = read_doubts(moment, &unseen).rows;
            } catch (TouchedReader::TooMany const&) {
                context_.interrupt.wait_for(base::Millis{200});
                if (Clock::now() < deadline)
                    continue;
                doubt = pending_; // so it is with all of them, for what is known
            }
            look_again(primary(), moment, pending_, doubt);
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
                    tables_.fail(i, fmt::format("{} {}", touched.keys.size(), why));
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
        auto const states = ranges_->state();
        for (auto const& state : states) {
            if (state.proof && taken_up_.contains(state.n) && !state.proof->time.empty() && (all.oldest_time.empty() || state.proof->time < all.oldest_time))
                all.oldest_time = state.proof->time;
        }
        all.tables = tables_.results(states, stop_reason_);
        for (std::size_t i = 0; i < tables_.size(); ++i) {
            if (!all.tables[i].why.empty())
                turns_.erase(pairs_[i].source.quoted());
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
    Moments moments_;
    pg::Session plain_source_;
    TouchedReader touched_;
    verify::RowHash hash_;
    AcrossTables tables_;
    std::unique_ptr<Ranges> ranges_;
    std::vector<std::unique_ptr<Reader>> readers_;
    std::unique_ptr<Reader> primary_;
    std::optional<pg::Session> watched_;

    Clock::time_point begin_ = Clock::now();
    std::mutex mutex_;
    Doubts doubts_{};        // at the moment
    TouchedByTable pending_; // to be looked at again
    std::optional<TouchedByTable> since_last_; // touched since the last verification
    std::set<int> taken_up_; // pieces that were proven before this process began
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
