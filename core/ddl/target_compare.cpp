// Whether a table that the target has already can serve.
#include <algorithm>

#include <fmt/format.h>

#include "ddl/signature.hpp"
#include "ddl/target_parts.hpp"
#include "ddl/text.hpp"

namespace pgcarve::ddl {

using model::Catalog;
using model::Notice;
using model::Table;
using sql::display_ident;
using sql::QName;
using sql::quote_ident;

namespace {

std::string maybe(std::optional<std::string> const& text) { return text ? canonical(*text) : "none"; }
std::string maybe(std::optional<QName> const& name) { return name ? name->display() : "none"; }

class Comparer {
public:
    Comparer(std::vector<Notice>& out, Catalog const& wanted, Table const& table, Catalog const& target, Table const& have)
        : out_{out}, wanted_{wanted}, t_{table}, target_{target}, have_{have} {}

    void run() {
        shape();
        columns();
        constraints();
        indexes();
        triggers();
        policies();
        sequences();
        for (auto const& rule : have_.rules)
            refuse("has the rule " + display_ident(rule) + " at the target", fmt::format("DROP RULE {} ON {};", quote_ident(rule), name()));
    }

private:
    void refuse(std::string text, std::string hint) {
        out_.push_back({true, t_.name.display(), "exists at the target: " + std::move(text), "at the target: " + std::move(hint)});
    }
    [[nodiscard]] std::string name() const { return t_.name.quoted(); }
    void differs(std::string const& what, std::string const& here, std::string const& there, std::string mend = {}) {
        if (here != there)
            refuse(fmt::format("{} is {} at the source and {} there", what, here, there),
                   mend.empty() ? fmt::format("DROP TABLE {};  -- after a look at its rows", name()) : std::move(mend));
    }

    void shape() {
        differs("the kind", std::string(1, t_.kind), std::string(1, have_.kind));
        differs("the persistence", std::string(1, t_.persistence), std::string(1, have_.persistence),
                fmt::format("ALTER TABLE {} SET {};", name(), t_.persistence == 'u' ? "UNLOGGED" : "LOGGED"));
        differs("the partition key", maybe(t_.partition_key), maybe(have_.partition_key));
        differs("the table that it is a partition of", maybe(t_.partition_of), maybe(have_.partition_of));
        differs("the partition bound", maybe(t_.partition_bound), maybe(have_.partition_bound));
        if (have_.of_type || !have_.inherits.empty() || have_.has_inheritance_children)
            refuse("it is typed or takes part in inheritance", fmt::format("DROP TABLE {};", name()));
    }

    void columns() {
        auto now = t_; // an oid of none: columns are matched by name
        now.oid = {};
        auto then = have_;
        for (auto* const table : {&now, &then}) {
            for (auto& c : table->columns) {
                if (c.default_expr)
                    c.default_expr = canonical(*c.default_expr);
                // From version 17 a partition's column says so when its root's is an identity column.
                if (table->partition_of && !c.owned_sequence)
                    c.identity = 0;
            }
        }
        for (auto& d : describe_difference(then, now, t_.name)) {
            if (!d.text.starts_with("the key changed")) // a key that is only missing is made
                refuse(d.text + " at the source", d.mend.empty() ? fmt::format("DROP TABLE {};", name()) : d.mend);
        }
        for (auto const& c : now.columns) {
            auto const* const there = then.column(c.name);
            if (there == nullptr || c.generated != 0 || c.default_expr == there->default_expr)
                continue;
            auto const alter = fmt::format("ALTER TABLE {} ALTER COLUMN {} ", name(), quote_ident(c.name));
            differs("the default of " + display_ident(c.name), maybe(c.default_expr), maybe(there->default_expr),
                    alter + (c.default_expr ? "SET DEFAULT " + *c.default_expr : "DROP DEFAULT") + ";");
        }
    }

    void constraints() {
        for (auto const& c : t_.constraints) {
            auto const at = std::ranges::find(have_.constraints, c.name, &model::Constraint::name);
            if (c.type == 'n' || at == have_.constraints.end())
                continue;
            differs("constraint " + display_ident(c.name), canonical(c.definition), canonical(at->definition),
                    fmt::format("ALTER TABLE {} DROP CONSTRAINT {};  -- it is made again", name(), quote_ident(c.name)));
        }
        for (auto const& c : have_.constraints) {
            bool const ours = std::ranges::find(t_.constraints, c.name, &model::Constraint::name) != t_.constraints.end();
            if (ours || c.type == 'n' || c.type == 'f' || c.type == 't' || c.inherited)
                continue;
            refuse(fmt::format("it has the constraint {} {}, which the source has not", display_ident(c.name), c.definition),
                   fmt::format("ALTER TABLE {} DROP CONSTRAINT {};", name(), quote_ident(c.name)));
        }
    }

    void indexes() {
        for (auto const& i : t_.indexes) {
            auto const at = std::ranges::find(have_.indexes, i.name, &model::Index::name);
            if (at == have_.indexes.end())
                continue;
            auto const mend = at->constraint ? fmt::format("ALTER TABLE {} DROP CONSTRAINT {};", name(), quote_ident(i.name))
                                             : fmt::format("DROP INDEX {};", QName{t_.name.schema, i.name}.quoted());
            differs("index " + display_ident(i.name), canonical(i.definition), canonical(at->definition), mend + "  -- it is made again");
            if (maybe(i.constraint) == maybe(at->constraint))
                continue;
            differs("the constraint of index " + display_ident(i.name), maybe(i.constraint), maybe(at->constraint), mend);
        }
        for (auto const& i : have_.indexes) {
            bool const ours = std::ranges::find(t_.indexes, i.name, &model::Index::name) != t_.indexes.end();
            if (i.unique && !ours && !i.constraint && !i.inherited)
                refuse(fmt::format("it has the unique index {}, which the source has not", display_ident(i.name)),
                       fmt::format("DROP INDEX {};", QName{t_.name.schema, i.name}.quoted()));
        }
    }

    void triggers() {
        for (auto const& g : have_.triggers) {
            auto const at = std::ranges::find(t_.triggers, g.name, &model::Trigger::name);
            auto const drop = fmt::format("DROP TRIGGER {} ON {};", quote_ident(g.name), name());
            if (at == t_.triggers.end()) {
                if (!g.inherited && g.enabled != 'D')
                    refuse(fmt::format("it has the trigger {}, which the source has not", display_ident(g.name)), drop);
            } else {
                differs("trigger " + display_ident(g.name), canonical(at->definition), canonical(g.definition), drop + "  -- it is made again");
            }
        }
    }

    static std::string text(model::Policy const& p) {
        return fmt::format("{} {} for {} using {} check {}", p.permissive ? "permissive" : "restrictive", p.command,
                           p.roles.empty() ? "PUBLIC" : ident_list(p.roles), maybe(p.using_expr), maybe(p.check_expr));
    }
    void policies() {
        for (auto const& p : t_.policies) {
            auto const at = std::ranges::find(have_.policies, p.name, &model::Policy::name);
            if (at != have_.policies.end())
                differs("policy " + display_ident(p.name), text(p), text(*at),
                        fmt::format("DROP POLICY {} ON {};  -- it is made again", quote_ident(p.name), name()));
        }
        for (auto const& p : have_.policies) {
            if (std::ranges::find(t_.policies, p.name, &model::Policy::name) == t_.policies.end())
                refuse(fmt::format("it has the policy {}, which the source has not", display_ident(p.name)),
                       fmt::format("DROP POLICY {} ON {};", quote_ident(p.name), name()));
        }
    }

    static std::string text(model::Sequence const& s) {
        return fmt::format("{} start {} increment {} between {} and {} cache {}{}", s.type, s.start, s.increment, s.minimum, s.maximum, s.cache,
                           s.cycle ? " cycle" : "");
    }
    void sequences() {
        for (auto const& s : wanted_.sequences) {
            auto const* const there = s.owned_by == t_.name ? target_.sequence(s.name) : nullptr;
            if (there != nullptr)
                differs("sequence " + s.name.display(), text(s), text(*there), fmt::format("ALTER SEQUENCE {} …;", s.name.quoted()));
        }
    }

    std::vector<Notice>& out_;
    Catalog const& wanted_;
    Table const& t_;
    Catalog const& target_;
    Table const& have_;
};

} // namespace

void compare_tables(std::vector<Notice>& out, Catalog const& wanted, Table const& table, Catalog const& target, Table const& have) {
    Comparer{out, wanted, table, target, have}.run();
}

} // namespace pgcarve::ddl
