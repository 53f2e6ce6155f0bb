#include "run/route.hpp"

#include <chrono>

#include <fmt/format.h>

#include "catalog/reader.hpp"
#include "pg/replication.hpp"
#include "run/sync_target.hpp"

namespace pgcarve::run {

using base::Error;
using base::Exit;
using sql::Sql;
using Clock = std::chrono::steady_clock;

namespace {

constexpr std::chrono::seconds slot_in_use_for{60}; // until a server finds out that a connection is gone
constexpr base::Millis look_again{250};

} // namespace

pg::SessionSettings other_database(Context const& context, std::string const& service, std::string purpose) {
    auto const& section = context.service(service);
    if (!section.database)
        throw Error{Exit::usage, "config", fmt::format("service {} has no database in pgcarve.toml", service),
                    fmt::format("add [service.{}.database] with dsn and schema; nothing was touched", service)};
    return {.dsn = section.database->dsn, .purpose = std::move(purpose)};
}

Route route(Context const& context, std::string const& service, model::DatabaseSetup const& setup, bool back) {
    Route made{service, back ? setup.back_name() : setup.name, back, context.map.dsn, other_database(context, service, "").dsn, setup.tables};
    if (back) {
        std::swap(made.source_dsn, made.target_dsn);
        for (auto& pair : made.tables)
            std::swap(pair.source, pair.target);
    }
    return made;
}

sync::Mapping read_mapping(Route const& route, pg::Session& source) {
    auto const as_of = base::Lsn::parse(source.one(Sql{"SELECT pg_current_wal_insert_lsn()::text AS lsn"}).text("lsn"));
    auto const catalog = catalog::read_catalog(source);
    pg::Session target{route.target("sync")};
    return sync::Mapping{mapped_tables(source, target, catalog, route.tables), *as_of};
}

void slot_lost(Route const& route) {
    if (route.back)
        throw Error{Exit::needs_decision, "slot-lost", fmt::format("slot {} is not there any more: what was written since cannot be streamed back", route.name),
                    fmt::format("the shared database stays as it was; without the way back, `pgcarve complete {}` ends the hop", route.service)};
    throw Error{Exit::needs_decision, "slot-lost", fmt::format("slot {} is not there any more: what was written since cannot be streamed", route.name),
                fmt::format("`pgcarve cancel {}` and begin the sync again", route.service)};
}

std::unique_ptr<sync::Stream> open_stream(Context& context, Route const& route, sync::Mapping const& mapping, int wake_fd) {
    for (auto const deadline = Clock::now() + slot_in_use_for;;) {
        try {
            return std::make_unique<sync::Stream>(
                sync::StreamSettings{.name = route.name,
                                     .slot = route.name,
                                     .publications = {route.name},
                                     .source = {.dsn = route.source_dsn, .purpose = "stream", .wake_fd = wake_fd},
                                     .target = route.target("stream"),
                                     .limits = {}},
                mapping);
        } catch (pg::SqlError const& e) {
            if (e.sqlstate() == "42704") // undefined object: the slot
                slot_lost(route);
            // In use: the connection of a process that died is still being found out about.
            if (e.sqlstate() != "55006")
                throw;
            if (Clock::now() > deadline)
                throw Error{Exit::unavailable, "stream-busy", fmt::format("slot {} is read by another connection: {}", route.name, e.message()),
                            "run the same command again once it has gone: it goes on where it stopped"};
            context.interrupt.check();
            context.interrupt.wait_for(look_again);
        }
    }
}

void make_slot(Context& context, Route const& route, pg::Session& source, int wake_fd) {
    context.events.info(fmt::format("making slot {}: it waits for the transactions that run now", route.name));
    auto const there = source.maybe_one(Sql{"SELECT coalesce(wal_status, 'lost') AS wal_status FROM pg_replication_slots WHERE slot_name = "}.bind(route.name));
    if (there && there->text("wal_status") != "lost")
        return;
    if (there)
        drop_slot(context, source, route.name);
    pg::Replication{{.dsn = route.source_dsn, .purpose = "slot", .wake_fd = wake_fd}}.create_slot(route.name);
}

void drop_slot(Context& context, pg::Session& source, std::string const& name) {
    for (auto const deadline = Clock::now() + slot_in_use_for;;) {
        try {
            source.query(Sql{"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = "}.bind(name));
            return;
        } catch (pg::SqlError const& e) {
            if (e.sqlstate() != "55006" || Clock::now() > deadline)
                throw;
            context.interrupt.check();
            context.interrupt.wait_for(look_again);
        }
    }
}

} // namespace pgcarve::run
