#include <unistd.h>

#include <fmt/format.h>

#include "control/store.hpp"

namespace pgcarve::control {

using base::Error;
using base::Exit;
using sql::Sql;

namespace {

// The first half of the advisory lock's key; the second is the service name's hash. Two services
// whose hashes meet merely wait for each other.
constexpr int lease_class = 0x70676376;

} // namespace

Lease::Lease(pg::SessionSettings settings, std::string service, std::string const& verb,
             std::string const& operator_name)
    : session_{std::move(settings)}, service_{std::move(service)}, operator_{operator_name} {
    auto const locked = session_
                            .one(Sql{"SELECT pg_try_advisory_lock("}
                                     .number(lease_class)
                                     .add(", hashtext(")
                                     .bind(service_)
                                     .add(")) AS locked"))
                            .boolean("locked");
    if (!locked) {
        auto const holder = Store{session_}.lease_holder(service_);
        throw Error{Exit::unavailable, "lease-held",
                    fmt::format("another pgcarve works on service {} now", service_),
                    "wait for it to end, then run the same command again; nothing was touched"}
            .with("held by: " + holder.value_or("a session that has not written its name yet"));
    }
    pg::Transaction transaction{session_};
    session_.query(Sql{"INSERT INTO pgcarve.service (name) VALUES ("}.bind(service_).add(") ON CONFLICT DO NOTHING"));
    epoch_ = session_
                 .one(Sql{"UPDATE pgcarve.service SET epoch = epoch + 1 WHERE name = "}.bind(service_).add(
                     " RETURNING epoch"))
                 .integer("epoch");
    session_.query(Sql{"INSERT INTO pgcarve.lease (service, epoch, verb, operator, process, backend_pid) VALUES ("}
                       .bind(service_)
                       .add(", ")
                       .number(epoch_)
                       .add(", ")
                       .bind(verb)
                       .add(", ")
                       .bind(operator_)
                       .add(", ")
                       .number(getpid())
                       .add(", pg_backend_pid()) ON CONFLICT (service) DO UPDATE SET epoch = excluded.epoch,"
                            " verb = excluded.verb, operator = excluded.operator, process = excluded.process,"
                            " backend_pid = excluded.backend_pid, taken_at = clock_timestamp()"));
    transaction.commit();
}

Lease::~Lease() {
    try {
        if (session_.alive() && !session_.in_transaction())
            session_.query(Sql{"DELETE FROM pgcarve.lease WHERE service = "}.bind(service_).add(" AND epoch = ").number(epoch_));
    } catch (std::exception const&) { // NOLINT(bugprone-empty-catch)
        // The lock itself goes with the session; the row only names the last holder.
    }
}

std::optional<std::string> Store::lease_holder(std::string const& service) {
    // The row counts only while its session holds the lock: a killed process leaves the row behind.
    auto const row = session_.maybe_one(
        Sql{"SELECT l.operator, l.process, l.verb, l.taken_at::text AS taken_at FROM pgcarve.lease l"
            " WHERE l.service = "}
            .bind(service)
            .add(" AND EXISTS (SELECT FROM pg_locks k WHERE k.locktype = 'advisory' AND k.granted AND k.pid = l.backend_pid"
                 " AND k.classid = ")
            .number(lease_class)
            .add(" AND k.database = (SELECT oid FROM pg_database WHERE datname = current_database()))"));
    if (!row)
        return std::nullopt;
    return fmt::format("{} (process {}, `pgcarve {}`, since {})", row->text("operator"), row->text("process"),
                       row->text("verb"), row->text("taken_at"));
}

void Store::sweep_lease(std::string const& service) {
    if (!lease_holder(service))
        session_.query(Sql{"DELETE FROM pgcarve.lease WHERE service = "}.bind(service));
}

void Store::check_lease(Lease const& lease) {
    auto const rows = session_.query(Sql{"SELECT FROM pgcarve.service WHERE name = "}
                                         .bind(lease.service())
                                         .add(" AND epoch = ")
                                         .number(lease.epoch())
                                         .add(" FOR UPDATE"));
    if (rows.size() != 1)
        throw Error{Exit::unavailable, "lease-lost",
                    fmt::format("another pgcarve has taken over service {}", lease.service()),
                    fmt::format("look with `pgcarve status {}`, then run the same command again", lease.service())};
}

} // namespace pgcarve::control
