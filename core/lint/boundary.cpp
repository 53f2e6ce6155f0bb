#include "lint/boundary.hpp"

#include <algorithm>

namespace pgcarve::lint {

std::string Owner::text() const {
    switch (kind) {
    case Kind::service:
        return "service " + service;
    case Kind::reference:
        return "the reference tables";
    case Kind::nobody:
        return "the shared database";
    case Kind::unknown:
        break;
    }
    return "?";
}

Owner Boundary::by_schema(std::string const& schema) const {
    for (auto const& [name, service] : map_.services) {
        if (service.schema == schema || (service.database && service.database->schema == schema))
            return {Owner::Kind::service, name};
    }
    return {};
}

Owner Boundary::table(sql::QName const& name) const {
    if (name.name.empty() || name.schema == "information_schema" || name.schema.starts_with("pg_") ||
        name.name.starts_with("pg_"))
        return {};
    if (auto const owner = by_schema(name.schema); owner.kind != Owner::Kind::unknown)
        return owner;
    if (model::patterns_own(map_.reference, name))
        return {Owner::Kind::reference};
    for (auto const& [service_name, service] : map_.services) {
        if (model::patterns_own(service.tables, name))
            return {Owner::Kind::service, service_name};
    }
    return {Owner::Kind::nobody};
}

Owner Boundary::sequence(sql::QName const& name) const {
    for (auto stem = name; !stem.name.empty();) {
        auto const owner = table(stem);
        if (owner.kind == Owner::Kind::service || owner.kind == Owner::Kind::unknown)
            return owner;
        auto const cut = stem.name.rfind('_');
        stem.name.resize(cut == std::string::npos ? 0 : cut);
    }
    return {};
}

Owner Boundary::role(std::string const& role) const {
    for (auto const& [name, service] : map_.services) {
        if (service.role == role)
            return {Owner::Kind::service, name};
    }
    return {};
}

std::string Boundary::service_of_file(std::string const& path) const {
    for (auto const& [name, service] : map_.services) {
        if (service.migrations && model::path_matches(*service.migrations, path))
            return name;
    }
    return {};
}

bool Boundary::unowned_on_purpose(sql::QName const& table) const {
    return model::patterns_own(map_.lint.unowned, table);
}

bool Boundary::keeps(sql::QName const& child, std::string const& constraint,
                     std::vector<std::string> const& columns, sql::QName const& parent) const {
    for (auto const& [name, service] : map_.services) {
        for (auto const& decision : service.foreign_keys) {
            bool const same =
                decision.child == child &&
                (decision.constraint ? *decision.constraint == constraint
                                     : decision.columns == columns && decision.parent == parent);
            if (same && decision.decision == model::CrossingDecision::keep)
                return true;
        }
    }
    return false;
}

sql::QName Boundary::resolve(sql::QName const& name, std::string const& service) const {
    if (!name.schema.empty())
        return name;
    sql::QName const shared{map_.shared_schema, name.name};
    auto const* const known = map_.service(service);
    if (known != nullptr && table(shared).kind == Owner::Kind::nobody)
        return {known->schema, name.name};
    return shared;
}

bool crosses(Owner const& from, Owner const& to, bool writes) {
    if (from.kind == Owner::Kind::unknown || to.kind == Owner::Kind::unknown || from == to)
        return false;
    if (to.kind == Owner::Kind::reference)
        return writes;
    return from.kind != Owner::Kind::reference || to.kind == Owner::Kind::service || writes;
}

} // namespace pgcarve::lint
