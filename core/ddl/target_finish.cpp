// The steps after the rows: the other indexes, and what the tables are to their users.
#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "ddl/target_parts.hpp"
#include "ddl/text.hpp"

namespace pgcarve::ddl {

using model::Catalog;
using model::Step;
using model::Table;
using sql::display_ident;
using sql::QName;
using sql::quote_ident;

namespace {

template <typename List>
auto named(List const* list, std::string const& name) -> decltype(&list->front()) {
    if (list == nullptr)
        return nullptr;
    auto const at = std::ranges::find_if(*list, [&](auto const& item) { return item.name == name; });
    return at == list->end() ? nullptr : &*at;
}

std::string grantee_text(std::string const& name) { return name.empty() ? "PUBLIC" : quote_ident(name); }

bool holds(std::vector<model::Grant> const* have, model::Grant const& wanted) {
    return have != nullptr && std::ranges::any_of(*have, [&](model::Grant const& g) {
        return g.grantee == wanted.grantee && g.privilege == wanted.privilege && (g.grantable || !wanted.grantable);
    });
}

class Finisher {
public:
    Finisher(Catalog const& wanted, Catalog const& target) : wanted_{wanted}, target_{target} {}

    std::vector<Step> run() {
        for (auto const& t : wanted_.tables)
            more_indexes(t);
        late_checks();
        access();
        for (auto const& t : wanted_.tables) {
            if (!t.partition_of || wanted_.find(*t.partition_of) == nullptr)
                finish(t);
        }
        return std::move(steps_);
    }

private:
    [[nodiscard]] Table const* have(Table const& t) const { return target_.find(t.name); }

    // Each on its own: an index of a big table takes its time, and a rerun need not begin with the first.
    void more_indexes(Table const& t) {
        auto const* const there = have(t);
        for (auto const& index : t.indexes) {
            if (is_key_index(wanted_, t, index))
                continue; // before the rows
            auto const* const i = named(there == nullptr ? nullptr : &there->indexes, index.name);
            bool const under_another_name = i == nullptr && index.parent && there != nullptr &&
                                            std::ranges::any_of(there->indexes, [&](model::Index const& x) { return x.parent == index.parent; });
            // An index that is missing at a partition of a table that is there came with a partition step.
            if (under_another_name || (there == nullptr && comes_whole(t)))
                continue;
            Statements out;
            if (i == nullptr)
                out.push_back(create_index({&t, t.name}, index));
            if (index.parent && (i == nullptr || !i->parent))
                out.push_back(attach_index({&t, t.name}, index));
            if (out.empty())
                continue;
            steps_.push_back({.id = fmt::format("index:{}.{}", display_ident(t.name.name), display_ident(index.name)),
                              .sql = std::move(out),
                              .lock = "SHARE on " + t.name.display(),
                              .why = "made at once, which is faster than row by row",
                              .undo = {}});
        }
    }
    // Made by "partition:…", with all indexes.
    [[nodiscard]] bool comes_whole(Table const& t) const {
        for (auto const* at = &t; at->partition_of;) {
            auto const* const parent = wanted_.find(*at->partition_of);
            if (parent == nullptr)
                return false;
            if (target_.find(parent->name) != nullptr)
                return true;
            at = parent;
        }
        return false;
    }

    void late_checks() {
        Pairs pairs;
        for (auto const& t : wanted_.tables)
            pairs.push_back({.source = t.name, .target = t.name});
        std::set<std::string> done;
        for (auto const& t : target_.tables) {
            for (auto const& c : t.constraints) {
                if (wanted_.find(t.name) != nullptr)
                    done.insert(fmt::format("check:{}.{}", display_ident(t.name.name), display_ident(c.name)));
            }
        }
        for (auto& step : after_backfill_steps(wanted_, pairs)) {
            if (!done.contains(step.id))
                steps_.push_back(std::move(step));
        }
    }

    // Who may use the tables must get at them; who owns them must be allowed to own something in the schema.
    void access() {
        std::map<std::string, std::set<std::string>> needed; // schema, grantees
        std::map<std::string, std::set<std::string>> owners;
        for (auto const& t : wanted_.tables) {
            for (auto const& grant : t.grants)
                needed[t.name.schema].insert(grant.grantee);
            for (auto const& c : t.columns) {
                for (auto const& grant : c.grants)
                    needed[t.name.schema].insert(grant.grantee);
            }
            if (t.owner != wanted_.role.name)
                owners[t.name.schema].insert(t.owner);
        }
        std::set<std::string> schemas;
        for (auto const& [schema, grantees] : needed)
            schemas.insert(schema);
        for (auto const& [schema, grantees] : owners)
            schemas.insert(schema);
        for (auto const& schema : schemas) {
            auto const* const there = named(&target_.schemas, schema);
            auto const* const have = there == nullptr ? nullptr : &there->grants;
            Statements out;
            auto const give = [&](std::string const& privilege, std::string const& to) {
                bool const owns = there != nullptr && there->owner == to;
                if (!owns && !holds(have, {.grantee = to, .privilege = privilege}))
                    out.push_back(fmt::format("GRANT {} ON SCHEMA {} TO {}", privilege, quote_ident(schema), grantee_text(to)));
            };
            for (auto const& grantee : needed[schema])
                give("USAGE", grantee);
            for (auto const& owner : owners[schema]) {
                give("USAGE", owner);
                give("CREATE", owner);
            }
            if (!out.empty())
                steps_.push_back({.id = "access:" + display_ident(schema), .sql = std::move(out), .lock = {}, .why = "whoever has rights on the tables reaches them", .undo = {}});
        }
    }

    void finish(Table const& root) {
        Statements out;
        std::vector<Table const*> tree{&root};
        for (auto const* const part : wanted_.partitions(root))
            tree.push_back(part);
        for (auto const* const t : tree)
            missing_triggers(out, *t);
        for (auto const* const t : tree)
            disable_triggers(out, *t);
        for (auto const* const t : tree) {
            settings(out, *t);
            missing_statistics(out, *t);
            policies(out, *t);
            notes(out, *t);
            rights(out, *t);
            owner(out, *t);
        }
        if (!out.empty())
            steps_.push_back({.id = "finish:" + display_ident(root.name.name),
                              .sql = std::move(out),
                              .lock = "ACCESS EXCLUSIVE on " + root.name.display(),
                              .why = fmt::format("{} is to its users what it is at the source; its triggers wait, disabled", root.name.display()),
                              .undo = {}});
    }

    void missing_triggers(Statements& out, Table const& t) const {
        auto const* const there = have(t);
        auto rest = t;
        std::erase_if(rest.triggers, [&](model::Trigger const& g) { return named(there == nullptr ? nullptr : &there->triggers, g.name) != nullptr; });
        triggers(out, {&rest, t.name});
    }

    // The clones on partitions too: they come enabled when their trigger is made.
    void disable_triggers(Statements& out, Table const& t) const {
        auto const* const there = have(t);
        for (auto const& g : t.triggers) {
            auto const* const now = named(there == nullptr ? nullptr : &there->triggers, g.name);
            if (now == nullptr || now->enabled != 'D')
                out.push_back(fmt::format("ALTER TABLE ONLY {} DISABLE TRIGGER {}", t.name.quoted(), quote_ident(g.name)));
        }
    }

    void settings(Statements& out, Table const& t) const {
        auto const* const there = have(t);
        auto rest = t;
        bool same_identity = there != nullptr && t.replica_identity == there->replica_identity;
        for (auto& i : rest.indexes) {
            auto const* const now = named(there == nullptr ? nullptr : &there->indexes, i.name);
            if (now == nullptr) {
                same_identity = same_identity && !i.replica_identity;
                continue;
            }
            same_identity = same_identity && i.replica_identity == now->replica_identity;
            i.clustered = i.clustered && !now->clustered;
            std::erase_if(i.statistics, [&](auto const& item) { return std::ranges::find(now->statistics, item) != now->statistics.end(); });
        }
        if (same_identity || (there == nullptr && t.replica_identity == 'd'))
            rest.replica_identity = 'd';
        else if (rest.replica_identity == 'd')
            out.push_back(fmt::format("ALTER TABLE {} REPLICA IDENTITY DEFAULT", t.name.quoted()));
        index_settings(out, {&rest, t.name});
    }

    void missing_statistics(Statements& out, Table const& t) const {
        auto const* const there = have(t);
        auto rest = t;
        std::erase_if(rest.statistics, [&](model::Statistics const& s) {
            return there != nullptr && std::ranges::find(there->statistics, s.name, &model::Statistics::name) != there->statistics.end();
        });
        statistics(out, wanted_, {&rest, t.name});
    }

    void policies(Statements& out, Table const& t) const {
        auto const* const there = have(t);
        for (auto const& p : t.policies) {
            if (named(there == nullptr ? nullptr : &there->policies, p.name) == nullptr)
                out.push_back(create_policy(t.name, p));
        }
        if (t.row_security && (there == nullptr || !there->row_security))
            out.push_back(fmt::format("ALTER TABLE {} ENABLE ROW LEVEL SECURITY", t.name.quoted()));
    }

    template <typename List, typename Object>
    static void comments_of(Statements& out, List const& wanted, List const* have, Object const& object) {
        for (auto const& item : wanted) {
            auto const* const now = named(have, item.name);
            if (item.comment && (now == nullptr || now->comment != item.comment))
                out.push_back(comment_on(object(item), *item.comment));
        }
    }
    void notes(Statements& out, Table const& t) const {
        auto const* const there = have(t);
        auto const on = " ON " + t.name.quoted();
        if (t.comment && (there == nullptr || there->comment != t.comment))
            out.push_back(comment_on("TABLE " + t.name.quoted(), *t.comment));
        comments_of(out, t.columns, there == nullptr ? nullptr : &there->columns,
                    [&](model::Column const& c) { return fmt::format("COLUMN {}.{}", t.name.quoted(), quote_ident(c.name)); });
        comments_of(out, t.constraints, there == nullptr ? nullptr : &there->constraints,
                    [&](model::Constraint const& c) { return "CONSTRAINT " + quote_ident(c.name) + on; });
        comments_of(out, t.indexes, there == nullptr ? nullptr : &there->indexes,
                    [&](model::Index const& i) { return "INDEX " + QName{t.name.schema, i.name}.quoted(); });
        comments_of(out, t.triggers, there == nullptr ? nullptr : &there->triggers,
                    [&](model::Trigger const& g) { return "TRIGGER " + quote_ident(g.name) + on; });
        comments_of(out, t.policies, there == nullptr ? nullptr : &there->policies,
                    [&](model::Policy const& p) { return "POLICY " + quote_ident(p.name) + on; });
        for (auto const& s : wanted_.sequences) {
            auto const* const now = target_.sequence(s.name);
            // An identity's sequence gets its comment with the column.
            if (s.owned_by == t.name && s.comment && there != nullptr && now != nullptr && now->comment != s.comment)
                out.push_back(comment_on("SEQUENCE " + s.name.quoted(), *s.comment));
            else if (s.owned_by == t.name && s.comment && now == nullptr)
                out.push_back(comment_on("SEQUENCE " + s.name.quoted(), *s.comment));
        }
    }

    static void grant(Statements& out, std::string const& object, std::string const& columns, std::vector<model::Grant> const& wanted,
                      std::vector<model::Grant> const* have) {
        for (auto const& g : wanted) {
            if (!holds(have, g))
                out.push_back(fmt::format("GRANT {}{} ON {} TO {}{}", g.privilege, columns, object, grantee_text(g.grantee),
                                          g.grantable ? " WITH GRANT OPTION" : ""));
        }
    }
    void rights(Statements& out, Table const& t) const {
        auto const* const there = have(t);
        auto const object = "TABLE " + t.name.quoted();
        grant(out, object, "", t.grants, there == nullptr ? nullptr : &there->grants);
        for (auto const& c : t.columns) {
            auto const* const now = there == nullptr ? nullptr : there->column(c.name);
            grant(out, object, " (" + quote_ident(c.name) + ")", c.grants, now == nullptr ? nullptr : &now->grants);
        }
        for (auto const& s : wanted_.sequences) {
            auto const* const now = target_.sequence(s.name);
            if (s.owned_by == t.name)
                grant(out, "SEQUENCE " + s.name.quoted(), "", s.grants, now == nullptr ? nullptr : &now->grants);
        }
    }

    // Owned sequences follow their table.
    void owner(Statements& out, Table const& t) const {
        auto const* const there = have(t);
        auto const now = there == nullptr ? wanted_.role.name : there->owner;
        if (t.owner != wanted_.role.name && t.owner != now)
            out.push_back(fmt::format("ALTER TABLE {} OWNER TO {}", t.name.quoted(), quote_ident(t.owner)));
    }

    Catalog const& wanted_;
    Catalog const& target_;
    std::vector<Step> steps_;
};

} // namespace

std::vector<Step> post_load_steps(Catalog const& wanted, Catalog const& target) { return Finisher{wanted, target}.run(); }

} // namespace pgcarve::ddl
