#include "ddl/text.hpp"

#include <algorithm>
#include <map>

#include <fmt/format.h>

namespace pgcarve::ddl {

using sql::QName;
using sql::quote_ident;

std::optional<std::string> behind(std::string_view text, std::string_view head) {
    if (!text.starts_with(head))
        return std::nullopt;
    return std::string{text.substr(head.size())};
}

std::optional<std::string> before(std::string_view text, std::string_view tail) {
    if (!text.ends_with(tail))
        return std::nullopt;
    return std::string{text.substr(0, text.size() - tail.size())};
}

std::optional<std::string> create_index(model::Table const& table, model::Index const& index, QName const& target) {
    auto const head = fmt::format("CREATE {}INDEX {} ON ", index.unique ? "UNIQUE " : "", index.sql_name);
    auto const* const only = table.kind == 'p' ? "ONLY " : "";
    auto const rest = behind(index.definition, fmt::format("{}{}{}", head, only, table.sql_name));
    if (!rest || !rest->starts_with(" USING "))
        return std::nullopt;
    return fmt::format("{}{}{}{}", head, only, target.quoted(), *rest);
}

std::optional<std::string> create_trigger(model::Table const& table, model::Trigger const& trigger, QName const& target) {
    auto const rest = behind(trigger.definition, trigger.head + table.sql_name);
    if (!rest || !rest->starts_with(' '))
        return std::nullopt;
    return trigger.head + target.quoted() + *rest;
}

std::optional<std::string> create_statistics(model::Table const& table, model::Statistics const& statistics,
                                             QName const& target) {
    auto const rest = behind(statistics.definition, "CREATE STATISTICS " + statistics.sql_name);
    auto const middle = rest ? before(*rest, " FROM " + table.sql_name) : std::nullopt;
    if (!middle || !middle->starts_with(' '))
        return std::nullopt;
    return fmt::format("CREATE STATISTICS {}{} FROM {}", QName{target.schema, statistics.name.name}.quoted(), *middle,
                       target.quoted());
}

std::optional<std::string> key_constraint(model::Constraint const& constraint, model::Index const& index) {
    // The deparser writes an exclusion constraint's storage parameters itself, but leaves those of keys out.
    if (index.options.empty() || constraint.type == 'x')
        return constraint.definition;
    std::string tail;
    if (constraint.deferrable)
        tail += " DEFERRABLE";
    if (constraint.deferred)
        tail += " INITIALLY DEFERRED";
    auto const body = before(constraint.definition, tail);
    if (!body || !body->ends_with(')'))
        return std::nullopt;
    return fmt::format("{} WITH ({}){}", *body, option_list(index.options), tail);
}

std::optional<std::string> foreign_key(model::Constraint const& key, std::string_view old_sql_name, QName const& referenced) {
    auto rest = behind(key.definition, key.head + std::string{old_sql_name});
    if (!rest || !rest->starts_with('('))
        return std::nullopt;
    if (!key.validated && key.enforced)
        rest = before(*rest, " NOT VALID");
    if (!rest)
        return std::nullopt;
    return key.head + referenced.quoted() + *rest;
}

std::string option_list(std::vector<std::string> const& options, std::string_view prefix) {
    std::string out;
    for (auto const& option : options) {
        auto const equals = option.find('=');
        auto const value = equals == std::string::npos ? std::string{"true"} : option.substr(equals + 1);
        out += fmt::format("{}{}{} = {}", out.empty() ? "" : ", ", prefix, quote_ident(option.substr(0, equals)),
                           sql::literal(value));
    }
    return out;
}

std::string ident_list(std::vector<std::string> const& names) {
    std::string out;
    for (auto const& name : names)
        out += (out.empty() ? "" : ", ") + quote_ident(name);
    return out;
}

namespace {

std::string grantee_text(std::string const& grantee) { return grantee.empty() ? "PUBLIC" : quote_ident(grantee); }

} // namespace

std::vector<std::string> grant_statements(std::string const& object, std::string const& owner,
                                          std::vector<model::Grant> const& wanted, std::set<std::string> const& born_with) {
    // REVOKE first, from everybody who could have got something: then what is granted is all there is.
    std::vector<std::string> statements;
    auto from = born_with;
    from.insert(owner);
    from.insert(std::string{});
    std::string all;
    for (auto const& grantee : from)
        all += (all.empty() ? "" : ", ") + grantee_text(grantee);
    statements.push_back(fmt::format("REVOKE ALL ON {} FROM {}", object, all));

    std::map<std::pair<std::string, bool>, std::set<std::string>> by_grantee;
    for (auto const& grant : wanted)
        by_grantee[{grant.grantee, grant.grantable && grant.grantee != owner}].insert(grant.privilege);
    for (auto const& [to, privileges] : by_grantee)
        statements.push_back(fmt::format("GRANT {} ON {} TO {}{}", fmt::join(privileges, ", "), object,
                                         grantee_text(to.first), to.second ? " WITH GRANT OPTION" : ""));
    return statements;
}

std::set<std::string> default_grantees(model::Catalog const& catalog, std::string const& schema, char kind) {
    std::set<std::string> grantees;
    for (auto const& defaults : catalog.default_privileges) {
        if (defaults.creator != catalog.role.name || defaults.kind != kind || (defaults.schema && *defaults.schema != schema))
            continue;
        for (auto const& grant : defaults.grants)
            grantees.insert(grant.grantee);
    }
    return grantees;
}

QName guard_name(QName const& target) { return {target.schema, sql::bounded_name(target.name, "__pgcarve_default")}; }

bool needs_guard(model::Catalog const& catalog, model::Table const& table) {
    if (table.kind != 'p' || !table.partition_key || table.partition_key->starts_with("HASH "))
        return false;
    return std::ranges::none_of(catalog.tables, [&](model::Table const& t) {
        return t.partition_of == table.name && t.partition_bound == "DEFAULT";
    });
}

} // namespace pgcarve::ddl
