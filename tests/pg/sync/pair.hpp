// Two databases for tests of a stream: the same tables in schema `shop` at the source and `service` at the target, the
// publication and the slot made before anything is written, and the mapping read from the catalogs as they are now.
#pragma once

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "pg/replication.hpp"
#include "support/server.hpp"
#include "sync/stream.hpp"

namespace pgcarve::test {

inline constexpr base::Millis long_enough{60'000};

struct PairOptions {
    std::string target_schema;                    // what creates the tables there; empty: as at the source
    std::string publication = "FOR ALL TABLES";
    Server* source = nullptr; // nullptr: the shared one
    Server* target = nullptr;
};

class Pair {
public:
    Server& source_server;
    Server& target_server;
    std::string source_database;
    std::string target_database;
    std::string name;
    pg::Session source;
    pg::Session target;
    sync::ReceiverLimits limits{};

    explicit Pair(std::string const& schema, PairOptions const& options = {})
        : source_server{options.source != nullptr ? *options.source : Server::shared()}
        , target_server{options.target != nullptr ? *options.target : Server::shared()}
        , source_database{source_server.create_database()}
        , target_database{target_server.create_database()}
        , name{"stream_" + source_database}
        , source{source_server.connect(source_database)}
        , target{target_server.connect(target_database)} {
        source.run("CREATE SCHEMA shop");
        target.run("CREATE SCHEMA service");
        restore_paths();
        source.run(schema);
        target.run(options.target_schema.empty() ? schema : options.target_schema);
        source.run("CREATE PUBLICATION pub " + options.publication);
        pg::Replication replication{{.dsn = source_server.dsn(source_database), .purpose = "test"}};
        auto const slot = replication.create_slot(name);
        sync::prepare_target(target);
        sync::set_position(target, name, slot.consistent_point, replication.identify().system_id);
    }
    // A slot keeps its database, and its log, until it is gone.
    ~Pair() {
        try {
            auto admin = source_server.connect(source_database);
            wait_until([&] {
                return admin.one(sql::Sql{"SELECT count(*) AS n FROM pg_replication_slots WHERE active AND slot_name = "}.bind(name)).integer("n") == 0;
            });
            admin.query(sql::Sql{"SELECT pg_drop_replication_slot("}.bind(name).add(")"));
        } catch (base::Error const& e) {
            ADD_FAILURE() << e.what();
        }
    }
    Pair(Pair const&) = delete;
    Pair& operator=(Pair const&) = delete;

    void restore_paths() {
        source.run("SET search_path = shop, public");
        target.run("SET search_path = service, public");
    }
    void reconnect() {
        source = source_server.connect(source_database);
        target = target_server.connect(target_database);
        restore_paths();
    }
    [[nodiscard]] pg::Session writer() const {
        auto session = source_server.connect(source_database);
        session.run("SET search_path = shop, public");
        return session;
    }

    // The key: of the index that is the replica identity, else the primary key.
    [[nodiscard]] sync::Mapping mapping() {
        std::vector<sync::MappedTable> tables;
        target.run("SET search_path = pg_catalog"); // so that types are printed with their schema
        for (auto const table : source.query(sql::Sql{"SELECT oid::text AS id, relname FROM pg_catalog.pg_class "
                                                      "WHERE relnamespace = 'shop'::regnamespace AND relkind = 'r' ORDER BY relname"})) {
            sync::MappedTable mapped{{"shop", table.text("relname")}, {"service", table.text("relname")}, {}, {}};
            std::map<std::string, std::pair<std::string, bool>> types;
            for (auto const row : target.query(sql::Sql{"SELECT attname, pg_catalog.format_type(atttypid, atttypmod) AS type, attidentity = 'a' AS always "
                                                        "FROM pg_catalog.pg_attribute WHERE attnum > 0 AND NOT attisdropped AND attgenerated = '' "
                                                        "AND attrelid = pg_catalog.to_regclass("}
                                                   .bind(mapped.target.quoted())
                                                   .add(")")))
                types[row.text("attname")] = {row.text("type"), row.boolean("always")};
            std::map<long long, std::size_t> by_number;
            for (auto const row : source.query(sql::Sql{"SELECT attname, attnum, atttypid::text AS type, atttypmod FROM pg_catalog.pg_attribute "
                                                        "WHERE attnum > 0 AND NOT attisdropped AND attgenerated = '' AND attrelid = "}
                                                   .bind(table.text("id"))
                                                   .add("::oid ORDER BY attnum"))) {
                auto const column = row.text("attname");
                auto const at = types.find(column);
                if (at == types.end())
                    throw std::runtime_error{"the target has no " + mapped.target.display() + "." + column};
                by_number[row.integer("attnum")] = mapped.columns.size();
                mapped.columns.push_back({column, at->second.first, base::Oid{static_cast<std::uint32_t>(row.integer("type"))},
                                          static_cast<std::int32_t>(row.integer("atttypmod")), false, at->second.second});
            }
            for (auto const row : source.query(sql::Sql{"SELECT k.number FROM pg_catalog.pg_index i, "
                                                        "pg_catalog.unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (number, at) WHERE i.indexrelid = "
                                                        "(SELECT indexrelid FROM pg_catalog.pg_index WHERE (indisreplident OR indisprimary) AND indimmediate AND indrelid = "}
                                                   .bind(table.text("id"))
                                                   .add("::oid ORDER BY indisreplident DESC LIMIT 1) ORDER BY k.at"))) {
                auto const at = by_number.at(row.integer("number"));
                mapped.key.push_back(at);
                mapped.columns[at].key = true;
            }
            if (!mapped.key.empty()) // others are not published
                tables.push_back(std::move(mapped));
        }
        restore_paths();
        return sync::Mapping{std::move(tables)};
    }

    [[nodiscard]] sync::StreamSettings settings() const {
        return {.name = name,
                .slot = name,
                .publications = {"pub"},
                .source = {.dsn = source_server.dsn(source_database), .purpose = "from " + name},
                .target = {.dsn = target_server.dsn(target_database), .purpose = "to " + name},
                .limits = limits};
    }
    // Tries again while the one before it has not gone yet.
    [[nodiscard]] std::unique_ptr<sync::Stream> stream(sync::Mapping const& mapping) const {
        for (auto const deadline = std::chrono::steady_clock::now() + base::Millis{20'000};;) {
            try {
                return std::make_unique<sync::Stream>(settings(), mapping);
            } catch (base::Error const& e) {
                if (std::chrono::steady_clock::now() > deadline || (e.code() != "sql-55006" && e.code() != "stream-busy" && e.code() != "unreachable" && e.code() != "server-lost"))
                    throw;
                std::this_thread::sleep_for(base::Millis{25});
            }
        }
    }
    [[nodiscard]] base::Lsn now() {
        return base::Lsn::parse(source.one(sql::Sql{"SELECT pg_catalog.pg_current_wal_flush_lsn()"}).text(0)).value();
    }
    [[nodiscard]] base::Lsn confirmed() {
        return base::Lsn::parse(source.one(sql::Sql{"SELECT confirmed_flush_lsn FROM pg_catalog.pg_replication_slots WHERE slot_name = "}.bind(name)).text(0)).value();
    }
    [[nodiscard]] base::Lsn position() { return sync::position(target, name).value(); }

    void run(std::string const& sql) { source.run(sql); }
    // Applies everything written so far.
    sync::Applied catch_up(sync::Stream& stream) {
        base::Interrupt interrupt;
        auto const until = now();
        if (!stream.run_until(until, long_enough, interrupt))
            throw std::runtime_error{"the stream does not catch up"};
        return stream.counts();
    }
    sync::Applied catch_up() {
        auto const tables = mapping();
        auto const one = stream(tables);
        auto const counts = catch_up(*one);
        one->stop();
        return counts;
    }
    // Runs until it fails.
    [[nodiscard]] base::Error failure() {
        auto const tables = mapping();
        return failure(tables);
    }
    [[nodiscard]] base::Error failure(sync::Mapping const& tables) {
        try {
            auto const one = stream(tables);
            catch_up(*one);
        } catch (base::Error const& e) {
            return e;
        }
        throw std::runtime_error{"the stream does not fail"};
    }

    [[nodiscard]] static std::vector<std::string> rows(pg::Session& session, sql::QName const& table) {
        sql::Sql sql{"SELECT t::text AS r FROM "};
        sql.add(table).add(" AS t ORDER BY t::text COLLATE \"C\"");
        std::vector<std::string> out;
        for (auto const row : session.query(sql))
            out.push_back(row.text("r"));
        return out;
    }
    void expect_equal() { expect_equal_but({}); }
    void expect_equal_but(std::vector<std::string> const& others) {
        for (auto const table : source.query(sql::Sql{"SELECT relname FROM pg_catalog.pg_class "
                                                      "WHERE relnamespace = 'shop'::regnamespace AND relkind = 'r' ORDER BY relname"})) {
            auto const relation = table.text("relname");
            if (std::ranges::find(others, relation) != others.end())
                continue;
            auto const here = rows(source, {"shop", relation});
            auto const there = rows(target, {"service", relation});
            if (here == there)
                continue;
            std::string only;
            for (auto const& row : here)
                only += std::ranges::binary_search(there, row) ? "" : "\n- " + row.substr(0, 300);
            for (auto const& row : there)
                only += std::ranges::binary_search(here, row) ? "" : "\n+ " + row.substr(0, 300);
            ADD_FAILURE() << relation << ": " << here.size() << " rows at the source, " << there.size() << " at the target" << only.substr(0, 4000);
        }
    }
};

} // namespace pgcarve::test
