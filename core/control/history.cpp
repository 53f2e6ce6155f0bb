#include "control/history.hpp"

#include <fmt/format.h>

namespace pgcarve::control {

using sql::Sql;

long long prune_history(pg::Session& session, std::string const& service, base::Millis keep, int newest) {
    return static_cast<long long>(
        session
            .query(Sql{"WITH mine AS (SELECT id, verdict, finished_at FROM pgcarve.verification WHERE service = "}
                       .bind(service)
                       .add(") DELETE FROM pgcarve.verification v USING mine m WHERE v.id = m.id AND m.finished_at < clock_timestamp() - make_interval(secs => ")
                       .bind(fmt::format("{}", static_cast<double>(keep.count()) / 1000.0))
                       .add("::float8) AND v.id NOT IN (SELECT id FROM mine ORDER BY id DESC LIMIT ")
                       .number(newest)
                       .add(") AND v.id IS DISTINCT FROM (SELECT max(id) FROM mine WHERE verdict <> 'clean')"
                            " AND v.id IS DISTINCT FROM (SELECT max(id) FROM mine WHERE verdict = 'different')"
                            " AND NOT EXISTS (SELECT FROM pgcarve.finding f WHERE f.verification = v.id AND f.resolved_at IS NULL)"))
            .affected());
}

long long unresolved_findings(pg::Session& session, std::string const& service) {
    return session.one(Sql{"SELECT count(*) AS n FROM pgcarve.finding WHERE resolved_at IS NULL AND service = "}.bind(service)).integer("n");
}

std::optional<double> verification_seconds(pg::Session& session, long long id) {
    auto const row = session.maybe_one(Sql{"SELECT seconds FROM pgcarve.verification WHERE id = "}.number(id));
    return row ? std::optional{row->real("seconds")} : std::nullopt;
}

} // namespace pgcarve::control
