#include "ddl/signature.hpp"

#include <algorithm>
#include <set>
#include <sstream>

#include <fmt/format.h>

#include "ddl/text.hpp"

namespace pgcarve::ddl {

using model::Catalog;
using model::Column;
using model::Table;
using sql::display_ident;
using sql::QName;
using sql::quote_ident;

namespace {

std::string column_line(Column const& c) {
    auto line = fmt::format("column {} {} {}", c.number, quote_ident(c.name), c.type);
    if (c.collation)
        line += " COLLATE " + *c.collation;
    if (c.not_null)
        line += " NOT NULL";
    if (c.identity != 0)
        line += fmt::format(" IDENTITY {}", c.identity);
    if (c.generated != 0)
        line += fmt::format(" GENERATED {} {}", c.generated, c.default_expr.value_or(""));
    return line;
}

} // namespace

std::string table_signature(Catalog const& catalog, Table const& table) {
    auto text = fmt::format("table {} {}\n", table.name.quoted(), table.kind);
    for (auto const& column : table.columns)
        text += column_line(column) + "\n";
    if (auto const key = model::usable_key(table))
        text += fmt::format("key {}{}\n", ident_list(key->columns), key->immediate ? "" : " deferrable");
    if (table.partition_bound)
        text += "bound " + *table.partition_bound + "\n";
    if (table.partition_key)
        text += "partitioned " + *table.partition_key + "\n";
    for (auto const* const part : catalog.partitions(table))
        text += fmt::format("partition {} of {} {}\n", part->name.quoted(), part->partition_of->quoted(), part->partition_bound.value_or(""));
    return text;
}

namespace {

class Comparer {
public:
    Comparer(Table const& then, Table const& now, QName const& target) : then_{then}, now_{now}, alter_{"ALTER TABLE " + target.quoted()} {}

    std::vector<Difference> run() {
        bool const same_table = then_.oid == now_.oid && then_.oid.value != 0;
        if (same_table && then_.name != now_.name)
            add(fmt::format("table {} was renamed to {}", then_.name.display(), now_.name.display()), rename_back());
        std::vector<std::pair<Column const*, Column const*>> both;
        std::vector<Column const*> gone;
        std::set<Column const*> fresh;
        for (auto const& c : now_.columns)
            fresh.insert(&c);
        for (auto const& c : then_.columns) {
            auto const at = std::ranges::find_if(now_.columns, [&](Column const& n) { return same_table ? n.number == c.number : n.name == c.name; });
            if (at == now_.columns.end()) {
                gone.push_back(&c);
            } else {
                both.emplace_back(&c, &*at);
                fresh.erase(&*at);
            }
        }
        if (!same_table)
            match_by_place(gone, fresh, both);
        for (auto const* const c : gone)
            add(fmt::format("column {} was dropped", display_ident(c->name)), fmt::format("{} DROP COLUMN {};", alter_, quote_ident(c->name)));
        for (auto const& pair : both)
            compare(*pair.first, *pair.second);
        for (auto const& c : now_.columns) {
            if (fresh.contains(&c))
                add(fmt::format("column {} {} was added", display_ident(c.name), c.type), add_column(c));
        }
        compare_keys();
        return std::move(found_);
    }

private:
    void add(std::string text, std::string mend) { found_.push_back({std::move(text), std::move(mend)}); }

    [[nodiscard]] std::string rename_back() const {
        auto const here = QName{then_.name.schema, now_.name.name};
        std::string sql;
        if (now_.name.schema != then_.name.schema)
            sql += fmt::format("ALTER TABLE {} SET SCHEMA {}; ", now_.name.quoted(), quote_ident(then_.name.schema));
        if (now_.name.name != then_.name.name)
            sql += fmt::format("ALTER TABLE {} RENAME TO {};", here.quoted(), quote_ident(then_.name.name));
        return sql;
    }

    // One column gone and one new at the same place among the live ones, with the same type.
    void match_by_place(std::vector<Column const*>& gone, std::set<Column const*>& fresh,
                        std::vector<std::pair<Column const*, Column const*>>& both) const {
        std::vector<Column const*> left;
        for (auto const* const c : gone) {
            auto const place = static_cast<std::size_t>(c - then_.columns.data());
            auto const* const n = place < now_.columns.size() ? &now_.columns[place] : nullptr;
            if (n != nullptr && then_.columns.size() == now_.columns.size() && fresh.contains(n) && n->type == c->type) {
                both.emplace_back(c, n);
                fresh.erase(n);
            } else {
                left.push_back(c);
            }
        }
        gone = std::move(left);
    }

    [[nodiscard]] std::string add_column(Column const& c) const {
        auto sql = fmt::format("{} ADD COLUMN {} {}", alter_, quote_ident(c.name), c.type);
        if (c.collation)
            sql += " COLLATE " + *c.collation;
        if (c.generated != 0)
            sql += fmt::format(" GENERATED ALWAYS AS ({}) {}", c.default_expr.value_or(""), c.generated == 's' ? "STORED" : "VIRTUAL");
        else if (c.default_expr)
            sql += " DEFAULT " + *c.default_expr;
        if (c.identity != 0)
            sql += fmt::format(" GENERATED {} AS IDENTITY", c.identity == 'a' ? "ALWAYS" : "BY DEFAULT");
        if (c.not_null)
            sql += " NOT NULL";
        return sql + ";";
    }

    void compare(Column const& a, Column const& b) {
        auto const alter_column = fmt::format("{} ALTER COLUMN {}", alter_, quote_ident(b.name));
        if (a.name != b.name)
            add(fmt::format("column {} was renamed to {}", display_ident(a.name), display_ident(b.name)),
                fmt::format("{} RENAME COLUMN {} TO {};", alter_, quote_ident(a.name), quote_ident(b.name)));
        auto const name = display_ident(b.name);
        auto const type = [](Column const& c) { return c.type + (c.collation ? " COLLATE " + *c.collation : ""); };
        if (type(a) != type(b))
            add(fmt::format("column {} changed its type from {} to {}", name, type(a), type(b)), fmt::format("{} TYPE {};", alter_column, type(b)));
        if (a.not_null != b.not_null)
            add(fmt::format("column {} {} NULL", name, b.not_null ? "no longer takes" : "now takes"),
                fmt::format("{} {} NOT NULL;", alter_column, b.not_null ? "SET" : "DROP"));
        if (a.generated != b.generated || (a.generated != 0 && a.default_expr != b.default_expr))
            add(fmt::format("column {} is generated in another way", name),
                b.generated == 0 && a.generated == 's' ? fmt::format("{} DROP EXPRESSION;", alter_column) : std::string{});
        if (a.identity != b.identity)
            add(fmt::format("column {} {}", name, b.identity == 0 ? "is no identity column any more" : "became an identity column, or one of another kind"),
                b.identity == 0                      ? fmt::format("{} DROP IDENTITY;", alter_column)
                : a.identity != 0 && b.identity != 0 ? fmt::format("{} SET GENERATED {};", alter_column, b.identity == 'a' ? "ALWAYS" : "BY DEFAULT")
                                                     : fmt::format("{} ADD GENERATED {} AS IDENTITY;", alter_column, b.identity == 'a' ? "ALWAYS" : "BY DEFAULT"));
    }

    void compare_keys() {
        auto const a = model::usable_key(then_);
        auto const b = model::usable_key(now_);
        auto const text = [](std::optional<model::Key> const& k) { return k ? ident_list(k->columns) + (k->immediate ? "" : " (deferrable)") : std::string{"none"}; };
        if (text(a) != text(b))
            add(fmt::format("the key changed from {} to {}", text(a), text(b)), {});
    }

    Table const& then_;
    Table const& now_;
    std::string alter_;
    std::vector<Difference> found_;
};

} // namespace

std::vector<Difference> describe_difference(Table const& then, Table const& now, QName const& target) {
    return Comparer{then, now, target}.run();
}

std::vector<Difference> describe_partitions(Catalog const& catalog, Table const& source, Table const& target) {
    std::vector<Difference> found;
    auto const ours = catalog.partitions(target);
    auto const theirs = catalog.partitions(source);
    auto const has = [](std::vector<Table const*> const& list, std::string const& name) {
        return std::ranges::any_of(list, [&](Table const* t) { return t->name.name == name; });
    };
    for (auto const* const part : theirs) {
        if (!has(ours, part->name.name))
            found.push_back({fmt::format("partition {} {} is new", part->name.display(), part->partition_bound.value_or("")), {}});
    }
    for (auto const* const part : ours) {
        bool const guard = part->partition_of && part->name == guard_name(*part->partition_of);
        if (!guard && !has(theirs, part->name.name))
            found.push_back({fmt::format("{} has no partition {} any more", source.name.display(), display_ident(part->name.name)),
                             fmt::format("ALTER TABLE {} DETACH PARTITION {};", part->partition_of->quoted(), part->name.quoted())});
    }
    return found;
}

std::vector<std::string> signature_difference(std::string const& then, std::string const& now) {
    auto const lines = [](std::string const& text) {
        std::vector<std::string> all;
        std::istringstream in{text};
        for (std::string line; std::getline(in, line);)
            all.push_back(line);
        return all;
    };
    auto const a = lines(then);
    auto const b = lines(now);
    std::vector<std::string> found;
    for (auto const& line : a) {
        if (std::ranges::find(b, line) == b.end())
            found.push_back("- " + line);
    }
    for (auto const& line : b) {
        if (std::ranges::find(a, line) == a.end())
            found.push_back("+ " + line);
    }
    return found;
}

} // namespace pgcarve::ddl
