#include "plan/assess.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

namespace pgcarve::plan {

using model::OwnedCrossing;
using sql::QName;

namespace {

class Assessor {
public:
    Assessor(model::Catalog catalog, Ownership const& ownership)
        : ownership_{ownership} {
        result_.catalog = std::move(catalog);
    }

    model::Assessment run() {
        for (auto const& table : result_.catalog.tables) {
            if (!table.partition_of)
                result_.tables.push_back({table.name, owner(table.name), table.estimated_rows, table.bytes});
        }
        pairs();
        readers();
        auto const rank = [](OwnedCrossing const& c) { return std::tie(c.kind, c.from, c.to); };
        std::ranges::sort(result_.crossings, {}, rank);
        auto const twice = std::ranges::unique(result_.crossings, {}, rank);
        result_.crossings.erase(twice.begin(), twice.end());
        propose();
        return std::move(result_);
    }

private:
    [[nodiscard]] std::string owner(QName const& table) const {
        if (auto const service = ownership_.owner_of(table))
            return *service;
        return std::ranges::find(ownership_.reference, table) != ownership_.reference.end() ? "reference" : "";
    }
    [[nodiscard]] bool is_table(QName const& name) const { return result_.catalog.find(name) != nullptr; }

    // What has two ends.
    void pairs() {
        static std::set<std::string> const kinds{"foreign_key", "trigger", "sequence", "policy"};
        std::map<QName, std::set<QName>> users; // of a type
        for (auto const& d : result_.catalog.dependencies) {
            if (d.kind == "type" && d.from)
                users[d.object].insert(*d.from);
            if (!kinds.contains(d.kind) || !d.from || !d.to || !is_table(*d.from) || !is_table(*d.to))
                continue;
            if (d.kind == "foreign_key") {
                tie(*d.from, *d.to);
                tie(*d.to, *d.from);
            }
            auto const from = owner(*d.from);
            auto const to = owner(*d.to);
            if (from != to)
                result_.crossings.push_back({d.kind, d.from->display() + ": " + d.name, d.to->display(), from, to, d.detail, d.certain});
        }
        for (auto const& [type, tables] : users)
            spread("type", type.display(), tables, true);
    }

    // Views and functions reach every table that they use.
    void readers() {
        static std::set<std::string> const kinds{"view", "materialized_view", "rule", "function"};
        std::map<std::pair<std::string, std::string>, std::pair<std::set<QName>, bool>> uses;
        for (auto const& d : result_.catalog.dependencies) {
            if (!kinds.contains(d.kind) || !d.to || !is_table(*d.to))
                continue;
            auto& [tables, certain] = uses[{d.kind, d.name}];
            tables.insert(*d.to);
            certain = certain || d.certain;
        }
        for (auto const& [object, use] : uses) {
            spread(object.first, object.second, use.first, use.second);
            for (auto const& one : use.first) {
                for (auto const& other : use.first)
                    tie(one, other);
            }
        }
    }

    // One object used by, or using, tables of several owners: one crossing from the first owner to each of the others.
    void spread(std::string const& kind, std::string const& name, std::set<QName> const& tables, bool certain) {
        std::map<std::string, QName> first; // of each owner
        for (auto const& table : tables) {
            if (is_table(table))
                first.emplace(owner(table), table);
        }
        if (first.size() < 2)
            return;
        // The object itself belongs to whom most of its tables belong; nobody's weigh nothing.
        std::map<std::string, int> count;
        for (auto const& table : tables)
            ++count[owner(table)];
        auto const main = std::ranges::max_element(count, {}, [](auto const& entry) {
            return std::pair{!entry.first.empty(), entry.second};
        })->first;
        for (auto const& [other, table] : first) {
            if (other != main)
                result_.crossings.push_back({kind, name, table.display(), main, other, kind == "type" ? "both use it" : "it uses tables of both", certain});
        }
    }

    void tie(QName const& one, QName const& other) {
        if (one != other)
            ++ties_[one][other];
    }

    void propose() {
        for (auto const& table : result_.tables) {
            auto const at = ties_.find(table.name);
            if (!table.owner.empty() || at == ties_.end())
                continue;
            std::map<std::string, int> votes;
            int all = 0;
            for (auto const& [other, weight] : at->second) {
                auto const who = owner(other);
                if (who == "reference")
                    continue;
                all += weight;
                if (!who.empty())
                    votes[who] += weight;
            }
            if (votes.empty())
                continue;
            auto const best = std::ranges::max_element(votes, {}, [](auto const& entry) { return entry.second; });
            result_.proposals.push_back({table.name, best->first, static_cast<double>(best->second) / all});
        }
    }

    Ownership const& ownership_;
    model::Assessment result_;
    std::map<QName, std::map<QName, int>> ties_;
};

} // namespace

model::Assessment assess(model::Catalog catalog, Ownership const& ownership) {
    return Assessor{std::move(catalog), ownership}.run();
}

} // namespace pgcarve::plan
