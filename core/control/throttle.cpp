#include "control/throttle.hpp"

#include "control/store.hpp"

namespace pgcarve::control {

using sql::Sql;

namespace {

void forget_what_says_nothing(pg::Session& session, std::string const& service) {
    session.query(Sql{"DELETE FROM pgcarve.throttle WHERE asked IS NULL AND waits IS NULL AND service = "}.bind(service));
}

} // namespace

void ask_throttle(pg::Session& session, std::string const& service, std::string const& operator_name, std::string const& reason) {
    pg::Transaction transaction{session};
    session.query(Sql{"INSERT INTO pgcarve.service (name) VALUES ("}.bind(service).add(") ON CONFLICT DO NOTHING"));
    session.query(Sql{"INSERT INTO pgcarve.throttle (service, asked, asked_by) VALUES ("}
                      .bind(service)
                      .add(", nullif(")
                      .bind(reason)
                      .add(", ''), ")
                      .bind(operator_name)
                      .add(") ON CONFLICT (service) DO UPDATE SET asked = excluded.asked, asked_by = excluded.asked_by, asked_at = clock_timestamp()"));
    forget_what_says_nothing(session, service);
    Store{session}.note(service, operator_name, "sync", "throttle", {{"asked", reason.empty() ? nlohmann::json(nullptr) : nlohmann::json(reason)}});
    transaction.commit();
}

void note_waits(pg::Session& session, std::string const& service, std::string const& reason) {
    session.query(Sql{"INSERT INTO pgcarve.throttle (service, waits) VALUES ("}.bind(service).add(", nullif(").bind(reason).add(", '')) ON CONFLICT (service) DO UPDATE SET waits = excluded.waits"));
    forget_what_says_nothing(session, service);
}

void forget_throttle(pg::Session& session, std::string const& service) {
    session.query(Sql{"DELETE FROM pgcarve.throttle WHERE service = "}.bind(service));
}

ThrottleState throttle_state(pg::Session& session, std::string const& service) {
    ThrottleState state;
    auto const row = session.maybe_one(
        Sql{"SELECT asked, asked_by, to_char(asked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') AS asked_at, waits FROM pgcarve.throttle WHERE service = "}.bind(service));
    if (!row)
        return state;
    state.asked = row->maybe("asked");
    state.asked_by = row->maybe("asked_by").value_or("");
    state.asked_at = row->maybe("asked_at").value_or("");
    state.waits = row->maybe("waits");
    return state;
}

} // namespace pgcarve::control
