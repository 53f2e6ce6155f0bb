#include <chrono>
#include <thread>

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
// Of the lock that says that somebody wants the lease: it dies with who wants it.
constexpr int wanted_class = 0x70676377;
constexpr std::chrono::seconds sync_gives_way_within{60}; // it ends its batch first, and its session has to be gone

Sql lock_call(Sql::Fixed function, int lock_class, std::string const& service) {
    Sql sql{"SELECT "};
    return sql.add(function).add("(").number(lock_class).add(", hashtext(").bind(service).add("))");
}

bool try_lock(pg::Session& session, int lock_class, std::string const& service) {
    return session.one(lock_call("pg_try_advisory_lock", lock_class, service).add(" AS locked")).boolean("locked");
}

bool held_by_sync(pg::Session& session, std::string const& service) {
    auto const row = session.maybe_one(Sql{"SELECT verb FROM pgcarve.lease WHERE service = "}.bind(service));
    return !row || row->text("verb") == "sync"; // a holder that has not written its name yet may be one
}

// True: the lease is ours.
bool lock_lease(pg::Session& session, std::string const& service, Lease::From from) {
    if (from == Lease::From::nobody)
        return try_lock(session, lease_class, service);
    for (int tries = 1; !try_lock(session, wanted_class, service); ++tries) {
        if (tries == 10)
            return false;
        std::this_thread::sleep_for(std::chrono::milliseconds{20}); // lease_wanted() takes it for a moment
    }
    auto const deadline = std::chrono::steady_clock::now() + sync_gives_way_within;
    while (!try_lock(session, lease_class, service)) {
        if (!held_by_sync(session, service) || std::chrono::steady_clock::now() > deadline)
            return false;
        std::this_thread::sleep_for(std::chrono::milliseconds{20});
    }
    return true;
}

} // namespace

Lease::Lease(pg::SessionSettings settings, std::string service, std::string const& verb, std::string const& operator_name, From from)
    : session_{std::move(settings)}, service_{std::move(service)}, operator_{operator_name} {
    bool const locked = lock_lease(session_, service_, from);
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

bool Lease::wanted() { return Store{session_}.lease_wanted(service_); }

bool Store::lease_wanted(std::string const& service) {
    return !session_.one(lock_call("pg_try_advisory_xact_lock_shared", wanted_class, service).add(" AS free")).boolean("free");
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
