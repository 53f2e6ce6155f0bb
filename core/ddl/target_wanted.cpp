// The source's tables as the target should show them.
#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "ddl/target_parts.hpp"
#include "ddl/text.hpp"

namespace pgcarve::ddl {

using model::Catalog;
using model::Notice;
using model::Table;
using model::TablePair;
using sql::display_ident;
using sql::QName;
using sql::quote_ident;

namespace {

class Mover {
public:
    Mover(Catalog const& source, Catalog const& target, Pairs const& pairs, std::string schema)
        : source_{source}, target_{target}, pairs_{pairs}, schema_{std::move(schema)} {}

    Wanted run() {
        auto& out = wanted_.catalog;
        out.server_version = target_.server_version;
        out.database = target_.database;
        out.role = target_.role;
        out.roles = target_.roles;
        out.default_privileges = target_.default_privileges;
        for (auto const& pair : pairs_) {
            names_.add(pair.source, pair.target);
            for (auto const& s : source_.sequences) {
                if (s.owned_by == pair.source)
                    names_.add(s.name, {schema_, s.name.name});
            }
        }
        for (auto const& s : source_.sequences) {
            if (s.owned_by && is_ours(*s.owned_by))
                out.sequences.push_back(sequence(s));
        }
        for (auto const& pair : in_order())
            out.tables.push_back(table(source_of(source_, pair)));
        tell();
        return std::move(wanted_);
    }

private:
    void refuse(std::string object, std::string text, std::string hint) {
        wanted_.notices.push_back({true, std::move(object), std::move(text), std::move(hint)});
    }
    [[nodiscard]] bool is_ours(QName const& name) const {
        return std::ranges::find(pairs_, name, &TablePair::source) != pairs_.end();
    }
    [[nodiscard]] bool has_role(std::string const& name) const {
        return name.empty() || std::ranges::find(target_.roles, name) != target_.roles.end();
    }
    [[nodiscard]] bool may_be(std::string const& owner) const {
        auto const& role = target_.role;
        return has_role(owner) && (role.superuser || std::ranges::find(role.member_of, owner) != role.member_of.end());
    }

    // A table whose column has another's row type comes behind it.
    [[nodiscard]] Pairs in_order() const {
        Pairs out;
        std::set<QName> placed;
        auto left = pairs_;
        while (!left.empty()) {
            auto const ready = [&](TablePair const& pair) {
                auto const& t = source_of(source_, pair);
                if (t.partition_of && is_ours(*t.partition_of) && !placed.contains(*t.partition_of))
                    return false;
                return std::ranges::none_of(left, [&](TablePair const& other) {
                    auto const& type = source_of(source_, other).sql_name;
                    return other.source != pair.source &&
                           std::ranges::any_of(t.columns, [&](model::Column const& c) { return c.type == type || c.type == type + "[]"; });
                });
            };
            auto at = std::ranges::find_if(left, ready);
            if (at == left.end())
                at = left.begin(); // a circle of row types: the server will say so
            placed.insert(at->source);
            out.push_back(*at);
            left.erase(at);
        }
        return out;
    }

    std::string moved(std::string const& text, Table const& t, std::string const& what) {
        if (auto const there = names_.in(text))
            return *there;
        refuse(t.name.display(), fmt::format("{} reads a table by a schema's name that is an alias too: {}", what, text), "rename the alias or the column");
        return text;
    }
    std::optional<std::string> moved(std::optional<std::string> const& text, Table const& t, std::string const& what) {
        return text ? std::optional{moved(*text, t, what)} : std::nullopt;
    }
    // head + the source's name + rest → head + the target's name + rest. nullopt is told by judge_definitions.
    std::string moved(std::string const& text, std::string const& head, Table const& t, std::string const& what) {
        auto const rest = behind(text, head + t.sql_name);
        return rest ? head + names_(t.name).display() + moved(*rest, t, what) : text;
    }

    std::string owner(std::string const& source_owner) {
        if (source_owner == target_.role.name || may_be(source_owner))
            return source_owner;
        owners_.insert(source_owner);
        return target_.role.name;
    }

    // The rights of others. The owner has all of his at the target.
    std::vector<model::Grant> grants(std::vector<model::Grant> const& list, std::string const& source_owner, std::string const& there) {
        std::vector<model::Grant> out;
        for (auto const& grant : list) {
            if (grant.grantee == source_owner || grant.grantee == there)
                continue;
            if (has_role(grant.grantee))
                out.push_back({grant.grantee, grant.privilege, grant.grantable, there});
            else
                missing_roles_.insert(grant.grantee);
        }
        return out;
    }

    model::Sequence sequence(model::Sequence s) {
        auto const there = owner(s.owner);
        s.grants = grants(s.grants, s.owner, there);
        s.owner = there;
        s.name = names_(s.name);
        s.owned_by = names_(*s.owned_by);
        return s;
    }

    Table table(Table const& t) {
        Table w = t;
        w.oid = {};
        w.name = names_(t.name);
        w.sql_name = w.name.display();
        w.owner = owner(t.owner);
        w.grants = grants(t.grants, t.owner, w.owner);
        lost_rights(t);
        if (t.tablespace)
            tablespaces_.insert(*t.tablespace);
        w.tablespace.reset();
        w.partition_key = moved(t.partition_key, t, "the partition key");
        if (t.partition_of)
            w.partition_of = names_(*t.partition_of);
        w.publications.clear();
        w.loose_functions.clear();
        columns(w, t);
        constraints(w, t);
        indexes(w, t);
        triggers(w, t);
        policies(w, t);
        for (auto& s : w.statistics) {
            auto const what = "statistics object " + s.name.display();
            auto const middle = behind(s.definition, "CREATE STATISTICS " + s.sql_name);
            auto const body = middle ? before(*middle, " FROM " + t.sql_name) : std::nullopt;
            s.name = {schema_, s.name.name};
            s.sql_name = s.name.display();
            s.owner = w.owner;
            if (body)
                s.definition = "CREATE STATISTICS " + s.sql_name + moved(*body, t, what) + " FROM " + w.sql_name;
        }
        return w;
    }

    void columns(Table& w, Table const& t) {
        for (auto& c : w.columns) {
            auto const what = "column " + display_ident(c.name);
            c.type = moved(c.type, t, what);
            c.default_expr = moved(c.default_expr, t, what);
            c.grants = grants(c.grants, t.owner, w.owner);
            if (c.owned_sequence)
                c.owned_sequence = names_(*c.owned_sequence);
            for (auto& s : c.default_sequences)
                s = names_(s);
        }
    }

    void constraints(Table& w, Table const& t) {
        std::erase_if(w.constraints, [](model::Constraint const& c) { return c.type == 'f'; });
        for (auto& c : w.constraints)
            c.definition = moved(c.definition, t, "constraint " + display_ident(c.name));
    }

    void indexes(Table& w, Table const& t) {
        for (auto& i : w.indexes) {
            i.oid = {};
            if (i.tablespace)
                tablespaces_.insert(*i.tablespace);
            i.tablespace.reset();
            auto const head = fmt::format("CREATE {}INDEX {} ON {}", i.unique ? "UNIQUE " : "", i.sql_name, t.kind == 'p' ? "ONLY " : "");
            i.definition = moved(i.definition, head, t, "index " + display_ident(i.name));
        }
    }

    void triggers(Table& w, Table const& t) {
        for (auto& g : w.triggers)
            g.definition = moved(g.definition, g.head, t, "trigger " + display_ident(g.name));
    }

    void policies(Table& w, Table const& t) {
        for (auto& p : w.policies) {
            auto const what = "policy " + display_ident(p.name);
            p.using_expr = moved(p.using_expr, t, what);
            p.check_expr = moved(p.check_expr, t, what);
            for (auto const& role : p.roles) {
                if (!has_role(role))
                    refuse(w.name.display(), fmt::format("{} is for the role {}, which the target does not have", what, display_ident(role)),
                           fmt::format("at the target: CREATE ROLE {};", quote_ident(role)));
            }
        }
    }

    void lost_rights(Table const& t) {
        std::set<std::string> own;
        for (auto const& grant : t.grants) {
            if (grant.grantee == t.owner)
                own.insert(grant.privilege);
        }
        for (auto const* const privilege : {"SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE"}) {
            if (!own.contains(privilege))
                wanted_.notices.push_back({false, names_(t.name).display(),
                                           fmt::format("its owner has taken {} from himself at the source; at the target he has it", privilege), {}});
        }
    }

    void tell() {
        for (auto const& role : missing_roles_)
            wanted_.notices.push_back({false, "role " + display_ident(role), "does not exist at the target, so its rights are left out",
                                       fmt::format("at the target: CREATE ROLE {};  -- before this runs", quote_ident(role))});
        for (auto const& role : owners_)
            wanted_.notices.push_back({false, "role " + display_ident(role),
                                       fmt::format("owns tables at the source; at the target {} owns them", target_.role.name),
                                       fmt::format("at the target: {}GRANT {} TO {};", has_role(role) ? "" : "CREATE ROLE " + quote_ident(role) + "; ",
                                                   quote_ident(role), quote_ident(target_.role.name))});
        for (auto const& space : tablespaces_)
            wanted_.notices.push_back({false, "tablespace " + display_ident(space), "is the source's; at the target the default one is used", {}});
    }

    Catalog const& source_;
    Catalog const& target_;
    Pairs const& pairs_;
    std::string schema_;
    NameMap names_;
    Wanted wanted_;
    std::set<std::string> missing_roles_;
    std::set<std::string> owners_;
    std::set<std::string> tablespaces_;
};

} // namespace

Wanted wanted_at_target(Catalog const& source, Catalog const& target, Pairs const& pairs, std::string const& schema) {
    return Mover{source, target, pairs, schema}.run();
}

} // namespace pgcarve::ddl
