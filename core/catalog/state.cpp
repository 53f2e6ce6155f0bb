#include "catalog/state.hpp"

#include "sql/builder.hpp"

namespace pgcarve::catalog {

std::string catalog_state(pg::Session& session) {
    // What ANALYZE and VACUUM write they write in place, which leaves the row's writer as it is.
    return session
        .one(sql::Sql{"SELECT count(*) || ' ' || sum(hashtextextended(w.xmin::text, 0)) AS state FROM ("
                      "SELECT xmin FROM pg_class UNION ALL SELECT xmin FROM pg_attribute UNION ALL SELECT xmin FROM pg_attrdef"
                      " UNION ALL SELECT xmin FROM pg_constraint UNION ALL SELECT xmin FROM pg_index UNION ALL SELECT xmin FROM pg_inherits"
                      " UNION ALL SELECT xmin FROM pg_partitioned_table UNION ALL SELECT xmin FROM pg_type UNION ALL SELECT xmin FROM pg_enum"
                      " UNION ALL SELECT xmin FROM pg_range UNION ALL SELECT xmin FROM pg_proc UNION ALL SELECT xmin FROM pg_operator"
                      " UNION ALL SELECT xmin FROM pg_opclass UNION ALL SELECT xmin FROM pg_collation UNION ALL SELECT xmin FROM pg_namespace"
                      " UNION ALL SELECT xmin FROM pg_depend UNION ALL SELECT xmin FROM pg_extension"
                      ") AS w"})
        .text("state");
}

} // namespace pgcarve::catalog
