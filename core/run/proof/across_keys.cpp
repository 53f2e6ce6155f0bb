#include "run/proof/across_keys.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <deque>
#include <mutex>

#include <fmt/format.h>

namespace pgcarve::run {

using verify::AcrossShape;
using verify::Key;
using Clock = std::chrono::steady_clock;

namespace {
constexpr std::size_t keys_at_a_time = 5'000;
}

namespace {

// Which part of a pair's key is which of the shape's.
std::vector<std::size_t> order_of(AcrossShape const& shape, model::TablePair const& pair) {
    std::vector<std::size_t> order;
    for (auto const& part : shape.key) {
        auto const at = std::ranges::find(pair.key, shape.columns[part.column].name);
        if (at == pair.key.end())
            base::bug("the key of " + pair.source.display() + " is not the one it was");
        order.push_back(static_cast<std::size_t>(at - pair.key.begin()));
    }
    return order;
}

Key in_order(Key const& key, std::vector<std::size_t> const& order) {
    Key ordered;
    ordered.reserve(order.size());
    for (auto const at : order)
        ordered.push_back(key[at]);
    return ordered;
}

// Keys of one table but for those in doubt, some at a time.
class Left {
public:
    Left(AcrossShape const& shape, model::TablePair const& pair, std::set<Key> const& keys, std::set<Key> const* doubted)
        : order_{order_of(shape, pair)}, at_{keys.begin()}, end_{keys.end()}, doubted_{doubted} {}

    [[nodiscard]] std::vector<Key> some() {
        std::vector<Key> keys;
        for (; at_ != end_ && keys.size() < keys_at_a_time; ++at_) {
            if (doubted_ == nullptr || !doubted_->contains(*at_))
                keys.push_back(in_order(*at_, order_));
        }
        return keys;
    }

private:
    std::vector<std::size_t> order_;
    std::set<Key>::const_iterator at_;
    std::set<Key>::const_iterator end_;
    std::set<Key> const* doubted_;
};

std::set<Key> const* doubted(TouchedByTable const& doubt, std::size_t table) {
    auto const found = doubt.find(table);
    return found == doubt.end() ? nullptr : &found->second.keys;
}

void check_not_truncated(TouchedRows const& rows) {
    if (rows.all)
        throw verify::Incomparable{"it was truncated since it was compared"};
}

} // namespace

std::vector<Key> ordered_keys(AcrossShape const& shape, model::TablePair const& pair, std::set<Key> const& keys) {
    auto const order = order_of(shape, pair);
    std::vector<Key> all;
    all.reserve(keys.size());
    for (auto const& key : keys)
        all.push_back(in_order(key, order));
    return all;
}

AcrossKeys::AcrossKeys(AcrossOptions const& options, std::vector<model::TablePair> const& pairs, verify::RowHash hash, AcrossDoubts& doubts,
                       VerifiedTables& tables, AcrossWorkers& workers, VerifyWatch& watch, std::function<void()> supervise)
    : options_{options}, pairs_{pairs}, hash_{hash}, doubts_{doubts}, tables_{tables}, workers_{workers}, watch_{watch}, supervise_{std::move(supervise)} {}

bool AcrossKeys::compare(verify::TwoSessions const& sessions, std::size_t table, std::vector<Key> const& keys) {
    auto const counts = verify::compare_keys(sessions, *tables_[table].shape, keys, options_.compare.where,
                                             [&](verify::Difference const& difference) { tables_.found_again(sessions, table, difference); });
    if (!tables_.everything())
        tables_.again_counted(table, counts.rows);
    return counts.clean();
}

bool AcrossKeys::compare(Moment const& moment, TouchedByTable const& rows, TouchedByTable const& doubt) {
    std::atomic<bool> nothing = true;
    std::mutex mutex;
    std::deque<std::pair<std::size_t, Left>> left;
    for (auto const& [i, touched] : rows) {
        if (tables_[i].failed() || (touched.keys.empty() && !touched.all))
            continue;
        nothing = workers_.guarded(i, [&] {
            check_not_truncated(touched);
            left.emplace_back(i, Left{*tables_[i].shape, pairs_[i], touched.keys, doubted(doubt, i)});
        }) && nothing;
    }
    workers_.together(
        [&]() -> AcrossWorkers::Job {
            auto const failed = tables_.failed();
            std::lock_guard const lock{mutex};
            for (; !left.empty(); left.pop_front()) {
                auto const table = left.front().first;
                if (failed.contains(table))
                    continue;
                auto keys = left.front().second.some();
                if (keys.empty())
                    continue;
                return [&, table, keys = std::move(keys)](Reader& reader) {
                    bool equal = false;
                    bool const done = workers_.guarded(table, [&] {
                        reader.at(moment, [&](verify::TwoSessions const& sessions) {
                            equal = compare(sessions, table, keys);
                            verify::check_unchanged(sessions, *tables_[table].shape);
                        });
                    });
                    if (!done || !equal)
                        nothing = false;
                };
            }
            return {};
        },
        supervise_);
    return nothing;
}

bool AcrossKeys::settle(Moment const& moment, TouchedByTable const& rows, TouchedByTable const& doubt) {
    bool nothing = true;
    for (auto const& [i, touched] : rows) {
        if (tables_[i].failed() || (touched.keys.empty() && !touched.all))
            continue;
        auto const number = i;
        nothing = workers_.guarded(number, [&] {
            check_not_truncated(touched);
            auto& shape = tables_[number].shape;
            workers_.primary().at(moment, [&](verify::TwoSessions const& sessions) {
                shape = verify::read_across(sessions.source, sessions.target, pairs_[number], hash_);
                Left left{*shape, pairs_[number], touched.keys, doubted(doubt, number)};
                for (auto keys = left.some(); !keys.empty(); keys = left.some()) {
                    nothing = compare(sessions, number, keys) && nothing;
                    supervise_();
                    if (watch_.stopping())
                        return;
                }
                verify::check_unchanged(sessions, *shape);
            });
        }) && nothing;
    }
    return nothing;
}

void AcrossKeys::settle(Context& context, TouchedByTable pending, std::function<void(Moment const&)> const& at) {
    auto const deadline = Clock::now() + options_.doubt_limit;
    while (!pending.empty()) {
        context.interrupt.check();
        auto const moment = doubts_.take_primary();
        at(moment);
        std::vector<wire::TransactionId> unseen;
        TouchedByTable doubt;
        try {
            doubt = doubts_.read(moment, &unseen).rows;
        } catch (TouchedReader::TooMany const&) {
            context.interrupt.wait_for(base::Millis{200});
            if (Clock::now() < deadline)
                continue;
            doubt = pending; // so it is with all of them, for what is known
        }
        settle(moment, pending, doubt);
        TouchedByTable left;
        for (auto const& [i, touched] : pending) {
            auto const doubted = doubt.find(i);
            if (doubted == doubt.end() || tables_[i].failed())
                continue;
            for (auto const& key : touched.keys) {
                if (doubted->second.keys.contains(key))
                    left[i].keys.insert(key);
            }
        }
        pending = std::move(left);
        if (!pending.empty() && Clock::now() > deadline) {
            auto const why =
                fmt::format("rows were still being written when {} were over{}", base::format_duration(options_.doubt_limit), doubts_.describe(unseen));
            for (auto const& [i, touched] : pending)
                tables_.fail(i, fmt::format("{} {}", touched.keys.size(), why));
            return;
        }
        supervise_();
        if (watch_.stopping())
            return;
    }
}

} // namespace pgcarve::run
