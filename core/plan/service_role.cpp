#include "plan/service_role.hpp"

#include <algorithm>
#include <set>

#include <fmt/format.h>

namespace pgcarve::plan {

using model::Step;
using sql::quote_ident;

namespace {

bool missing(model::Service const& service, model::Catalog const& target) {
    return service.role && std::ranges::find(target.roles, *service.role) == target.roles.end();
}

// As far as it was granted by name: taken back is only what was given.
bool may_use(model::Catalog const& target, std::string const& schema, std::string const& role) {
    auto const at = std::ranges::find(target.schemas, schema, &model::Schema::name);
    return at != target.schemas.end() &&
           std::ranges::any_of(at->grants, [&](model::Grant const& g) { return (g.grantee == role || g.grantee.empty()) && g.privilege == "USAGE"; });
}

} // namespace

std::vector<model::Notice> target_role_notices(model::Service const& service, model::DatabaseSetup const& setup, model::Catalog const& target) {
    std::vector<model::Notice> notices;
    if (!service.role)
        return notices;
    if (missing(service, target) && !service.create_role)
        notices.push_back({true, *service.role, "the service's role is missing in the other database's server",
                           fmt::format("there: CREATE ROLE {} LOGIN; or set create_role = true", quote_ident(*service.role))});
    notices.push_back({false, *service.role, "pgcarve does not change how the role finds its tables in the other database",
                       fmt::format("there: ALTER ROLE {} IN DATABASE {} SET search_path = {};", quote_ident(*service.role), quote_ident(target.database),
                                   quote_ident(setup.schema))});
    return notices;
}

std::optional<Step> target_role_step(model::Service const& service, model::Catalog const& target) {
    if (!missing(service, target) || !service.create_role)
        return std::nullopt;
    auto const role = quote_ident(*service.role);
    return Step{.id = "role:" + *service.role,
                .sql = {"CREATE ROLE " + role + " LOGIN"},
                .lock = "",
                .why = "the role that the service connects as; give it a password",
                .undo = {"DROP ROLE IF EXISTS " + role}};
}

std::optional<Step> target_rights_step(model::Service const& service, model::DatabaseSetup const& setup, std::vector<ddl::SequenceHandover> const& handovers,
                                       model::Catalog const& target) {
    if (!service.role)
        return std::nullopt;
    auto const role = quote_ident(*service.role);
    Step step{"rights:" + *service.role, {}, "", fmt::format("role {} may work on the service's tables", *service.role), {}};
    std::set<std::string> usable;
    auto const use = [&](std::string const& schema) {
        if (!usable.insert(schema).second || may_use(target, schema, *service.role))
            return;
        step.sql.push_back(fmt::format("GRANT USAGE ON SCHEMA {} TO {}", quote_ident(schema), role));
        step.undo.push_back(fmt::format("REVOKE USAGE ON SCHEMA {} FROM {}", quote_ident(schema), role));
    };
    use(setup.schema);
    auto const all = [&](std::vector<model::TablePair> const& pairs, char const* rights) {
        for (auto const& pair : pairs) {
            if (!pair.is_partition)
                step.sql.push_back(fmt::format("GRANT {} ON {} TO {}", rights, pair.target.quoted(), role));
        }
    };
    all(setup.tables, "SELECT, INSERT, UPDATE, DELETE");
    all(setup.reference, "SELECT");
    for (auto const& sequence : handovers) {
        step.sql.push_back(fmt::format("GRANT USAGE, SELECT ON SEQUENCE {} TO {}", sequence.target.quoted(), role));
        use(sequence.target.schema);
    }
    return step;
}

} // namespace pgcarve::plan
