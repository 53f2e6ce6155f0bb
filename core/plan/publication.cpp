#include "plan/publication.hpp"

#include "model/mark.hpp"
#include "sql/builder.hpp"

namespace pgcarve::plan {

using sql::Sql;

std::string create_publication(std::string const& name, std::vector<model::TablePair> const& pairs, sql::QName model::TablePair::*side, int server_version) {
    Sql sql{"CREATE PUBLICATION "};
    sql.add(sql::Ident{name}).add(" FOR TABLE ");
    bool first = true;
    for (auto const& pair : pairs) {
        if (pair.is_partition)
            continue;
        sql.add(first ? Sql::Fixed{""} : Sql::Fixed{", "}).add(pair.*side);
        first = false;
    }
    if (!model::streams_messages(server_version))
        sql.add(", ").add(model::mark_table());
    return sql.text();
}

std::string drop_publication(std::string const& name) { return Sql{"DROP PUBLICATION IF EXISTS "}.add(sql::Ident{name}).text(); }

} // namespace pgcarve::plan
