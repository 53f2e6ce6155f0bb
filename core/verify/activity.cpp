#include "verify/activity.hpp"

#include <fmt/format.h>

#include "sql/builder.hpp"

namespace pgcarve::verify {

using sql::Sql;

bool sees_activity(pg::Session& session) {
    // Without this right pg_stat_activity shows other roles' sessions without their state.
    return session.one(Sql{"SELECT pg_has_role('pg_read_all_stats', 'USAGE') AS yes"}).boolean("yes");
}

Activity read_activity(pg::Session& session) {
    // A name is shown of every session. Those of which nothing else is: of clients, they alone have a database and no kind.
    auto const row = session.one(
        Sql{"SELECT count(*) FILTER (WHERE backend_type = 'client backend' AND state IN ('active', 'fastpath function call')) AS active,"
            " count(*) FILTER (WHERE (backend_type IS NULL AND datid IS NOT NULL) OR (backend_type = 'client backend' AND state = 'disabled')) AS unseen"
            " FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND application_name NOT LIKE 'pgcarve %'"});
    return {row.integer("active"), row.integer("unseen")};
}

std::string unseen_note(pg::Session& session) {
    return fmt::format("this role cannot see whether other sessions are active ({}): they are taken to be, and the comparison rests;"
                       " GRANT pg_read_all_stats TO it",
                       session.describe());
}

} // namespace pgcarve::verify
