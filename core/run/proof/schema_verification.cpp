#include "run/proof/schema_verification.hpp"

#include <algorithm>
#include <set>
#include <thread>

#include <fmt/format.h>

#include "run/proof/crew.hpp"
#include "verify/since.hpp"

namespace pgcarve::run {

using base::Error;
using verify::Key;
using verify::PairShape;
using verify::Snapshot;
using Clock = std::chrono::steady_clock;

namespace {

// What a server compares in a second, at the least: for the size of what has to fit into one snapshot.
constexpr double rows_per_second = 100'000;
constexpr base::Millis statement_grace{60'000}; // a statement that began when the snapshot was about to be old
// Beyond this part of a table's rows, comparing all of it costs less than looking for what was written.
constexpr double worth_a_look = 0.1;
constexpr std::int64_t few = 10'000;
constexpr std::size_t most_of_a_piece = 200; // differences that are remembered, and so not counted twice

std::size_t workers(int wanted) {
    auto const cores = static_cast<int>(std::thread::hardware_concurrency());
    return static_cast<std::size_t>(wanted > 0 ? wanted : std::clamp(cores, 2, 4));
}

std::string key_text(std::optional<Key> const& key) { return key ? pg::format_array(*key) : std::string{}; }

class Run {
public:
    Run(pg::SessionSettings const& settings, std::vector<model::TablePair> const& pairs, SchemaOptions const& options, verify::CompareEvents const& events,
        std::function<void(std::string const&)> const& info)
        : settings_{settings}, pairs_{pairs}, options_{options}, info_{info}, own_session_{settings}, tables_{pairs, options.compare, nobody_},
          watch_{own_session_, options.compare, events, tables_},
          crew_{settings, workers(options.compare.workers), options.compare.snapshot_limit,
                options.compare.snapshot_limit + statement_grace, tables_, watch_}, shapes_(pairs.size()),
          samples_(pairs.size()), dirty_(pairs.size()) {
        if (options.since)
            tables_.only_some();
        if (options.shared == nullptr) {
            auto own = std::make_unique<OwnRanges>();
            own_ranges_ = own.get();
            ranges_ = std::move(own);
            return;
        }
        std::vector<std::string> names;
        for (auto const& pair : pairs)
            names.push_back(pair.source.quoted());
        ranges_ = std::make_unique<SharedRanges>(*options.shared, std::move(names), options.compare.resume_within, options.compare.fresh, [this] { breathe(); });
    }

    SchemaOutcome go() {
        bool taken_up = false;
        for (bool first = true;; first = false) {
            if (!first)
                rest();
            if (stopped())
                break;
            Snapshot const moment{settings_};
            lsn_ = moment.lsn;
            time_ = moment.time;
            horizon_ = moment.horizon;
            held_.clear();
            if (first)
                taken_up = ranges_->attach(base::Lsn{}); // what is on record reaches as far back as one likes
            open(moment, first && !taken_up);
            if (first && taken_up)
                take_up(moment);
            bool const worked = compare_pieces(moment);
            if (stopped())
                break;
            if (anything_left()) {
                wait_for_others();
                if (stopped())
                    break;
                continue;
            }
            // Looking again takes long, too: not with a snapshot that has lived for long. Nor with one that is older than what others
            // have proven meanwhile: what was mended in between would be called equal before it was.
            if ((worked && old(moment) && anything_to_look_at()) || later_elsewhere(moment))
                continue;
            if (look_again(moment) || stopped())
                break;
        }
        return finish();
    }

private:
    [[nodiscard]] bool stopped() const { return watch_.stopping(); }
    [[nodiscard]] bool old(Snapshot const& moment) const { return Clock::now() - moment.taken >= options_.compare.snapshot_limit; }
    // Without a snapshot.
    void rest() {
        while (!stopped() && watch_.pace().rest(Clock::now())) {
            std::this_thread::sleep_for(std::chrono::milliseconds{50});
            supervise();
        }
    }
    void supervise() {
        if (!watch_.stopping())
            ranges_->alive();
        watch_.look();
    }
    void breathe() {
        watch_.look();
        if (watch_.stopping())
            throw Error{base::Exit::unavailable, "interrupted", "stopped before anything was compared: " + watch_.why(), "run it again"};
        std::this_thread::sleep_for(std::chrono::milliseconds{50});
    }

    // ---- what is to be done

    // A task for each table.
    void for_each_table(Snapshot const& moment, std::set<std::size_t> const& which, std::function<void(pg::Session&, std::size_t)> const& work) {
        std::mutex mutex;
        auto next = which.begin();
        crew_.run(
            moment,
            [&]() -> std::optional<Crew::Task> {
                std::lock_guard const lock{mutex};
                if (next == which.end())
                    return std::nullopt;
                auto const i = *next++;
                return Crew::Task{i, [&work, i](pg::Session& session) { work(session, i); }};
            },
            [this] { supervise(); });
    }
    [[nodiscard]] std::set<std::size_t> usable() {
        std::set<std::size_t> all;
        auto const failed = tables_.failed();
        for (std::size_t i = 0; i < pairs_.size(); ++i) {
            if (!failed.contains(i))
                all.insert(i);
        }
        return all;
    }

    // Reads the tables' shapes, and cuts them into pieces when that is to be done.
    void open(Snapshot const& moment, bool begin) {
        std::vector<std::vector<Unit>> units(pairs_.size());
        for (std::size_t i = 0; i < units.size(); ++i)
            units[i].push_back({i, {}, {}}); // of one that cannot be opened: others may be able to, or say why not
        std::mutex mutex;
        for_each_table(moment, usable(), [&](pg::Session& session, std::size_t i) {
            auto shape = verify::read_shape(session, pairs_[i]);
            tables_.expect(i, shape.source_rows);
            if (begin)
                units[i] = tables_.everything() ? cut(session, i, shape) : share(session, i, shape, mutex);
            if (auto const why = verify::changed_since_snapshot(session, {shape.source_oid, shape.target_oid}); !why.empty())
                throw verify::Incomparable{why};
            shapes_[i] = std::move(shape);
        });
        if (!begin)
            return;
        // A table that could not be cut may be the longest piece of all: it comes first.
        std::ranges::stable_sort(units, [](auto const& a, auto const& b) { return (a.size() == 1) > (b.size() == 1); });
        std::vector<Unit> all;
        for (auto& own : units)
            std::ranges::move(own, std::back_inserter(all));
        count(all);
        ranges_->begin(std::move(all));
    }

    void count(std::vector<Unit> const& units) {
        for (auto const& unit : units)
            ++tables_[unit.table].units;
    }

    std::vector<Unit> to_units(std::size_t table, std::vector<verify::Range> ranges) {
        std::vector<Unit> units;
        for (auto& range : ranges) {
            Unit unit{table, {}, {}};
            unit.scope.range = std::move(range);
            units.push_back(std::move(unit));
        }
        return units;
    }
    std::vector<Unit> cut(pg::Session& session, std::size_t table, PairShape const& shape) {
        double const fits = std::max(1.0, rows_per_second * static_cast<double>(options_.compare.snapshot_limit.count()) / 1000.0 / 2);
        return to_units(table, verify::cut_pair(session, shape, options_.compare.rows_per_item, fits, options_.compare.where));
    }
    // Under `mutex`: turns_.
    std::vector<Unit> share(pg::Session& session, std::size_t table, PairShape const& shape, std::mutex& mutex) {
        auto const name = pairs_[table].source.quoted();
        std::optional<Key> after;
        if (auto const turn = options_.turns.find(name); turn != options_.turns.end() && !turn->second.empty())
            after = pg::parse_array(turn->second);
        if (after && after->size() != shape.key.size())
            after.reset(); // its key was another one
        auto share = verify::share_of_pair(session, shape, after, options_.share * shape.source_rows, options_.compare.rows_per_item);
        std::lock_guard const lock{mutex};
        turns_[name] = key_text(share.next);
        return to_units(table, std::move(share.ranges));
    }

    // Goes on with what an earlier process, or another one, has begun.
    void take_up(Snapshot const& moment) {
        std::size_t done = 0;
        std::set<std::size_t> foreign;
        auto const states = ranges_->state();
        for (auto const& state : states) {
            if (state.proof && (!state.proof->horizon || !verify::can_tell(*state.proof->horizon, moment.next)))
                foreign.insert(state.table);
        }
        for (auto const table : foreign)
            ranges_->forget_table(table);
        for (auto const& state : states) {
            ++tables_[state.table].units;
            if (!state.proof || foreign.contains(state.table))
                continue;
            ++done;
            ++tables_[state.table].units_done;
            taken_up_.insert(state.n);
        }
        info_(fmt::format("a verification that has begun already: {} of its {} pieces are proven", done, states.size()));
    }

    // ---- pieces

    // Until none is left, or the snapshot is old; at least one. Returns whether there was any.
    bool compare_pieces(Snapshot const& moment) {
        std::atomic<bool> any = false;
        crew_.run(
            moment,
            [&]() -> std::optional<Crew::Task> {
                if (any && old(moment))
                    return std::nullopt;
                auto unit = ranges_->take(tables_.failed());
                if (!unit)
                    return std::nullopt;
                any = true;
                auto const table = unit->table;
                auto const work = [this, &moment, unit = *unit](pg::Session& session) { compare_piece(session, moment, unit); };
                return Crew::Task{table, work, [this, unit = *unit] { ranges_->let_go(unit); }};
            },
            [this] { supervise(); });
        return any;
    }

    void compare_piece(pg::Session& session, Snapshot const& moment, Unit const& unit) {
        auto const& shape = *shapes_[unit.table];
        verify::Scope scope;
        scope.range = unit.scope.range;
        scope.where = options_.compare.where;
        bool const wanted = samples_wanted(unit);
        auto result = verify::compare_range(session, shape, scope, wanted ? most_of_a_piece : 0, options_.compare.show_values ? options_.compare.max_samples : 0);
        bool const counts = ranges_->prove(unit, {moment.lsn, moment.lsn, {}, result.counts, result.samples, moment.horizon});
        tables_.piece_done(unit.table, result.counts, result.samples);
        std::lock_guard const lock{mutex_};
        samples_[unit.table][unit.n] = result.samples.size();
        if (!result.counts.clean())
            dirty_[unit.table].push_back(unit.scope.range);
        if (counts)
            held_.insert(unit.n);
    }

    // Not where earlier pieces have enough of them.
    bool samples_wanted(Unit const& unit) {
        std::lock_guard const lock{mutex_};
        std::size_t before = 0;
        for (auto const& [n, samples] : samples_[unit.table])
            before += n < unit.n ? samples : 0;
        return before < options_.compare.max_samples;
    }

    [[nodiscard]] bool anything_left() {
        auto const failed = tables_.failed();
        return std::ranges::any_of(ranges_->state(), [&](Ranges::State const& state) { return !state.proof && !failed.contains(state.table); });
    }

    // Until there is something to do here, or nobody has anything to do.
    void wait_for_others() {
        bool told = false;
        for (;;) {
            supervise();
            if (stopped() || !anything_left())
                return;
            if (auto const unit = ranges_->take(tables_.failed())) {
                ranges_->let_go(*unit);
                return;
            }
            if (!std::exchange(told, true))
                info_("other processes compare the last pieces");
            std::this_thread::sleep_for(std::chrono::milliseconds{200});
        }
    }

    [[nodiscard]] bool later_elsewhere(Snapshot const& moment) {
        return std::ranges::any_of(ranges_->state(), [&](Ranges::State const& state) { return state.proof && state.proof->at > moment.lsn; });
    }

    // ---- what was written since

    // The oldest horizon for each table of which something was not compared at this moment.
    [[nodiscard]] std::map<std::size_t, std::uint64_t> since() {
        std::map<std::size_t, std::uint64_t> oldest;
        auto const failed = tables_.failed();
        auto const note = [&](std::size_t table, std::uint64_t horizon) {
            if (failed.contains(table))
                return;
            auto const [at, added] = oldest.emplace(table, horizon);
            at->second = std::min(at->second, horizon);
        };
        for (auto const& state : ranges_->state()) {
            if (state.proof && !held_.contains(state.n))
                note(state.table, state.proof->horizon.value_or(0));
        }
        for (std::size_t i = 0; options_.since && i < pairs_.size(); ++i) {
            if (!whole_now_.contains(i))
                note(i, *options_.since);
        }
        return oldest;
    }
    [[nodiscard]] bool anything_to_look_at() { return !since().empty(); }

    // False: some tables have to be compared anew.
    bool look_again(Snapshot const& moment) {
        auto const oldest = since();
        if (oldest.empty())
            return true;
        std::set<std::size_t> which;
        for (auto const& [table, horizon] : oldest)
            which.insert(table);
        std::set<std::size_t> anew;
        for_each_table(moment, which, [&](pg::Session& session, std::size_t i) {
            if (look_again_at(session, moment, i, oldest.at(i)))
                return;
            std::lock_guard const lock{mutex_};
            anew.insert(i);
        });
        if (stopped())
            return false;
        std::vector<int> proven;
        for (auto const& state : ranges_->state()) {
            if (state.proof && oldest.contains(state.table) && !anew.contains(state.table) && state.proof->counts.clean() && !again_found(state.table))
                proven.push_back(state.n);
        }
        ranges_->raise(proven, std::nullopt, moment.lsn, moment.lsn, moment.horizon);
        for (auto const i : anew)
            begin_anew(moment, i);
        return anew.empty();
    }

    [[nodiscard]] bool again_found(std::size_t table) { return !tables_[table].again.empty() || !tables_[table].again_more.clean(); }

    // What was written, key by key; false when all of the table is to be compared.
    bool look_again_at(pg::Session& session, Snapshot const& moment, std::size_t i, std::uint64_t horizon) {
        bool const again = anew_.contains(i);
        if (!verify::can_tell(horizon, moment.next))
            return false;
        auto const& shape = *shapes_[i];
        auto const look = verify::look_since(session, shape, horizon, options_.compare.where);
        // One side has a key that the other lacks. Where all pieces were compared and that is known, it says no more.
        bool const known = (tables_.everything() || again) && differs(i);
        if (!look.same_keys && !known) {
            if (!again)
                return false;
            throw verify::Incomparable{"rows appeared or vanished on one side each time it was compared"};
        }
        if (look.touched == 0)
            return true;
        if (!again && look.touched > few && static_cast<double>(look.touched) > worth_a_look * static_cast<double>(look.rows))
            return false;
        auto const counts = verify::compare_since(
            session, shape, horizon, options_.compare.where,
            [&](model::Finding const& finding, Key const& key) {
                tables_.found_again(i, finding, key, [&](model::Finding& found) {
                    verify::Scope scope;
                    scope.keys = std::vector<Key>{key};
                    scope.where = options_.compare.where;
                    auto const full = verify::compare_range(session, shape, scope, 1, 1);
                    if (!full.samples.empty())
                        found = full.samples.front();
                });
            },
            [this] { return !stopped(); });
        if (!tables_.everything()) {
            std::lock_guard const lock{mutex_};
            auto& counted = counted_[i];
            tables_.again_counted(i, counts.rows - std::exchange(counted, counts.rows));
        }
        return true;
    }

    [[nodiscard]] bool differs(std::size_t table) {
        if (again_found(table))
            return true;
        return std::ranges::any_of(ranges_->state(), [&](Ranges::State const& state) {
            return state.table == table && state.proof && state.proof->counts.missing + state.proof->counts.extra > 0;
        });
    }

    void begin_anew(Snapshot const& moment, std::size_t i) {
        anew_.insert(i);
        {
            std::lock_guard const lock{mutex_};
            samples_[i].clear();
            dirty_[i].clear();
        }
        tables_.forget(i);
        if (own_ranges_ == nullptr) {
            ranges_->forget_table(i);
            return;
        }
        // An incremental one has pieces of a share only.
        std::vector<Unit> units{Unit{i, {}, {}}};
        for_each_table(moment, {i}, [&](pg::Session& session, std::size_t table) { units = cut(session, table, *shapes_[table]); });
        tables_[i].units = 0;
        count(units);
        own_ranges_->replace(i, std::move(units));
        turns_.erase(pairs_[i].source.quoted());
        if (options_.since)
            whole_now_.insert(i);
    }

    // ---- the end

    SchemaOutcome finish() {
        SchemaOutcome outcome;
        // What was compared at this very moment holds there, wherever it stopped; of an incremental one that is a share only.
        outcome.verification = tables_.conclude(ranges_->state(), taken_up_, watch_.why(), options_.since ? std::set<int>{} : held_, turns_);
        auto& all = outcome.verification;
        all.proven_lsn = lsn_;
        all.proven_time = time_;
        all.horizon = horizon_;
        all.seconds = watch_.seconds();
        all.rested = watch_.pace().rested().count();
        outcome.turns = std::move(turns_);
        for (std::size_t i = 0; i < pairs_.size(); ++i) {
            if (again_found(i)) // by key, at a later moment: which piece that is in, only the server can say
                dirty_[i] = {verify::Range{}};
            if (!dirty_[i].empty())
                outcome.dirty.push_back({pairs_[i], *shapes_[i], std::move(dirty_[i])});
        }
        outcome.interrupted = watch_.interrupted();
        watch_.look(); // the last progress
        return outcome;
    }

    pg::SessionSettings const& settings_;
    std::vector<model::TablePair> const& pairs_;
    SchemaOptions const& options_;
    std::function<void(std::string const&)> const& info_;
    AcrossFound nobody_;
    pg::Session own_session_;
    VerifiedTables tables_;
    VerifyWatch watch_;
    Crew crew_;
    std::unique_ptr<Ranges> ranges_;
    OwnRanges* own_ranges_ = nullptr;

    std::mutex mutex_;
    std::vector<std::optional<PairShape>> shapes_; // as of the moment
    std::vector<std::map<int, std::size_t>> samples_; // kept of each piece
    std::vector<std::vector<verify::Range>> dirty_;   // pieces that differ
    std::set<int> held_;             // pieces that were compared at this moment
    std::set<int> taken_up_;         // pieces that were proven before this process began
    std::map<std::size_t, std::int64_t> counted_; // rows that were looked at again
    std::set<std::size_t> anew_;     // tables that had to be compared anew
    std::set<std::size_t> whole_now_; // of an incremental one: all their rows are among its pieces
    std::map<std::string, std::string> turns_;
    base::Lsn lsn_{};
    std::string time_;
    std::uint64_t horizon_ = 0;
};

} // namespace

SchemaOutcome verify_schema(pg::SessionSettings const& settings, std::string const& service, std::vector<model::TablePair> const& all_pairs,
                            SchemaOptions const& options, verify::CompareEvents const& events, std::function<void(std::string const&)> const& info) {
    std::vector<model::TablePair> pairs;
    for (auto const number : verify::choose_pairs(options.compare.tables, all_pairs))
        pairs.push_back(all_pairs[number]);
    auto outcome = Run{settings, pairs, options, events, info}.go();
    outcome.verification.service = service;
    return outcome;
}

verify::Located locate_differences(pg::SessionSettings const& settings, std::string const& service, std::vector<model::TablePair> const& pairs,
                                   verify::CompareOptions const& options, verify::CompareEvents const& events) {
    auto outcome = verify_schema(settings, service, pairs, {.compare = options}, events);
    return {std::move(outcome.verification), std::move(outcome.dirty), outcome.interrupted};
}

} // namespace pgcarve::run
