#include "ddl/parts.hpp"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "ddl/text.hpp"

namespace pgcarve::ddl {

using model::Catalog;
using model::Table;
using sql::QName;
using sql::quote_ident;

std::string comment_on(std::string const& object, std::string const& comment) {
    return fmt::format("COMMENT ON {} IS {}", object, sql::literal(comment));
}

void create_table(Statements& out, Catalog const& catalog, Made const& made) {
    auto const& s = *made.source;
    auto text = fmt::format("CREATE {}TABLE {} (LIKE {} INCLUDING COMMENTS{} INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING STORAGE)",
                            s.persistence == 'u' ? "UNLOGGED " : "", made.target.quoted(), s.name.quoted(),
                            catalog.server_version >= 140000 ? " INCLUDING COMPRESSION" : "");
    if (s.partition_key)
        text += " PARTITION BY " + *s.partition_key;
    if (s.access_method)
        text += " USING " + quote_ident(*s.access_method);
    auto options = option_list(s.options);
    if (!s.toast_options.empty())
        options += (options.empty() ? "" : ", ") + option_list(s.toast_options, "toast.");
    if (!options.empty())
        text += " WITH (" + options + ")";
    if (s.tablespace)
        text += " TABLESPACE " + quote_ident(*s.tablespace);
    out.push_back(std::move(text));
}

namespace {

void identity(Statements& out, Catalog const& catalog, Made const& made, model::Column const& column) {
    auto const* const s = catalog.sequence(*column.owned_sequence);
    if (s == nullptr)
        return;
    auto const name = QName{made.target.schema, s->name.name};
    out.push_back(fmt::format("ALTER TABLE {} ALTER COLUMN {} ADD GENERATED {} AS IDENTITY (SEQUENCE NAME {} INCREMENT BY {} "
                              "MINVALUE {} MAXVALUE {} START WITH {} CACHE {}{})",
                              made.target.quoted(), quote_ident(column.name), column.identity == 'a' ? "ALWAYS" : "BY DEFAULT",
                              name.quoted(), s->increment, s->minimum, s->maximum, s->start, s->cache, s->cycle ? " CYCLE" : ""));
    if (s->comment)
        out.push_back(comment_on("SEQUENCE " + name.quoted(), *s->comment));
}

} // namespace

void column_settings(Statements& out, Catalog const& catalog, Made const& made) {
    auto const table = "ALTER TABLE ONLY " + made.target.quoted() + " ALTER COLUMN ";
    for (auto const& column : made.source->columns) {
        auto const name = quote_ident(column.name);
        // A partition that only shares its root's identity gets it when it is attached.
        if (column.identity != 0 && column.owned_sequence)
            identity(out, catalog, made, column);
        if (column.statistics_target)
            out.push_back(fmt::format("{}{} SET STATISTICS {}", table, name, *column.statistics_target));
        if (!column.options.empty())
            out.push_back(fmt::format("{}{} SET ({})", table, name, option_list(column.options)));
    }
}

void checks(Statements& out, Made const& made) {
    for (auto const& c : made.source->constraints) {
        if (c.type == 'c' && (c.validated || !c.enforced))
            out.push_back(fmt::format("ALTER TABLE {} ADD CONSTRAINT {} {}", made.target.quoted(), quote_ident(c.name), c.definition));
    }
}

std::string create_index(Made const& made, model::Index const& index) {
    auto const& s = *made.source;
    auto const what = "index " + sql::display_ident(index.name);
    if (!index.constraint)
        return carried(create_index(s, index, made.target), what, s);
    auto const at = std::ranges::find_if(s.constraints, [&](model::Constraint const& c) { return c.name == *index.constraint; });
    auto const definition = at == s.constraints.end() ? std::nullopt : key_constraint(*at, index);
    return fmt::format("ALTER TABLE ONLY {} ADD CONSTRAINT {} {}", made.target.quoted(), quote_ident(index.name), carried(definition, what, s));
}

std::string attach_index(Made const& made, model::Index const& index) {
    return fmt::format("ALTER INDEX {} ATTACH PARTITION {}", QName{made.target.schema, *index.parent}.quoted(),
                       QName{made.target.schema, index.name}.quoted());
}

void indexes(Statements& out, Made const& made) {
    for (auto const& index : made.source->indexes)
        out.push_back(create_index(made, index));
}

void index_settings(Statements& out, Made const& made) {
    auto const& s = *made.source;
    auto const table = "ALTER TABLE " + made.target.quoted();
    bool identified = false;
    for (auto const& index : s.indexes) {
        auto const name = QName{made.target.schema, index.name}.quoted();
        for (auto const& [column, target] : index.statistics)
            out.push_back(fmt::format("ALTER INDEX {} ALTER COLUMN {} SET STATISTICS {}", name, column, target));
        if (index.tablespace)
            out.push_back(fmt::format("ALTER INDEX {} SET TABLESPACE {}", name, quote_ident(*index.tablespace)));
        if (index.clustered)
            out.push_back(fmt::format("{} CLUSTER ON {}", table, quote_ident(index.name)));
        if (s.replica_identity == 'i' && index.replica_identity) {
            out.push_back(fmt::format("{} REPLICA IDENTITY USING INDEX {}", table, quote_ident(index.name)));
            identified = true;
        }
    }
    // 'i' without its index, which was dropped, identifies rows by nothing.
    if (s.replica_identity == 'n' || (s.replica_identity == 'i' && !identified))
        out.push_back(table + " REPLICA IDENTITY NOTHING");
    if (s.replica_identity == 'f')
        out.push_back(table + " REPLICA IDENTITY FULL");
}

void triggers(Statements& out, Made const& made) {
    for (auto const& trigger : made.source->triggers) {
        if (!trigger.inherited)
            out.push_back(carried(create_trigger(*made.source, trigger, made.target), "trigger " + sql::display_ident(trigger.name),
                                  *made.source));
    }
}

void statistics(Statements& out, Catalog const& catalog, Made const& made) {
    for (auto const& s : made.source->statistics) {
        auto const name = QName{made.target.schema, s.name.name}.quoted();
        out.push_back(carried(create_statistics(*made.source, s, made.target), "statistics object " + s.name.display(), *made.source));
        if (s.target)
            out.push_back(fmt::format("ALTER STATISTICS {} SET STATISTICS {}", name, *s.target));
        if (s.comment)
            out.push_back(comment_on("STATISTICS " + name, *s.comment));
        if (s.owner != catalog.role.name)
            out.push_back(fmt::format("ALTER STATISTICS {} OWNER TO {}", name, quote_ident(s.owner)));
    }
}

std::string create_policy(QName const& table, model::Policy const& p) {
    auto const* const command = p.command == 'r'   ? "SELECT"
                                : p.command == 'a' ? "INSERT"
                                : p.command == 'w' ? "UPDATE"
                                : p.command == 'd' ? "DELETE"
                                                   : "ALL";
    auto text = fmt::format("CREATE POLICY {} ON {} AS {} FOR {} TO {}", quote_ident(p.name), table.quoted(),
                            p.permissive ? "PERMISSIVE" : "RESTRICTIVE", command,
                            p.roles.empty() ? std::string{"PUBLIC"} : ident_list(p.roles));
    if (p.using_expr)
        text += " USING (" + *p.using_expr + ")";
    if (p.check_expr)
        text += " WITH CHECK (" + *p.check_expr + ")";
    return text;
}

void row_security(Statements& out, Made const& made) {
    auto const& s = *made.source;
    for (auto const& p : s.policies)
        out.push_back(create_policy(made.target, p));
    if (s.row_security)
        out.push_back(fmt::format("ALTER TABLE {} ENABLE ROW LEVEL SECURITY", made.target.quoted()));
    if (s.force_row_security)
        out.push_back(fmt::format("ALTER TABLE {} FORCE ROW LEVEL SECURITY", made.target.quoted()));
}

void comments(Statements& out, Made const& made) {
    auto const& s = *made.source;
    auto const on = " ON " + made.target.quoted();
    if (s.comment)
        out.push_back(comment_on("TABLE " + made.target.quoted(), *s.comment));
    for (auto const& c : s.constraints) {
        bool const here = c.type != 'f' && (c.type != 'c' || c.validated || !c.enforced);
        if (c.comment && here)
            out.push_back(comment_on("CONSTRAINT " + quote_ident(c.name) + on, *c.comment));
    }
    for (auto const& index : s.indexes) {
        if (index.comment)
            out.push_back(comment_on("INDEX " + QName{made.target.schema, index.name}.quoted(), *index.comment));
    }
    for (auto const& trigger : s.triggers) {
        if (trigger.comment)
            out.push_back(comment_on("TRIGGER " + quote_ident(trigger.name) + on, *trigger.comment));
    }
    for (auto const& policy : s.policies) {
        if (policy.comment)
            out.push_back(comment_on("POLICY " + quote_ident(policy.name) + on, *policy.comment));
    }
}

namespace {

void column_grants(Statements& out, Made const& made) {
    for (auto const& column : made.source->columns) {
        for (auto const& grant : column.grants)
            out.push_back(fmt::format("GRANT {} ({}) ON {} TO {}{}", grant.privilege, quote_ident(column.name), made.target.quoted(),
                                      grant.grantee.empty() ? "PUBLIC" : quote_ident(grant.grantee),
                                      grant.grantable ? " WITH GRANT OPTION" : ""));
    }
}

} // namespace

void ownership(Statements& out, Catalog const& catalog, Made const& made) {
    auto const& s = *made.source;
    auto const append = [&](Statements more) { out.insert(out.end(), more.begin(), more.end()); };
    if (s.owner != catalog.role.name)
        out.push_back(fmt::format("ALTER TABLE {} OWNER TO {}", made.target.quoted(), quote_ident(s.owner)));
    append(grant_statements("TABLE " + made.target.quoted(), s.owner, s.grants, default_grantees(catalog, made.target.schema, 'r')));
    column_grants(out, made);
    for (auto const& column : s.columns) {
        auto const* const sequence = column.identity != 0 && column.owned_sequence ? catalog.sequence(*column.owned_sequence) : nullptr;
        if (sequence != nullptr)
            append(grant_statements("SEQUENCE " + QName{made.target.schema, sequence->name.name}.quoted(), s.owner, sequence->grants,
                                    default_grantees(catalog, made.target.schema, 'S')));
    }
}

} // namespace pgcarve::ddl
