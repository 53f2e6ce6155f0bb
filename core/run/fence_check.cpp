#include "run/fence_check.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "run/touched_keys.hpp"
#include "verify/across.hpp"

namespace pgcarve::run {

namespace {

constexpr std::size_t keys_at_a_time = 5'000;
constexpr std::size_t max_samples = 20;

} // namespace

FenceCheck check_touched(pg::Session& source, pg::Session& target, Route const& route, sync::Mapping const& mapping, base::Lsn since) {
    FenceCheck check;
    auto const incomplete = [&](std::string why) {
        if (check.why.empty())
            check.why = std::move(why);
    };
    if (!sync::touched_since(target, route.name, since)) {
        incomplete(fmt::format("what the stream touched is not on record as far back as {}", since.text()));
        return check;
    }
    std::vector<model::TablePair> roots;
    std::ranges::copy_if(route.tables, std::back_inserter(roots), [](auto const& pair) { return !pair.is_partition; });
    TouchedByTable touched;
    try {
        touched = TouchedReader{source, roots, mapping, route.name}.read(target, since, fence_check_limit);
    } catch (TouchedReader::TooMany const&) {
        incomplete(fmt::format("more than {} rows were touched since {}", fence_check_limit, since.text()));
        return check;
    }
    verify::TwoSessions const sessions{source, target};
    auto const hash = verify::common_hash(source, target);
    for (auto const& [number, rows] : touched) {
        auto const& pair = roots[number];
        try {
            auto const shape = verify::read_across(source, target, pair, hash);
            if (rows.all)
                incomplete(fmt::format("{} was truncated", pair.source.display()));
            auto const found = [&](verify::Difference const& difference) {
                if (check.samples.size() >= max_samples)
                    return;
                std::string key;
                for (std::size_t i = 0; i < difference.key.size(); ++i)
                    key += fmt::format("{}{}={}", i > 0 ? ", " : "", shape.columns[shape.key[i].column].name, difference.key[i]);
                check.samples.push_back(fmt::format("{} {}: {}", pair.source.display(), key, model::text(difference.kind)));
            };
            // From the order of the pair's key to that of the index.
            std::vector<std::size_t> order;
            for (auto const& part : shape.key) {
                auto const at = std::ranges::find(pair.key, shape.columns[part.column].name);
                order.push_back(static_cast<std::size_t>(at - pair.key.begin()));
            }
            std::vector<verify::Key> keys;
            auto const compare = [&] {
                auto const counts = verify::compare_keys(sessions, shape, keys, {}, found);
                check.keys += static_cast<long long>(keys.size());
                check.missing += counts.missing;
                check.extra += counts.extra;
                check.different += counts.different;
                keys.clear();
            };
            for (auto const& key : rows.keys) {
                verify::Key ordered;
                for (auto const at : order)
                    ordered.push_back(key[at]);
                keys.push_back(std::move(ordered));
                if (keys.size() >= keys_at_a_time)
                    compare();
            }
            compare();
        } catch (verify::Incomparable const& e) {
            incomplete(e.what());
        }
    }
    check.complete = check.why.empty();
    return check;
}

} // namespace pgcarve::run
