// What cannot be carried, and what the operator should know.
#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "ddl/carry.hpp"
#include "ddl/parts.hpp"
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

std::string make_key_hint(Table const& table) {
    for (auto const& index : table.indexes) {
        if (!index.unique || !index.valid || index.partial || index.expressions || index.key_columns.empty())
            continue;
        std::string alter;
        for (auto const& name : index.key_columns) {
            auto const* const column = table.column(name);
            if (column != nullptr && !column->not_null)
                alter += fmt::format("{} ALTER COLUMN {} SET NOT NULL", alter.empty() ? "" : ",", quote_ident(name));
        }
        return fmt::format("ALTER TABLE {}{};", table.name.quoted(), alter);
    }
    std::string column = "row_id";
    while (table.column(column) != nullptr)
        column += "_";
    return fmt::format("ALTER TABLE {} ADD COLUMN {} bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY;  -- rewrites the table; or add a "
                       "unique index CONCURRENTLY on columns that are NOT NULL",
                       table.name.quoted(), quote_ident(column));
}

auto refuser(std::vector<Notice>& out) {
    return [&out](std::string object, std::string text, std::string hint) {
        out.push_back({true, std::move(object), std::move(text), std::move(hint)});
    };
}

} // namespace

void judge_kind(std::vector<Notice>& out, Table const& t) {
    auto const refuse = refuser(out);
    auto const name = t.name.display();
    if (t.kind == 'f')
        refuse(name, "is a foreign table", "leave it out of the service's tables");
    if (!t.inherits.empty() || t.has_inheritance_children)
        refuse(name, "takes part in table inheritance", "make it a partitioned or an ordinary table, or leave it out");
    if (t.of_type)
        refuse(name, "is a typed table (OF " + t.of_type->display() + ")", fmt::format("ALTER TABLE {} NOT OF;", t.name.quoted()));
    for (auto const& rule : t.rules)
        refuse(name, "has the rule " + display_ident(rule),
               fmt::format("make it a trigger, then DROP RULE {} ON {};", quote_ident(rule), t.name.quoted()));
    for (auto const& label : t.security_labels)
        refuse(name, "has the security label " + label, fmt::format("SECURITY LABEL ON TABLE {} IS NULL;", t.name.quoted()));
    for (auto const& c : t.constraints) {
        if (c.type == 'n' && !c.validated)
            refuse(name, "has the NOT NULL constraint " + display_ident(c.name) + ", which is NOT VALID",
                   fmt::format("ALTER TABLE {} VALIDATE CONSTRAINT {};", t.name.quoted(), quote_ident(c.name)));
    }
    for (auto const& index : t.indexes) {
        auto const index_name = QName{t.name.schema, index.name}.quoted();
        if (!index.valid)
            refuse(name, "has the invalid index " + display_ident(index.name),
                   t.kind == 'p' ? fmt::format("attach an index to it for every partition, or DROP INDEX {};", index_name)
                                 : fmt::format("REINDEX INDEX CONCURRENTLY {};  -- or DROP INDEX {};", index_name, index_name));
    }
}

void judge_definitions(std::vector<Notice>& out, Catalog const& catalog, Table const& t) {
    auto const refuse = refuser(out);
    auto const check = [&](bool understood, std::string const& what, std::string const& definition) {
        if (!understood)
            refuse(t.name.display(), what + " has a definition that pgcarve does not understand: " + definition,
                   "drop it before the split and make it by hand after it");
    };
    QName const anywhere{"x", "x"};
    for (auto const& index : t.indexes) {
        auto const what = "index " + display_ident(index.name);
        if (!index.constraint) {
            check(create_index(t, index, anywhere).has_value(), what, index.definition);
            continue;
        }
        auto const c = std::ranges::find(t.constraints, *index.constraint, &model::Constraint::name);
        check(c != t.constraints.end() && key_constraint(*c, index), what, index.definition);
    }
    for (auto const& trigger : t.triggers) {
        if (!trigger.inherited)
            check(create_trigger(t, trigger, anywhere).has_value(), "trigger " + display_ident(trigger.name), trigger.definition);
    }
    for (auto const& s : t.statistics)
        check(create_statistics(t, s, anywhere).has_value(), "statistics object " + s.name.display(), s.definition);
    for (auto const& key : t.constraints) {
        auto const* const referenced = key.type == 'f' ? catalog.find(key.referenced) : nullptr;
        if (key.type == 'f')
            check(referenced != nullptr && foreign_key(key, referenced->sql_name, anywhere), "foreign key " + display_ident(key.name),
                  key.definition);
    }
}

void judge_key(std::vector<Notice>& out, Table const& t) {
    if (!model::usable_key(t))
        refuser(out)(t.name.display(), "has no usable key: no primary key and no unique index of NOT NULL columns", make_key_hint(t));
}

namespace {

class Judge {
public:
    Judge(Catalog const& catalog, Pairs const& pairs, CarryOptions const& options)
        : catalog_{catalog}, pairs_{pairs}, options_{options} {}

    std::vector<Notice> run() {
        for (auto const& pair : pairs_) {
            auto const& table = source_of(catalog_, pair);
            judge_kind(notices_, table);
            rights(table);
            target(pair);
            if (options_.needs_key && !pair.is_partition)
                judge_key(notices_, table);
            functions(table);
            judge_definitions(notices_, catalog_, table);
            remarks(table);
        }
        names();
        policies();
        return std::move(notices_);
    }

private:
    void refuse(std::string object, std::string text, std::string hint) {
        notices_.push_back({true, std::move(object), std::move(text), std::move(hint)});
    }
    void note(std::string object, std::string text, std::string hint = {}) {
        notices_.push_back({false, std::move(object), std::move(text), std::move(hint)});
    }

    void rights(Table const& t) {
        bool const mine = catalog_.role.superuser ||
                          std::ranges::find(catalog_.role.member_of, t.owner) != catalog_.role.member_of.end();
        if (!mine)
            refuse(t.name.display(), fmt::format("belongs to {}, whose rights {} does not have", t.owner, catalog_.role.name),
                   fmt::format("GRANT {} TO {};", quote_ident(t.owner), quote_ident(catalog_.role.name)));
        if (t.row_security && t.force_row_security && !catalog_.role.bypass_rls)
            refuse(t.name.display(), fmt::format("forces row level security on its owner, so {} may not see all of its rows", catalog_.role.name),
                   fmt::format("ALTER ROLE {} BYPASSRLS;  -- by a superuser", quote_ident(catalog_.role.name)));
    }

    void target(TablePair const& pair) {
        if (pair.source.schema == pair.target.schema)
            refuse(pair.source.display(), "is in the service's schema already", "choose another schema for the service");
        auto const* const there = catalog_.find(pair.target);
        if (there != nullptr && there->estimated_rows > 0)
            refuse(pair.target.display(), fmt::format("exists already, with about {:.0f} rows", there->estimated_rows),
                   fmt::format("ALTER TABLE {} RENAME TO …; if its rows are wanted, else DROP TABLE {};", pair.target.quoted(), pair.target.quoted()));
        else if (there != nullptr)
            refuse(pair.target.display(), "exists already", fmt::format("DROP TABLE {};  -- after a look at its rows", pair.target.quoted()));
    }

    // The mirror writes with a search_path of its own (it runs with its owner's rights), so a function that finds
    // other names by the writer's would fail in it, and the application's write with it.
    void functions(Table const& t) {
        for (auto const& function : t.loose_functions)
            refuse(t.name.display(),
                   fmt::format("uses {} on every write, which finds other names by the writer's search_path; the mirror would not find them",
                               function),
                   fmt::format("ALTER FUNCTION {} SET search_path = …;  -- the schemas that its body needs, and pg_temp last", function));
    }

    void remarks(Table const& t) {
        for (auto const& publication : t.publications)
            note(t.name.display(), "is listed by the publication " + display_ident(publication) + "; its copy is not",
                 "after the cutover, when its subscribers should follow: ALTER PUBLICATION … ADD TABLE …");
        auto const foreign_grantor = [&](model::Grant const& g) { return g.grantor != t.owner; };
        bool chained = std::ranges::any_of(t.grants, foreign_grantor);
        for (auto const& column : t.columns)
            chained = chained || std::ranges::any_of(column.grants, foreign_grantor);
        if (chained)
            note(t.name.display(), "has rights granted by others than its owner; on the copy its owner grants them");
        if (t.replica_identity == 'i' && std::ranges::none_of(t.indexes, &model::Index::replica_identity))
            note(t.name.display(), "has lost the index of its replica identity; the copy says REPLICA IDENTITY NOTHING, which means the same");
    }

    // Everything that gets a name in the new schema must find it free.
    void names() {
        std::map<QName, std::string> taken;
        for (auto const& relation : catalog_.relations)
            taken.emplace(relation.name, relation.kind == 'S' ? "a sequence" : relation.kind == 'i' || relation.kind == 'I' ? "an index" : "an object");
        std::map<QName, std::string> statistics_taken;
        for (auto const& table : catalog_.tables) {
            for (auto const& s : table.statistics)
                statistics_taken.emplace(s.name, "statistics of " + table.name.display());
        }
        auto const claim = [&](std::map<QName, std::string>& names, QName const& name, std::string const& what) {
            auto const [at, free] = names.emplace(name, what);
            if (!free)
                refuse(name.display(), fmt::format("{} and {} would have the same name", what, at->second), "rename one of them");
        };
        for (auto const& pair : pairs_) {
            auto const& table = source_of(catalog_, pair);
            auto const& schema = pair.target.schema;
            claim(taken, pair.target, "the copy of " + table.name.display());
            for (auto const& index : table.indexes)
                claim(taken, {schema, index.name}, "index " + display_ident(index.name) + " of " + table.name.display());
            for (auto const& column : table.columns) {
                if (column.identity != 0 && column.owned_sequence)
                    claim(taken, {schema, column.owned_sequence->name}, "the sequence of " + table.name.display());
            }
            if (needs_guard(catalog_, table))
                claim(taken, guard_name(pair.target), "the DEFAULT partition for " + table.name.display());
            for (auto const& s : table.statistics)
                claim(statistics_taken, {schema, s.name.name}, "statistics of " + table.name.display());
        }
    }

    void policies() {
        auto const is_source = [&](std::optional<QName> const& name) {
            return name && std::ranges::find(pairs_, *name, &TablePair::source) != pairs_.end();
        };
        for (auto const& d : catalog_.dependencies) {
            if (d.kind == "policy" && is_source(d.from) && is_source(d.to))
                note(d.from->display(), fmt::format("policy {} reads {}; on the copy it goes on reading the old table", d.name, d.to->display()),
                     "recreate the policy on the copy before `complete`");
        }
    }

    Catalog const& catalog_;
    Pairs const& pairs_;
    CarryOptions const& options_;
    std::vector<Notice> notices_;
};

} // namespace

std::vector<Notice> carry_notices(Catalog const& catalog, Pairs const& pairs, CarryOptions const& options) {
    return Judge{catalog, pairs, options}.run();
}

} // namespace pgcarve::ddl
