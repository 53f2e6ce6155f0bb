// One direction of a service's stream, and what opens it: forward from the shared database, back from the service's own.
//
// Only the direction that the phase asks for has a slot.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "control/store.hpp"
#include "model/setup.hpp"
#include "run/context.hpp"
#include "run/stream/target.hpp"
#include "sync/stream.hpp"

namespace pgcarve::run {

struct Route {
    std::string service;
    std::string name; // of publication, slot and stream
    bool back = false;
    std::string source_dsn;
    std::string target_dsn;
    std::vector<model::TablePair> tables; // from source to target

    [[nodiscard]] pg::SessionSettings source(std::string purpose) const { return {.dsn = source_dsn, .purpose = std::move(purpose)}; }
    [[nodiscard]] pg::SessionSettings target(std::string purpose) const { return {.dsn = target_dsn, .purpose = std::move(purpose)}; }
};

// Throws "config" (exit 2) when pgcarve.toml names no database for the service.
[[nodiscard]] Route route(Context const& context, std::string const& service, model::DatabaseSetup const& setup, bool back);
// The settings for the service's own database.
[[nodiscard]] pg::SessionSettings other_database(Context const& context, std::string const& service, std::string purpose);

// The tables as both sides have them now, but for those (of the source) that are left alone.
[[nodiscard]] sync::Mapping read_mapping(Route const& route, pg::Session& source, std::set<sql::QName> const& left_alone = {},
                                         TargetFirst first = TargetFirst::refused);
// The same, where the source's catalog is known: as it was read behind `as_of`, a position of its log.
[[nodiscard]] sync::Mapping mapping_of(Route const& route, pg::Session& source, pg::Session& target, model::Catalog const& catalog, base::Lsn as_of,
                                       std::set<sql::QName> const& left_alone = {}, TargetFirst first = TargetFirst::refused);

// Waits a while for a slot that a dead connection still holds. `wake_fd`: see pg::ReplicationSettings.
// Errors: "slot-lost" (exit 5), "stream-busy" (exit 4), those of sync::Stream.
[[nodiscard]] std::unique_ptr<sync::Stream> open_stream(Context& context, Route const& route, sync::Mapping const& mapping, int wake_fd);

// Waits for the transactions that run anywhere on the source's server, names them while it waits, and gives up after `limit`
// ("slot-waits", exit 4; 0: never). A slot of the name that is there already is of a try that broke off, too old or too
// young, and goes.
void make_slot(Context& context, Route const& route, pg::Session& source, base::Millis limit = base::Millis{0});
// Waits a while for whoever reads it; no slot is no error.
void drop_slot(Context& context, pg::Session& source, std::string const& name);

// The target goes on where its slot begins. Throws "slot-lost" when there is none.
void set_position_of_slot(Route const& route, pg::Session& source, pg::Session& target);

[[noreturn]] void slot_lost(Route const& route);

} // namespace pgcarve::run
