#include "run/proof/across_verification.hpp"

#include <algorithm>
#include <future>

#include <fmt/format.h>

#include "run/proof/across_keys.hpp"

namespace pgcarve::run {

using base::Error;
using verify::Incomparable;
using verify::Side;

namespace {

class Run {
public:
    Run(Context& context, Route const& route, sync::Mapping const& mapping, std::vector<model::TablePair> const& pairs, AcrossOptions const& options,
        verify::CompareEvents const& events, AcrossFound const& found)
        : context_{context}, route_{route}, pairs_{pairs}, options_{options},
          first_{std::async(std::launch::async, [&] { return std::make_unique<Reader>(route, options, false); })}, source_{route.source("verify")},
          doubt_{context, route, mapping, pairs, options.moments, options.scan_dsn, source_}, tables_{pairs, options.compare, found},
          watch_{route, source_, options, events, tables_}, workers_{route, options, first_.get(), tables_, watch_},
          hash_{verify::common_hash(workers_.first().source(), workers_.first().target())},
          keys_{options, pairs, hash_, doubt_, tables_, workers_, watch_, [this] { supervise(); }} {
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
        TouchedByTable pending; // to be looked at again
        for (bool first = true;; first = false) {
            auto const [moment, doubts] = doubt_.take();
            lsn_ = moment.at;
            time_ = moment.time;
            on_record_ = sync::touched_from(*moment.target, route_.name);
            open(moment, doubts);
            if (first)
                begin(moment);
            else
                ranges_->forget_before(on_record_);
            auto held = look_again_since(moment, doubts, std::move(pending), first);
            workers_.work(moment, doubts, *ranges_, held, [this] { supervise(); });
            pending = doubts.rows;
            if (stopped() || over(moment, held))
                break;
            wait_for_others();
            rest();
            if (stopped())
                break;
        }
        if (!stopped())
            keys_.settle(context_, std::move(pending), [](Moment const&) {});
        return finish();
    }
    AcrossOutcome only(TouchedByTable keys) {
        tables_.only_some();
        keys_.settle(context_, std::move(keys), [this](Moment const& moment) {
            if (lsn_.value != 0)
                return;
            lsn_ = moment.at;
            time_ = moment.time;
        });
        return finish();
    }
    [[noreturn]] void too_much() const {
        throw Error{base::Exit::not_proven, "not-proven",
                    fmt::format("more than {} rows were written between two snapshots of {}", options_.max_touched, base::format_duration(options_.snapshot_limit)),
                    "try again when the source is less busy, or tables one by one with --tables"};
    }

private:
    [[nodiscard]] bool stopped() const { return !watch_.why().empty(); }
    void supervise() {
        if (!watch_.stopping())
            ranges_->alive();
        watch_.look();
    }

    // Without a snapshot.
    void rest() {
        while (!stopped() && watch_.pace().rest(std::chrono::steady_clock::now())) {
            context_.interrupt.wait_for(base::Millis{50});
            supervise();
        }
    }

    // ---- what is to be done

    void open(Moment const& moment, Doubts const& doubts) {
        for (std::size_t i = 0; i < tables_.size(); ++i) {
            if (tables_[i].failed())
                continue;
            workers_.guarded(i, [&] {
                workers_.first().at(moment, [&](verify::TwoSessions const& sessions) {
                    auto& table = tables_[i];
                    table.shape = verify::read_across(sessions.source, sessions.target, pairs_[i], hash_);
                    tables_.expect(i, table.shape->rows[Side::source]);
                    table.doubted.clear();
                    if (auto const doubted = doubts.rows.find(i); doubted != doubts.rows.end()) {
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
        if (options_.since && (!on_record_ || *on_record_ > *options_.since)) {
            context_.events.info(fmt::format("what was touched since {} is not on record any more: everything is compared", options_.since->text()));
        } else if (options_.since) {
            try {
                since_last_ = doubt_.touched().read(*moment.target, *options_.since, options_.max_touched);
            } catch (TouchedReader::TooMany const&) { // NOLINT(bugprone-empty-catch)
                // Then everything is compared.
            }
        }
        if (since_last_)
            tables_.only_some();
        if (ranges_->attach(on_record_)) {
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
                workers_.guarded(i, [&] {
                    workers_.first().at(moment, [&](verify::TwoSessions const& sessions) {
                        bool const truncated = since_last_ && since_last_->contains(i) && since_last_->at(i).all;
                        if (tables_.everything() || truncated) {
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
    std::set<int> look_again_since(Moment const& moment, Doubts const& doubts, TouchedByTable touched, bool first_time) {
        std::set<int> held;
        std::optional<base::Lsn> since;
        for (auto const& state : ranges_->state()) {
            // Another process may have proven it a moment ago, in an older snapshot of the target, which had lines that are gone.
            if (!state.proof || !on_record_ || state.proof->from < *on_record_)
                continue;
            held.insert(state.n);
            since = std::min(since.value_or(state.proof->from), state.proof->from);
        }
        if (first_time && since_last_)
            touched = std::move(*since_last_);
        if (looked_from_) {
            if (!on_record_ || *on_record_ > *looked_from_)
                throw Error{base::Exit::not_proven, "not-proven",
                            fmt::format("what was touched since {} went from the record while it was compared (max_touched in [sync])", looked_from_->text()),
                            "run it again: everything is compared then"};
            since = std::min(since.value_or(*looked_from_), *looked_from_);
        }
        if (!tables_.everything())
            looked_from_ = doubts.from;
        if (since) {
            try {
                for (auto& [i, rows] : doubt_.touched().read(*moment.target, *since, options_.max_touched)) {
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
            if (tables_.everything() || first_time) {
                if (tables_.everything())
                    ranges_->forget_table(i);
                rows = {};
            }
        }
        if (tables_.everything())
            keep_proven(held);
        std::optional<verify::Pace::Reading> reading{watch_.pace()};
        bool const nothing_found = keys_.compare(moment, touched, doubts.rows);
        reading.reset();
        if (nothing_found && !stopped())
            ranges_->raise({held.begin(), held.end()}, since, doubts.from, moment.at, std::nullopt);
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

    // ---- the end

    AcrossOutcome finish() {
        AcrossOutcome outcome;
        outcome.verification = tables_.conclude(ranges_->state(), taken_up_, watch_.why(), {}, turns_);
        auto& all = outcome.verification;
        all.service = route_.service;
        all.proven_lsn = lsn_;
        all.proven_time = time_;
        all.seconds = watch_.seconds();
        all.rested = watch_.pace().rested().count();
        outcome.turns = std::move(turns_);
        outcome.interrupted = watch_.interrupted();
        outcome.everything = tables_.everything();
        return outcome;
    }

    Context& context_;
    Route const& route_;
    std::vector<model::TablePair> const& pairs_;
    AcrossOptions const& options_;
    std::future<std::unique_ptr<Reader>> first_; // opening beside the others
    pg::Session source_;
    AcrossDoubts doubt_;
    VerifiedTables tables_;
    VerifyWatch watch_;
    AcrossWorkers workers_;
    verify::RowHash hash_;
    AcrossKeys keys_;
    std::unique_ptr<Ranges> ranges_;

    std::optional<base::Lsn> on_record_; // behind it, everything touched is on record at the moment; nullopt: nothing is
    std::optional<TouchedByTable> since_last_; // touched since the last verification
    std::optional<base::Lsn> looked_from_;     // all of it was looked at, up to here
    std::set<int> taken_up_; // pieces that were proven before this process began
    std::map<std::string, std::string> turns_;
    base::Lsn lsn_{};
    std::string time_;
};

} // namespace

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
