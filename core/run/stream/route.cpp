#include "run/stream/route.hpp"

#include <chrono>
#include <thread>

#include <fmt/format.h>

#include "catalog/reader.hpp"
#include "pg/replication.hpp"
#include "pg/wake.hpp"
#include "run/stream/target.hpp"

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

sync::Mapping read_mapping(Route const& route, pg::Session& source, std::set<sql::QName> const& left_alone, TargetFirst first) {
    auto const as_of = base::Lsn::parse(source.one(Sql{"SELECT pg_current_wal_insert_lsn()::text AS lsn"}).text("lsn"));
    auto const catalog = catalog::read_catalog(source);
    pg::Session target{route.target("sync")};
    return mapping_of(route, source, target, catalog, *as_of, left_alone, first);
}

sync::Mapping mapping_of(Route const& route, pg::Session& source, pg::Session& target, model::Catalog const& catalog, base::Lsn as_of,
                         std::set<sql::QName> const& left_alone, TargetFirst first) {
    auto followed = route.tables;
    std::erase_if(followed, [&](model::TablePair const& pair) { return left_alone.contains(pair.source); });
    return sync::Mapping{mapped_tables(source, target, catalog, followed, first), as_of, left_alone};
}

void set_position_of_slot(Route const& route, pg::Session& source, pg::Session& target) {
    auto const slot = source.maybe_one(Sql{"SELECT confirmed_flush_lsn::text AS lsn FROM pg_replication_slots WHERE slot_name = "}.bind(route.name));
    if (!slot)
        slot_lost(route);
    auto const identity = pg::Replication{{.dsn = route.source_dsn, .purpose = "identify"}}.identify();
    sync::set_position(target, route.name, *base::Lsn::parse(slot->text("lsn")), identity.system_id);
}

void slot_lost(Route const& route) {
    if (route.back)
        throw Error{Exit::needs_decision, "slot-lost", fmt::format("slot {} is not there any more: what was written since cannot be streamed back", route.name),
                    fmt::format("the shared database stays as it was; without the way back, `pgcarve complete {}` ends the hop", route.service)};
    throw Error{Exit::needs_decision, "slot-lost", fmt::format("slot {} is not there any more, or has lost log: what was written since cannot be streamed", route.name),
                fmt::format("`pgcarve sync {} --heal` makes a new slot and changes what differs, range by range", route.service)};
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
            // Undefined object: the slot. 55000: the server has removed log that it still needed, and made it useless.
            if (e.sqlstate() == "42704" || e.sqlstate() == "55000")
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

namespace {

// Tells of whom a new slot waits for, and ends the wait when it gets too long or a stop is requested.
class SlotWait {
public:
    SlotWait(Context& context, Route const& route, base::Millis limit)
        : context_{context}, route_{route}, limit_{limit}, guard_{context.interrupt.on_request([this] { stop_.request("stop"); })},
          thread_{[this] { watch(); }} {}
    SlotWait(SlotWait const&) = delete;
    SlotWait& operator=(SlotWait const&) = delete;
    ~SlotWait() { end(); }

    [[nodiscard]] int wake_fd() const noexcept { return wake_.get(); }

    // After the slot's maker has failed: why, if this ended it.
    void explain_end() {
        end();
        if (!given_up_)
            return;
        Error error{Exit::unavailable, "slot-waits",
                    fmt::format("slot {} waited {} for transactions that were open when it was asked for", route_.name, base::format_duration(limit_)),
                    "nothing was changed; end them or wait for them, then run the same command again"};
        for (auto const& one : waits_for_)
            error.with("waits for " + one);
        throw std::move(error);
    }

private:
    void end() {
        done_.request("done");
        if (thread_.joinable())
            thread_.join();
    }

    void watch() {
        auto const began = Clock::now();
        try {
            for (auto told = began; !done_.wait_for(look_again);) {
                if (limit_.count() > 0 && Clock::now() - began > limit_) {
                    waits_for_ = open_transactions();
                    given_up_ = true;
                    stop_.request("limit");
                    return;
                }
                if (Clock::now() - told < tell_every)
                    continue;
                told = Clock::now();
                for (auto const& one : open_transactions())
                    context_.events.warn(fmt::format("slot {} waits for {}", route_.name, one));
            }
        } catch (Error const& e) {
            context_.events.warn(fmt::format("whom slot {} waits for cannot be told: {}", route_.name, e.what()));
        }
    }

    // With a transaction number of their own, on the whole server: a slot waits for these.
    [[nodiscard]] std::vector<std::string> open_transactions() const {
        pg::Session observer{route_.source("slot wait")};
        std::vector<std::string> all;
        for (auto const row : observer.query(
                 Sql{"SELECT format('pid %s (%s%s) in database %s, open for %s s', pid, usename, coalesce(' ' || nullif(application_name, ''), ''), datname,"
                     " coalesce(round(extract(epoch FROM clock_timestamp() - xact_start))::text, '?')) AS who FROM pg_stat_activity"
                     " WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() UNION ALL"
                     " SELECT format('prepared transaction %L (%s) in database %s, prepared %s s ago: COMMIT PREPARED or ROLLBACK PREPARED ends it', gid, owner,"
                     " database, round(extract(epoch FROM clock_timestamp() - prepared))) FROM pg_prepared_xacts"}))
            all.push_back(row.text("who"));
        return all;
    }

    static constexpr std::chrono::seconds tell_every{5};
    Context& context_;
    Route const& route_;
    base::Millis limit_;
    base::Interrupt stop_;
    base::Interrupt done_;
    pg::WakeFd wake_{stop_};
    base::Interrupt::Guard guard_;
    std::vector<std::string> waits_for_;
    bool given_up_ = false;
    std::thread thread_;
};

} // namespace

void make_slot(Context& context, Route const& route, pg::Session& source, base::Millis limit) {
    context.events.info(fmt::format("making slot {}: it waits for the transactions that run now", route.name));
    drop_slot(context, source, route.name);
    if (auto const other = source.maybe_one(Sql{"SELECT coalesce(database, '?') AS database FROM pg_replication_slots WHERE slot_name = "}.bind(route.name)))
        throw Error{Exit::needs_decision, "slot-taken",
                    fmt::format("slot {} belongs to database {} of the same server, and a server has each name once", route.name, other->text("database")),
                    fmt::format("rename the service here or there in pgcarve.toml; or, if nothing uses it any more, in that database: SELECT pg_drop_replication_slot('{}');",
                                route.name)};
    SlotWait wait{context, route, limit};
    try {
        pg::Replication{{.dsn = route.source_dsn, .purpose = "slot", .wake_fd = wait.wake_fd()}}.create_slot(route.name);
    } catch (Error const&) {
        wait.explain_end();
        throw;
    }
}

void drop_slot(Context& context, pg::Session& source, std::string const& name) {
    for (auto const deadline = Clock::now() + slot_in_use_for;;) {
        try {
            // Names are of the whole server: one of another database belongs to somebody else.
            source.query(Sql{"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database() AND slot_name = "}.bind(name));
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
