#include "plan/merge.hpp"

#include <cstddef>
#include <map>
#include <string_view>

namespace pgcarve::plan {

std::string alter_head(std::string const& statement) {
    std::string_view constexpr alter = "ALTER TABLE ";
    if (!statement.starts_with(alter))
        return {};
    auto at = alter.size();
    if (statement.compare(at, 5, "ONLY ") == 0)
        at += 5;
    for (bool quoted = false; at < statement.size() && (quoted || statement[at] != ' '); ++at)
        quoted = quoted != (statement[at] == '"');
    return at < statement.size() ? statement.substr(0, at + 1) : std::string{};
}

std::vector<std::string> merged(std::vector<std::string> const& statements) {
    std::vector<std::string> out;
    std::map<std::string, std::size_t> place;
    for (auto const& statement : statements) {
        auto const head = alter_head(statement);
        auto const at = place.find(head);
        if (head.empty() || at == place.end()) {
            if (!head.empty())
                place.emplace(head, out.size());
            out.push_back(statement);
        } else {
            out[at->second] += ", " + statement.substr(head.size());
        }
    }
    return out;
}

} // namespace pgcarve::plan
