#include "ddl/move.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "ddl/parts.hpp"
#include "ddl/text.hpp"

namespace pgcarve::ddl {

using model::Catalog;
using model::Notice;
using sql::QName;
using sql::quote_ident;

model::Step move_step(Catalog const& catalog, Pairs const& pairs) {
    model::Step step{.id = "move"};
    std::string tables;
    for (auto const& pair : pairs) {
        auto const& table = source_of(catalog, pair);
        tables += (tables.empty() ? "" : ", ") + pair.source.display();
        step.sql.push_back(fmt::format("ALTER TABLE {} SET SCHEMA {}", pair.source.quoted(), quote_ident(pair.target.schema)));
        for (auto const& s : table.statistics)
            step.sql.push_back(fmt::format("ALTER STATISTICS {} SET SCHEMA {}", s.name.quoted(), quote_ident(pair.target.schema)));
        for (auto const& s : table.statistics)
            step.undo.push_back(fmt::format("ALTER STATISTICS {} SET SCHEMA {}", QName{pair.target.schema, s.name.name}.quoted(),
                                            quote_ident(s.name.schema)));
        step.undo.push_back(fmt::format("ALTER TABLE {} SET SCHEMA {}", pair.target.quoted(), quote_ident(pair.source.schema)));
    }
    step.lock = "ACCESS EXCLUSIVE on " + tables;
    step.why = "the tables change their schema, all in one moment; no row is touched";
    return step;
}

std::vector<Notice> move_notices(Catalog const& catalog, Pairs const& pairs) {
    std::vector<Notice> notices;
    for (auto const& pair : pairs) {
        if (catalog.find(pair.target) != nullptr)
            notices.push_back({true, pair.target.display(), "a table of this name is in the way",
                               fmt::format("ALTER TABLE {} RENAME TO …, then run the same command again", pair.target.quoted())});
        auto const& table = source_of(catalog, pair);
        if (!catalog.role.superuser && std::ranges::find(catalog.role.member_of, table.owner) == catalog.role.member_of.end())
            notices.push_back({true, pair.source.display(),
                               fmt::format("belongs to {}, whose rights {} does not have", table.owner, catalog.role.name),
                               fmt::format("GRANT {} TO {}", quote_ident(table.owner), quote_ident(catalog.role.name))});
    }
    return notices;
}

QName aside_name(QName const& source) { return {source.schema, sql::bounded_name(source.name, "__pgcarve_old")}; }

std::vector<std::string> legacy_view_statements(Catalog const& catalog, Pairs const& pairs) {
    Statements out;
    for (auto const& pair : pairs) {
        if (pair.is_partition)
            continue;
        auto const& table = source_of(catalog, pair);
        out.push_back(fmt::format("ALTER TABLE {} RENAME TO {}", pair.source.quoted(), quote_ident(aside_name(pair.source).name)));
        // Row security is judged for whoever uses the view, not for its owner.
        out.push_back(fmt::format("CREATE VIEW {}{} AS SELECT {} FROM {}", pair.source.quoted(),
                                  table.row_security ? " WITH (security_invoker=true)" : "", ident_list(pair.columns),
                                  pair.target.quoted()));
        if (table.comment)
            out.push_back(comment_on("VIEW " + pair.source.quoted(), *table.comment));
        if (table.owner != catalog.role.name)
            out.push_back(fmt::format("ALTER VIEW {} OWNER TO {}", pair.source.quoted(), quote_ident(table.owner)));
        for (auto& statement : grant_statements("TABLE " + pair.source.quoted(), table.owner, table.grants,
                                                default_grantees(catalog, pair.source.schema, 'r')))
            out.push_back(std::move(statement));
        for (auto const& column : table.columns) {
            for (auto const& grant : column.grants)
                out.push_back(fmt::format("GRANT {} ({}) ON {} TO {}{}", grant.privilege, quote_ident(column.name), pair.source.quoted(),
                                          grant.grantee.empty() ? "PUBLIC" : quote_ident(grant.grantee),
                                          grant.grantable ? " WITH GRANT OPTION" : ""));
        }
    }
    return out;
}

std::vector<std::string> undo_legacy_view_statements(Pairs const& pairs) {
    Statements out;
    for (auto const& pair : pairs) {
        if (pair.is_partition)
            continue;
        out.push_back(fmt::format("DROP VIEW {}", pair.source.quoted()));
        out.push_back(fmt::format("ALTER TABLE {} RENAME TO {}", aside_name(pair.source).quoted(), quote_ident(pair.source.name)));
    }
    return out;
}

std::vector<Notice> legacy_view_notices(Catalog const& catalog, Pairs const& pairs) {
    std::vector<Notice> notices;
    for (auto const& pair : pairs) {
        if (pair.is_partition)
            continue;
        auto const& table = source_of(catalog, pair);
        if (table.row_security && catalog.server_version < 150000)
            notices.push_back({true, pair.source.display(),
                               "has row level security, which a view before version 15 would judge for its owner",
                               "legacy = \"refuse\""});
        else if (table.row_security)
            notices.push_back({false, pair.source.display(),
                               "has row level security: whoever uses the view needs rights on the new table as well",
                               fmt::format("GRANT USAGE ON SCHEMA {} TO …", quote_ident(pair.target.schema))});
        if (catalog.find(aside_name(pair.source)) != nullptr)
            notices.push_back({true, aside_name(pair.source).display(), "a table of this name is in the way",
                               fmt::format("ALTER TABLE {} RENAME TO …", aside_name(pair.source).quoted())});
    }
    return notices;
}

} // namespace pgcarve::ddl
