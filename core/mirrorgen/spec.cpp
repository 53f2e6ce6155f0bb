#include "mirrorgen/spec.hpp"

#include <algorithm>
#include <string_view>

#include "base/error.hpp"

namespace pgcarve::mirrorgen {

namespace {

// The first part of what format_type printed, when it names a schema: public.citext, "My Types".t(3).
std::optional<std::string> leading_schema(std::string_view type) {
    std::string schema;
    std::size_t at = 0;
    if (type.starts_with('"')) {
        for (at = 1; at < type.size(); ++at) {
            if (type[at] == '"' && (at + 1 == type.size() || type[at + 1] != '"'))
                break;
            if (type[at] == '"')
                ++at;
            schema += type[at];
        }
        ++at;
    } else {
        at = type.find_first_of(".([ ");
        if (at == std::string_view::npos)
            return std::nullopt;
        schema = type.substr(0, at);
    }
    return at < type.size() && type[at] == '.' ? std::optional{schema} : std::nullopt;
}

// An extension's base type brings its own equality; enums, ranges, arrays and records use pg_catalog's.
std::string equality(model::Column const& column) {
    auto const schema = leading_schema(column.type);
    if (column.type_kind != "b" || !schema || *schema == "pg_catalog" || column.type.ends_with("[]"))
        return "=";
    return "OPERATOR(" + sql::quote_ident(*schema) + ".=)";
}

std::vector<Partition> partitions_of(model::Table const& table, model::Table const& other, model::Catalog const& catalog) {
    std::vector<Partition> all;
    auto const others = catalog.partitions(other);
    for (auto const* partition : catalog.partitions(table)) {
        Partition p{partition->name, partition->kind == 'p', std::nullopt};
        auto const same = std::ranges::find_if(others, [&](model::Table const* o) {
            return o->name.name == partition->name.name && o->partition_bound == partition->partition_bound;
        });
        if (same != others.end())
            p.counterpart = (*same)->name;
        all.push_back(std::move(p));
    }
    return all;
}

void read_columns(Spec& spec, model::Table const& authority, model::Table const& follower) {
    for (auto const& column : authority.columns) {
        if (column.generated == 0)
            spec.columns.push_back(column.name);
    }
    for (auto const& column : follower.columns) {
        if (column.identity == 'a')
            spec.fixed.push_back(column.name);
    }
}

std::vector<KeyColumn> compared(std::vector<std::string> const& names, model::Table const& table) {
    std::vector<KeyColumn> columns;
    for (auto const& name : names) {
        auto const* const column = table.column(name);
        if (column == nullptr)
            base::bug("key column " + name + " is missing in " + table.name.display());
        columns.push_back({name, equality(*column)});
    }
    return columns;
}

std::optional<std::string> nullable_of(std::vector<std::string> const& names, model::Table const& table) {
    auto const at = std::ranges::find_if(names, [&](std::string const& name) {
        auto const* const column = table.column(name);
        return column != nullptr && !column->not_null && column->generated == 0;
    });
    return at == names.end() ? std::nullopt : std::optional{*at};
}

void read_key(Spec& spec, model::Table const& authority, model::Table const& follower) {
    auto const key = model::usable_key(follower);
    if (!key)
        base::bug("no usable key for a mirror: " + follower.name.display());
    spec.key = compared(key->columns, authority);
    auto const& schema = follower.name.schema;
    for (auto const& index : follower.indexes) {
        if (index.name == key->index && !key->immediate)
            spec.deferrable_key = sql::QName{schema, index.constraint.value_or(index.name)};
        if (index.unique && index.immediate && index.name != key->index && !index.expressions && !index.key_columns.empty())
            spec.other_uniques.push_back({compared(index.key_columns, authority), nullable_of(index.key_columns, follower), index.partial});
    }
}

// Whether a foreign key writes to the table that has it.
bool acts(model::Constraint const& c) {
    auto const writes = [](char action) { return action == 'c' || action == 'n' || action == 'd'; };
    return c.type == 'f' && (writes(c.on_update) || writes(c.on_delete));
}

void read_constraints(Spec& spec, model::Table const& follower, model::Catalog const& catalog) {
    auto const defer = [&](std::string const& schema, model::Constraint const& c) {
        auto const name = sql::QName{schema, c.name};
        if (c.deferrable && c.type != 't' && std::ranges::find(spec.deferrable, name) == spec.deferrable.end())
            spec.deferrable.push_back(name);
    };
    for (auto const& c : follower.constraints) {
        defer(follower.name.schema, c);
        if (c.type == 'f')
            spec.outgoing.push_back({c.columns, c.referenced, c.referenced_columns});
    }
    for (auto const& table : catalog.tables) {
        for (auto const& c : table.constraints) {
            if (c.type != 'f' || c.referenced != follower.name)
                continue;
            spec.follower_referenced = true;
            defer(table.name.schema, c);
        }
    }
}

// Whether a trigger of the application can give a row other values than the statement that writes it.
bool changes_rows_first(model::Table const& table, model::Catalog const& catalog) {
    auto const has = [](model::Table const& t) {
        return std::ranges::any_of(t.triggers, [](model::Trigger const& trigger) {
            return trigger.before && trigger.row_level && !trigger.name.starts_with("pgcarve_");
        });
    };
    return has(table) || std::ranges::any_of(catalog.partitions(table), [&](model::Table const* partition) { return has(*partition); });
}

} // namespace

Spec make_spec(std::string service, Direction direction, model::Table const& authority, model::Table const& follower,
               model::Catalog const& catalog) {
    Spec spec;
    spec.service = std::move(service);
    spec.direction = direction;
    spec.authority = authority.name;
    spec.follower = follower.name;
    for (auto const& owner : {authority.owner, follower.owner}) {
        if (!owner.empty() && std::ranges::find(spec.owners, owner) == spec.owners.end())
            spec.owners.push_back(owner);
    }
    spec.authority_partitioned = authority.kind == 'p';
    spec.follower_partitioned = follower.kind == 'p';
    spec.authority_partitions = partitions_of(authority, follower, catalog);
    spec.follower_partitions = partitions_of(follower, authority, catalog);
    // Either side's, since the new tables get their triggers after the mirror was planned.
    spec.key_may_change_unseen = changes_rows_first(authority, catalog) || changes_rows_first(follower, catalog);
    spec.row_security = authority.row_security || follower.row_security;
    read_columns(spec, authority, follower);
    read_key(spec, authority, follower);
    read_constraints(spec, follower, catalog);
    // Either side's: a table may get its foreign keys only when it becomes the authority.
    spec.repeats = std::ranges::any_of(authority.constraints, acts) || std::ranges::any_of(follower.constraints, acts);
    return spec;
}

namespace {

// Depth first, so that what references a table comes before it.
void collect(Spec const& of, std::vector<Spec> const& specs, model::Catalog const& catalog, std::vector<sql::QName>& seen,
             std::vector<Referencing>& found) {
    seen.push_back(of.follower);
    for (auto const& child : specs) {
        auto const* const table = catalog.find(child.follower);
        if (table == nullptr || std::ranges::find(seen, child.follower) != seen.end())
            continue;
        auto const references = [&](model::Constraint const& c) { return c.type == 'f' && c.referenced == of.follower; };
        if (std::ranges::none_of(table->constraints, references))
            continue;
        collect(child, specs, catalog, seen, found);
        found.push_back({child.authority, child.follower, child.key});
    }
}

} // namespace

namespace {

// The tables that an acting foreign key of either side points at, by the name of the pair's authority where it has one.
std::vector<sql::QName> acting_parents(Spec const& spec, std::vector<Spec> const& specs, model::Catalog const& catalog) {
    std::vector<sql::QName> parents;
    for (auto const& side : {spec.authority, spec.follower}) {
        auto const* const table = catalog.find(side);
        if (table == nullptr)
            continue;
        for (auto const& c : table->constraints) {
            if (!acts(c))
                continue;
            auto const pair = std::ranges::find_if(specs, [&](Spec const& s) { return s.authority == c.referenced || s.follower == c.referenced; });
            parents.push_back(pair == specs.end() ? c.referenced : pair->authority);
        }
    }
    return parents;
}

void find_acted_on(std::vector<Spec>& specs, model::Catalog const& catalog) {
    for (auto& spec : specs)
        spec.acted_on = false;
    for (bool more = true; more;) {
        more = false;
        for (auto& spec : specs) {
            if (spec.acted_on)
                continue;
            auto const parents = acting_parents(spec, specs, catalog);
            spec.acted_on = std::ranges::any_of(parents, [&](sql::QName const& parent) {
                auto const pair = std::ranges::find(specs, parent, &Spec::authority);
                return pair == specs.end() || pair->acted_on;
            });
            more = more || spec.acted_on;
        }
    }
}

} // namespace

void link(std::vector<Spec>& specs, model::Catalog const& catalog) {
    find_acted_on(specs, catalog);
    for (auto& spec : specs) {
        std::vector<sql::QName> seen;
        std::vector<Referencing> found;
        collect(spec, specs, catalog, seen, found);
        spec.referencing = std::move(found);
    }
}

} // namespace pgcarve::mirrorgen
