#include "verify/compare.hpp"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "base/error.hpp"

namespace pgcarve::verify {

namespace {

bool names_pair(std::string const& name, model::TablePair const& pair) {
    auto const is = [&](sql::QName const& table) {
        return name == table.display() || name == table.schema + "." + table.name;
    };
    return name == pair.source.name || is(pair.source) || is(pair.target);
}

} // namespace

std::vector<std::size_t> choose_pairs(std::vector<std::string> const& names, std::vector<model::TablePair> const& pairs) {
    std::set<std::size_t> chosen;
    for (auto const& name : names) {
        auto const before = chosen.size();
        for (std::size_t i = 0; i < pairs.size(); ++i) {
            if (names_pair(name, pairs[i]))
                chosen.insert(i);
        }
        if (chosen.size() == before && std::ranges::none_of(pairs, [&](auto const& p) { return names_pair(name, p); }))
            throw base::Error{base::Exit::usage, "unknown-table", fmt::format("no table of this service is named {}", name)};
    }
    for (std::size_t i = 0; names.empty() && i < pairs.size(); ++i)
        chosen.insert(i);
    return {chosen.begin(), chosen.end()};
}

} // namespace pgcarve::verify
