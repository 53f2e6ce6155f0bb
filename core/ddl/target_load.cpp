// The steps before the rows: tables, checks, keys, partitions.
#include <algorithm>
#include <string_view>

#include <fmt/format.h>

#include "ddl/target.hpp"
#include "ddl/target_parts.hpp"
#include "ddl/text.hpp"

namespace pgcarve::ddl {

using model::Catalog;
using model::Step;
using model::Table;
using sql::display_ident;
using sql::QName;
using sql::quote_ident;

bool is_key_index(Catalog const& wanted, Table const& table, model::Index const& index) {
    auto const key = model::usable_key(table);
    if (index.primary || (key && key->index == index.name))
        return true;
    auto const* const parent = index.parent && table.partition_of ? wanted.find(*table.partition_of) : nullptr;
    if (parent == nullptr)
        return false;
    auto const at = std::ranges::find(parent->indexes, *index.parent, &model::Index::name);
    return at != parent->indexes.end() && is_key_index(wanted, *parent, *at);
}

namespace {

std::string column_text(Table const& t, model::Column const& c) {
    auto text = fmt::format("{} {}", quote_ident(c.name), c.type);
    if (c.collation)
        text += " COLLATE " + *c.collation;
    if (c.generated != 0)
        text += fmt::format(" GENERATED ALWAYS AS ({}) {}", c.default_expr.value_or(""), c.generated == 'v' ? "VIRTUAL" : "STORED");
    else if (c.default_expr)
        text += " DEFAULT " + *c.default_expr;
    if (!c.not_null)
        return text;
    // From version 18 a NOT NULL has a name, which earlier ones read and forget.
    auto const named = std::ranges::find_if(t.constraints, [&](model::Constraint const& k) { return k.type == 'n' && k.columns == std::vector{c.name}; });
    if (named == t.constraints.end() || named->inherited)
        return text + " NOT NULL";
    return fmt::format("{} CONSTRAINT {} NOT NULL{}", text, quote_ident(named->name), named->definition.ends_with(" NO INHERIT") ? " NO INHERIT" : "");
}

std::string table_text(Table const& t) {
    std::string columns;
    for (auto const& c : t.columns)
        columns += (columns.empty() ? "" : ", ") + column_text(t, c);
    auto text = fmt::format("CREATE {}TABLE {} ({})", t.persistence == 'u' ? "UNLOGGED " : "", t.name.quoted(), columns);
    if (t.partition_key)
        text += " PARTITION BY " + *t.partition_key;
    if (t.access_method)
        text += " USING " + quote_ident(*t.access_method);
    auto options = option_list(t.options);
    if (!t.toast_options.empty())
        options += (options.empty() ? "" : ", ") + option_list(t.toast_options, "toast.");
    return options.empty() ? text : text + " WITH (" + options + ")";
}

void column_storage(Statements& out, Table const& t) {
    for (auto const& c : t.columns) {
        auto const alter = fmt::format("ALTER TABLE ONLY {} ALTER COLUMN {} ", t.name.quoted(), quote_ident(c.name));
        if (c.type_storage != 0 && c.storage != c.type_storage)
            out.push_back(alter + "SET STORAGE " +
                          (c.storage == 'p' ? "PLAIN" : c.storage == 'e' ? "EXTERNAL" : c.storage == 'm' ? "MAIN" : "EXTENDED"));
        if (c.compression != 0)
            out.push_back(alter + "SET COMPRESSION " + (c.compression == 'l' ? "lz4" : "pglz"));
    }
}

// Only what the role itself needs: rights come later, and those that it gives by default are taken away.
void only_ours(Statements& out, Catalog const& wanted, std::string const& object, char kind, std::string const& schema) {
    auto const born_with = default_grantees(wanted, schema, kind);
    std::string from;
    for (auto const& grantee : born_with) {
        if (grantee != wanted.role.name)
            from += (from.empty() ? "" : ", ") + (grantee.empty() ? std::string{"PUBLIC"} : quote_ident(grantee));
    }
    if (!from.empty())
        out.push_back(fmt::format("REVOKE ALL ON {} FROM {}", object, from));
}

bool is_identity(Table const& t, model::Sequence const& s) {
    auto const* const column = t.column(s.owned_by_column);
    return column != nullptr && column->identity != 0 && column->owned_sequence == s.name;
}

class Loader {
public:
    Loader(Catalog const& wanted, Catalog const& target) : wanted_{wanted}, target_{target} {}

    std::vector<Step> run() {
        for (auto const& t : wanted_.tables) {
            auto const* const have = target_.find(t.name);
            bool const root = !t.partition_of || wanted_.find(*t.partition_of) == nullptr;
            if (have != nullptr)
                complete(t, *have);
            else if (root)
                whole(t);
            else if (target_.find(*t.partition_of) != nullptr)
                partition(t);
        }
        return std::move(steps_);
    }

private:
    [[nodiscard]] std::vector<Made> tree(Table const& top) const {
        std::vector<Made> all{{&top, top.name}};
        for (auto const* const part : wanted_.partitions(top))
            all.push_back({part, part->name});
        return all;
    }

    void make(Statements& out, std::vector<Made> const& made) const {
        for (auto const& m : made) {
            auto const& t = *m.source;
            for (auto const& s : wanted_.sequences) {
                if (s.owned_by == t.name && !is_identity(t, s)) {
                    out.push_back(create_sequence(s, s.name));
                    only_ours(out, wanted_, "SEQUENCE " + s.name.quoted(), 'S', s.name.schema);
                }
            }
            out.push_back(table_text(t));
            for (auto const& s : wanted_.sequences) {
                if (s.owned_by == t.name && !is_identity(t, s))
                    out.push_back(fmt::format("ALTER SEQUENCE {} OWNED BY {}.{}", s.name.quoted(), t.name.quoted(), quote_ident(s.owned_by_column)));
            }
            column_settings(out, wanted_, m);
            column_storage(out, t);
            checks(out, m);
            only_ours(out, wanted_, "TABLE " + t.name.quoted(), 'r', t.name.schema);
            for (auto const& s : wanted_.sequences) {
                if (s.owned_by == t.name && is_identity(t, s))
                    only_ours(out, wanted_, "SEQUENCE " + s.name.quoted(), 'S', s.name.schema);
            }
        }
    }
    static void attach(Statements& out, Made const& m) {
        out.push_back(fmt::format("ALTER TABLE {} ATTACH PARTITION {} {}", m.source->partition_of->quoted(), m.target.quoted(),
                                  m.source->partition_bound.value_or("")));
    }

    void whole(Table const& root) {
        auto const made = tree(root);
        Statements out{"SET LOCAL default_tablespace = ''"};
        make(out, made);
        for (auto const& m : made) {
            if (m.source != made.front().source)
                attach(out, m);
        }
        Statements keys{"SET LOCAL default_tablespace = ''"};
        for (auto const& m : made) {
            for (auto const& index : m.source->indexes) {
                if (is_key_index(wanted_, *m.source, index))
                    keys.push_back(create_index(m, index));
            }
        }
        for (auto const& m : made) {
            for (auto const& index : m.source->indexes) {
                if (index.parent && is_key_index(wanted_, *m.source, index))
                    keys.push_back(attach_index(m, index));
            }
        }
        steps_.push_back({.id = "table:" + display_ident(root.name.name),
                          .sql = std::move(out),
                          .lock = {},
                          .why = fmt::format("{} takes the rows{}", root.name.display(), made.size() > 1 ? ", with its partitions" : ""),
                          .undo = {fmt::format("DROP TABLE IF EXISTS {}", root.name.quoted())}});
        steps_.push_back({.id = late_keys_step(root.name.name),
                          .sql = std::move(keys),
                          .lock = {},
                          .why = fmt::format("{} gets its key at the end of its copy, or before the stream writes to it", root.name.display()),
                          .undo = {}});
    }

    // A partition of a table that is there already. It brings all of its indexes, so that attaching finds each under its name.
    void partition(Table const& top) {
        auto const made = tree(top);
        Statements out{"SET LOCAL default_tablespace = ''"};
        make(out, made);
        for (auto const& m : made) {
            if (m.source != made.front().source)
                attach(out, m);
        }
        for (auto const& m : made)
            indexes(out, m);
        for (auto const& m : made) {
            for (auto const& index : m.source->indexes) {
                if (index.parent && m.source != made.front().source)
                    out.push_back(attach_index(m, index));
            }
        }
        attach(out, made.front());
        auto const* const parent = target_.find(*top.partition_of);
        for (auto const& m : made) {
            for (auto const& trigger : parent->triggers) {
                if (trigger.row_level)
                    out.push_back(fmt::format("ALTER TABLE ONLY {} DISABLE TRIGGER {}", m.target.quoted(), quote_ident(trigger.name)));
            }
        }
        steps_.push_back({.id = "partition:" + display_ident(top.name.name),
                          .sql = std::move(out),
                          .lock = "SHARE UPDATE EXCLUSIVE on " + top.partition_of->display(),
                          .why = fmt::format("{} got this partition at the source", top.partition_of->display()),
                          .undo = {fmt::format("DROP TABLE IF EXISTS {}", top.name.quoted())}});
    }

    // What copying needs and a table that was made by others lacks.
    void complete(Table const& t, Table const& have) {
        Made const m{&t, t.name};
        for (auto const& c : t.constraints) {
            bool const here = std::ranges::find(have.constraints, c.name, &model::Constraint::name) != have.constraints.end();
            if (here || c.type != 'c' || c.inherited || !(c.validated || !c.enforced))
                continue;
            steps_.push_back({.id = fmt::format("check:{}.{}", display_ident(t.name.name), display_ident(c.name)),
                              .sql = {fmt::format("ALTER TABLE {} ADD CONSTRAINT {} {}", t.name.quoted(), quote_ident(c.name), c.definition)},
                              .lock = "ACCESS EXCLUSIVE on " + t.name.display(),
                              .why = "the target's table lacks this check",
                              .undo = {}});
        }
        for (auto const& index : t.indexes) {
            bool const here = std::ranges::any_of(have.indexes, [&](model::Index const& i) {
                return i.name == index.name || (index.parent && i.parent == index.parent);
            });
            if (here || !is_key_index(wanted_, t, index))
                continue;
            Step step{.id = fmt::format("key:{}.{}", display_ident(t.name.name), display_ident(index.name))};
            step.sql.push_back(create_index(m, index));
            if (index.parent)
                step.sql.push_back(attach_index(m, index));
            step.lock = "ACCESS EXCLUSIVE on " + t.name.display();
            step.why = "the target's table lacks its key";
            steps_.push_back(std::move(step));
        }
    }

    Catalog const& wanted_;
    Catalog const& target_;
    std::vector<Step> steps_;
};

} // namespace

std::string late_keys_step(std::string const& root) { return "keys:" + display_ident(root); }

std::vector<Step> pre_load_steps(Catalog const& wanted, Catalog const& target) { return Loader{wanted, target}.run(); }

} // namespace pgcarve::ddl
