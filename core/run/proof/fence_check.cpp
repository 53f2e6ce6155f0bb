#include "run/proof/fence_check.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace pgcarve::run {

using base::Millis;

namespace {

constexpr std::size_t keys_at_a_time = 5'000;
constexpr std::size_t max_samples = 20;

std::vector<model::TablePair> roots_of(Route const& route) {
    std::vector<model::TablePair> roots;
    std::ranges::copy_if(route.tables, std::back_inserter(roots), [](auto const& pair) { return !pair.is_partition; });
    return roots;
}

} // namespace

LastLook::LastLook(pg::Session& source, pg::Session& target, Route const& route, sync::Mapping const& mapping, base::Lsn since)
    : source_{source}, target_{target}, stream_{route.name}, pairs_{roots_of(route)}, reader_{source, pairs_, mapping, route.name},
      hash_{verify::common_hash(source, target)}, since_{since} {}

void LastLook::incomplete(std::string why) {
    if (why_.empty())
        why_ = std::move(why);
}

LastLook::Root const& LastLook::root(std::size_t number) {
    auto const [at, added] = roots_.try_emplace(number);
    auto& root = at->second;
    if (!added)
        return root;
    auto const& pair = pairs_[number];
    try {
        root.shape = verify::read_across(source_, target_, pair, hash_);
        for (auto const& part : root.shape->key) {
            auto const column = std::ranges::find(pair.key, root.shape->columns[part.column].name);
            root.order.push_back(static_cast<std::size_t>(column - pair.key.begin()));
        }
    } catch (verify::Incomparable const& e) {
        root.why = e.what();
    }
    return root;
}

LastLook::Root const* LastLook::comparable(std::size_t number, TouchedRows const& rows) {
    auto const& its = root(number);
    if (rows.all)
        incomplete(fmt::format("{} was truncated", pairs_[number].source.display()));
    if (its.shape)
        return &its;
    incomplete(its.why);
    return nullptr;
}

std::optional<TouchedByTable> LastLook::touched() {
    try {
        auto rows = reader_.read(target_, since_, static_cast<std::size_t>(fence_check_limit));
        // Behind the lines: who takes some away says so before.
        if (!sync::touched_since(target_, stream_, since_))
            incomplete(fmt::format("what the stream touched is not on record as far back as {}", since_.text()));
        return rows;
    } catch (TouchedReader::TooMany const&) {
        incomplete(fmt::format("more than {} rows were touched since {}", fence_check_limit, since_.text()));
        return std::nullopt;
    }
}

verify::AcrossCounts LastLook::compare_rows(Root const& root, std::set<verify::Key> const& keys, std::function<void()> const& before,
                                            verify::Found const& found) const {
    verify::TwoSessions const sessions{source_, target_};
    verify::AcrossCounts all;
    std::vector<verify::Key> some;
    auto const compare = [&] {
        if (some.empty())
            return;
        before();
        auto const counts = verify::compare_keys(sessions, *root.shape, some, {}, found);
        all.missing += counts.missing;
        all.extra += counts.extra;
        all.different += counts.different;
        some.clear();
    };
    for (auto const& key : keys) { // from the order of the pair's key to that of the index
        verify::Key ordered;
        for (auto const at : root.order)
            ordered.push_back(key[at]);
        some.push_back(std::move(ordered));
        if (some.size() >= keys_at_a_time)
            compare();
    }
    compare();
    return all;
}

void LastLook::ahead(base::Lsn at, base::Interrupt& interrupt) {
    for (std::size_t number = 0; number < pairs_.size(); ++number) {
        interrupt.check();
        (void)root(number);
    }
    auto const now = touched();
    since_ = at;
    if (!now)
        return;
    for (auto const& [number, rows] : *now) {
        auto const* const its = comparable(number, rows);
        if (its == nullptr)
            continue;
        (void)compare_rows(*its, rows.keys, [&] { interrupt.check(); }, [&, pair = number](verify::Difference const& difference) {
            verify::Key key(its->order.size());
            for (std::size_t i = 0; i < its->order.size(); ++i)
                key[its->order[i]] = difference.key[i];
            suspects_[pair].keys.insert(std::move(key));
        });
    }
}

FenceCheck LastLook::compare(std::function<Millis()> const& left) {
    auto const bounded = [&] {
        auto const limit = fmt::format("SET LOCAL statement_timeout = {}", left().count());
        source_.run(limit);
        target_.run(limit);
    };
    FenceCheck check;
    bounded();
    auto all = touched();
    if (!all)
        all.emplace();
    for (auto const& [number, rows] : suspects_)
        (*all)[number].keys.insert(rows.keys.begin(), rows.keys.end());
    for (auto const& [number, rows] : *all) {
        auto const* const its = comparable(number, rows);
        if (its == nullptr)
            continue;
        auto const counts = compare_rows(*its, rows.keys, bounded, [&, pair = number](verify::Difference const& difference) {
            if (check.samples.size() >= max_samples)
                return;
            std::string key;
            for (std::size_t i = 0; i < difference.key.size(); ++i)
                key += fmt::format("{}{}={}", i > 0 ? ", " : "", its->shape->columns[its->shape->key[i].column].name, difference.key[i]);
            check.samples.push_back(fmt::format("{} {}: {}", pairs_[pair].source.display(), key, model::text(difference.kind)));
        });
        check.keys += static_cast<long long>(rows.keys.size());
        check.missing += counts.missing;
        check.extra += counts.extra;
        check.different += counts.different;
    }
    check.why = why_;
    check.complete = why_.empty();
    return check;
}

} // namespace pgcarve::run
