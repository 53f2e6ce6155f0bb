#include "run/proof/continuation.hpp"

#include <algorithm>

namespace pgcarve::run {

using sql::Sql;

namespace {
// Rows are to be compared within the window; the share is counted on less of it, so that a late night does no harm.
constexpr double part_of_window = 0.8;

void keep_turns(pg::Session& session, control::ServiceState const& state, std::map<std::string, std::string> const& turns) {
    for (auto const& [table, next] : turns)
        session.query(Sql{"INSERT INTO pgcarve.verification_turn (service, authority, source_table, next) VALUES ("}
                          .bind(state.name)
                          .add(", ")
                          .bind(std::string{cutover::text(state.authority)})
                          .add(", ")
                          .bind(table)
                          .add(", ")
                          .bind(next)
                          .add(") ON CONFLICT (service, authority, source_table) DO UPDATE SET next = EXCLUDED.next"));
}

} // namespace

Continuation continue_from_last(pg::Session& session, Context& context, control::ServiceState const& state, std::string const& signature) {
    Continuation from;
    auto const authority = std::string{cutover::text(state.authority)};
    auto const last = session.maybe_one(Sql{"SELECT verdict, authority, signature, proven_lsn::text AS lsn,"
                                            " CASE WHEN cluster = (SELECT system_identifier FROM pg_control_system()) THEN horizon::text END AS horizon,"
                                            " extract(epoch FROM clock_timestamp() - proven_at)::float8 AS age FROM pgcarve.verification"
                                            " WHERE whole AND verdict <> 'incomplete' AND service = "}
                                            .bind(state.name)
                                            .add(" ORDER BY id DESC LIMIT 1"));
    if (!last || last->text("verdict") != "clean" || last->text("authority") != authority || last->text("signature") != signature || !last->maybe("lsn"))
        return from;
    double const window = static_cast<double>(context.service(state.name).limits.window.count()) / 1000.0;
    from.share = window <= 0 ? 1.0 : std::min(1.0, std::max(last->real("age"), 1.0) / (part_of_window * window));
    if (from.share >= 1.0) // every row's turn has come
        return from;
    from.since = base::Lsn::parse(last->text("lsn"));
    if (auto const horizon = last->maybe("horizon"))
        from.horizon = std::stoull(*horizon);
    for (auto const row : session.query(Sql{"SELECT source_table, next FROM pgcarve.verification_turn WHERE service = "}
                                            .bind(state.name)
                                            .add(" AND authority = ")
                                            .bind(authority)))
        from.turns[row.text("source_table")] = row.text("next");
    return from;
}

void keep(pg::Session& session, control::ServiceState const& state, control::VerifyRun* shared, model::Verification& verification, bool whole,
          std::string const& signature, std::map<std::string, std::string> const& turns) {
    bool recorded = false;
    auto const record = [&] {
        recorded = true;
        return control::Store{session}.record(verification, whole, std::string{cutover::text(state.authority)}, signature);
    };
    if (shared != nullptr && verification.verdict != model::Verdict::incomplete)
        verification.id = shared->finish(record);
    if (!recorded && (shared == nullptr || verification.verdict != model::Verdict::clean))
        verification.id = record();
    keep_turns(session, state, turns);
}

} // namespace pgcarve::run
