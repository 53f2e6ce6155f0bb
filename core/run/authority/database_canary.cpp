#include "run/authority/database_canary.hpp"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "pg/replication.hpp"

namespace pgcarve::run {

using base::Error;
using base::Exit;
using base::Millis;
using sql::Sql;

namespace {

constexpr Millis comes_within{30'000};

// One row's own values again; nothing for an empty table, or one of which no column can be set.
std::optional<std::string> touch(sync::MappedTable const& table) {
    auto const settable = [&](bool key) {
        return std::ranges::find_if(table.columns, [&](auto const& c) { return !c.always_identity && c.key == key; });
    };
    auto column = settable(false);
    if (column == table.columns.end())
        column = settable(true);
    if (column == table.columns.end())
        return std::nullopt;
    std::string key;
    for (auto const i : table.key)
        key += (key.empty() ? "" : ", ") + sql::quote_ident(table.columns[i].name);
    return fmt::format("UPDATE ONLY {0} SET {1} = {1} WHERE ({2}) IN (SELECT {2} FROM ONLY {0} LIMIT 1)", table.source.quoted(),
                       sql::quote_ident(column->name), key);
}

} // namespace

void prove_stream(Context& context, Route const& way, pg::Session& source, int wake_fd) {
    auto const slot = source.maybe_one(Sql{"SELECT confirmed_flush_lsn::text AS lsn FROM pg_replication_slots WHERE slot_name = "}.bind(way.name));
    if (!slot)
        slot_lost(way);
    {
        pg::Session target{way.target("canary")};
        sync::prepare_target(target);
        sync::set_position(target, way.name, *base::Lsn::parse(slot->text("lsn")),
                           pg::Replication{{.dsn = way.source_dsn, .purpose = "identify", .wake_fd = wake_fd}}.identify().system_id);
    }
    auto const mapping = read_mapping(way, source);
    auto const stream = open_stream(context, way, mapping, wake_fd);
    std::map<std::uint32_t, long long> came;
    stream->filter([&](sync::Change const& change) {
        ++came[change.table];
        return sync::Applier::Wanted::nothing;
    });
    std::vector<std::uint32_t> written;
    {
        pg::Transaction transaction{source};
        source.run("SET LOCAL pgcarve.mirror = 'on'");
        for (std::uint32_t i = 0; i < mapping.tables().size(); ++i) {
            auto const statement = touch(mapping.tables()[i]);
            if (statement && source.query(Sql{}.server_text(*statement)).affected() > 0)
                written.push_back(i);
        }
        transaction.commit();
    }
    bool const arrived = stream->run_until(sync::mark(source), comes_within, context.interrupt);
    context.interrupt.check();
    stream->stop();
    if (!arrived)
        throw Error{Exit::unavailable, "reverse-not-proven",
                    fmt::format("the stream {} was not read to its end within {}", way.name, base::format_duration(comes_within)),
                    "nothing was changed; the server is busy: run the same command again at a quieter time"};
    Error error{Exit::needs_decision, "reverse-not-proven", fmt::format("the stream {} does not bring what is written", way.name),
                fmt::format("nothing was changed; `pgcarve doctor {}` shows what is wrong with the other direction", way.service)};
    bool lacks = false;
    for (auto const table : written) {
        if (came.contains(table))
            continue;
        lacks = true;
        error.with(fmt::format("no change of {} came", mapping.tables()[table].source.display()));
    }
    if (lacks)
        throw std::move(error);
}

} // namespace pgcarve::run
