#include "ddl/keys.hpp"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>

#include "ddl/parts.hpp"
#include "ddl/text.hpp"

namespace pgcarve::ddl {

using model::Catalog;
using model::Constraint;
using model::Table;
using sql::QName;
using sql::quote_ident;

namespace {

class Builder {
public:
    Builder(Catalog const& catalog, Pairs const& pairs, bool inside) : catalog_{catalog}, pairs_{pairs}, inside_{inside} {}

    ForeignKeys run() {
        for (auto const& pair : pairs_) {
            auto const& table = source_of(catalog_, pair);
            for (auto const& key : table.constraints) {
                if (key.type == 'f' && points_inside(key) == inside_)
                    one(table, pair.target, key);
            }
        }
        // What joins comes after everything that it joins, the deepest first.
        std::ranges::reverse(joins_);
        all_.validate.insert(all_.validate.end(), joins_.begin(), joins_.end());
        return std::move(all_);
    }

private:
    [[nodiscard]] QName target_of(QName const& source) const {
        auto const at = std::ranges::find(pairs_, source, &model::TablePair::source);
        return at == pairs_.end() ? source : at->target;
    }
    [[nodiscard]] bool points_inside(Constraint const& key) const {
        return std::ranges::find(pairs_, key.referenced, &model::TablePair::source) != pairs_.end();
    }

    void one(Table const& table, QName const& target, Constraint const& key) {
        auto const* const referenced = catalog_.find(key.referenced);
        auto const definition = carried(referenced == nullptr
                                            ? std::nullopt
                                            : foreign_key(key, referenced->sql_name, target_of(key.referenced)),
                                        "foreign key " + sql::display_ident(key.name), table);
        auto const name = quote_ident(key.name);
        auto const alter = "ALTER TABLE " + target.quoted();
        auto const what = sql::display_ident(target.name) + "." + sql::display_ident(key.name);
        auto comment = [&](std::vector<std::string>& out) {
            if (key.comment)
                out.push_back(comment_on(fmt::format("CONSTRAINT {} ON {}", name, target.quoted()), *key.comment));
        };
        // A partition's inherited key vanishes with its parent's, which is dropped first.
        auto const drop = fmt::format("ALTER TABLE IF EXISTS {} DROP CONSTRAINT IF EXISTS {}", target.quoted(), name);
        all_.drop.push_back(drop);
        drop_step(target, key, what, drop);

        bool const whole = table.kind == 'p' && key.validated && key.enforced;
        if (whole) {
            model::Step step{.id = "join:" + what};
            lock_parent(step, key, "SHARE ROW EXCLUSIVE");
            step.sql.push_back(fmt::format("{} ADD CONSTRAINT {} {}", alter, name, definition));
            comment(step.sql);
            step.lock = fmt::format("SHARE ROW EXCLUSIVE on {} and {}", target.display(), target_of(key.referenced).display());
            step.why = fmt::format("the key {} of the partitions becomes one of the whole table", what);
            if (!inside_)
                step.undo = {drop};
            joins_.push_back(std::move(step));
            return;
        }
        // Only possible from version 18, where it reaches the partitions by itself.
        if (key.inherited && !(key.validated && key.enforced))
            return;
        model::Step add{.id = "keys:add:" + what, .undo = {drop}};
        add.sql.push_back(fmt::format("{} ADD CONSTRAINT {} {}{}", alter, name, definition, key.enforced ? " NOT VALID" : ""));
        comment(add.sql);
        add.lock = fmt::format("SHARE ROW EXCLUSIVE on {} and {}", target.display(), target_of(key.referenced).display());
        add.why = fmt::format("the foreign key {} holds at the new table too", what);
        all_.add.insert(all_.add.end(), add.sql.begin(), add.sql.end());
        all_.add_each.push_back(std::move(add));
        if (key.validated && key.enforced)
            all_.validate.push_back({.id = "validate:" + what,
                                     .sql = {fmt::format("{} VALIDATE CONSTRAINT {}", alter, name)},
                                     .lock = "SHARE UPDATE EXCLUSIVE on " + target.display(),
                                     .why = fmt::format("every row satisfies the foreign key {}", what),
                                     .undo = {}});
    }

    // Parents first, as writers take them: who is past the parent then finds the child free. A table of others may not
    // be ours to lock.
    void lock_parent(model::Step& step, Constraint const& key, std::string_view mode) const {
        if (inside_)
            step.sql.push_back(fmt::format("LOCK TABLE {} IN {} MODE", target_of(key.referenced).quoted(), mode));
    }

    void drop_step(QName const& target, Constraint const& key, std::string const& what, std::string const& drop) {
        model::Step step{.id = "keys:drop:" + what};
        lock_parent(step, key, "ACCESS EXCLUSIVE");
        step.sql.push_back(drop);
        step.lock = fmt::format("ACCESS EXCLUSIVE on {} and {}", target.display(), target_of(key.referenced).display());
        step.why = fmt::format("the new tables follow: the foreign key {} would only judge the order of arrival", what);
        all_.drop_each.push_back(std::move(step));
    }

    Catalog const& catalog_;
    Pairs const& pairs_;
    bool inside_;
    ForeignKeys all_;
    std::vector<model::Step> joins_;
};

} // namespace

ForeignKeys foreign_keys_inside(Catalog const& catalog, Pairs const& pairs) { return Builder{catalog, pairs, true}.run(); }
ForeignKeys foreign_keys_across(Catalog const& catalog, Pairs const& pairs) { return Builder{catalog, pairs, false}.run(); }

} // namespace pgcarve::ddl
