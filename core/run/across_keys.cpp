#include "run/across_keys.hpp"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

namespace pgcarve::run {

using verify::AcrossShape;
using verify::Key;
using Clock = std::chrono::steady_clock;

namespace {
constexpr std::size_t keys_at_a_time = 5'000;
}

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

AcrossKeys::AcrossKeys(AcrossOptions const& options, std::vector<model::TablePair> const& pairs, verify::RowHash hash, AcrossDoubts& doubts,
                       AcrossTables& tables, AcrossWorkers& workers, AcrossWatch& watch, std::function<void()> supervise)
    : options_{options}, pairs_{pairs}, hash_{hash}, doubts_{doubts}, tables_{tables}, workers_{workers}, watch_{watch}, supervise_{std::move(supervise)} {}

bool AcrossKeys::compare(Reader& reader, Moment const& moment, TouchedByTable const& rows, TouchedByTable const& doubt, bool known) {
    bool nothing = true;
    for (auto const& [i, touched] : rows) {
        if (tables_[i].failed() || (touched.keys.empty() && !touched.all))
            continue;
        auto const number = i;
        nothing = workers_.guarded(number, [&] {
            if (touched.all)
                throw verify::Incomparable{"it was truncated since it was compared"};
            auto& table = tables_[number];
            auto left = touched.keys;
            if (auto const doubted = doubt.find(number); doubted != doubt.end()) {
                for (auto const& key : doubted->second.keys)
                    left.erase(key);
            }
            reader.at(moment, [&](verify::TwoSessions const& sessions) {
                if (!known)
                    table.shape = verify::read_across(sessions.source, sessions.target, pairs_[number], hash_);
                auto const keys = ordered_keys(*table.shape, pairs_[number], left);
                for (std::size_t from = 0; from < keys.size(); from += keys_at_a_time) {
                    std::vector<Key> const some{keys.begin() + static_cast<std::ptrdiff_t>(from),
                                                keys.begin() + static_cast<std::ptrdiff_t>(std::min(keys.size(), from + keys_at_a_time))};
                    auto const counts = verify::compare_keys(sessions, *table.shape, some, options_.compare.where, [&](verify::Difference const& difference) {
                        tables_.found_again(sessions, number, difference);
                    });
                    if (!tables_.everything())
                        tables_.again_counted(number, counts.rows);
                    nothing = nothing && counts.clean();
                    supervise_();
                    if (watch_.stopping())
                        return;
                }
                verify::check_unchanged(sessions, *table.shape);
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
        compare(workers_.primary(), moment, pending, doubt, false);
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
