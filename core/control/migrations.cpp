#include "control/migrations.hpp"

#include <algorithm>
#include <map>

#include <fmt/format.h>

namespace pgcarve::control {

using base::Error;
using base::Exit;
using sql::Sql;

namespace {

constexpr long long migration_lock = 0x7067636172766500; // "pgcarve": any number that is ours

struct Applied {
    std::string name;
    std::string checksum;
};

std::string checksum(pg::Session& session, char const* text) {
    return session.one(Sql{"SELECT encode(sha256(convert_to("}.bind(text).add("::text, 'UTF8')), 'hex') AS sum")).text("sum");
}

bool installed(pg::Session& session) {
    return session
        .one(Sql{"SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                 " WHERE n.nspname = 'pgcarve' AND c.relname = 'migration') AS there"})
        .boolean("there");
}

std::map<int, Applied> applied_migrations(pg::Session& session) {
    std::map<int, Applied> found;
    if (!installed(session))
        return found;
    for (auto const row : session.query(Sql{"SELECT version, name, checksum FROM pgcarve.migration"}))
        found[static_cast<int>(row.integer("version"))] = {row.text("name"), row.text("checksum")};
    return found;
}

} // namespace

std::vector<Migration> pending_migrations(pg::Session& session, std::span<Migration const> all) {
    auto const applied = applied_migrations(session);
    int const newest = all.empty() ? 0 : all.back().version;
    if (!applied.empty() && applied.rbegin()->first > newest)
        throw Error{Exit::usage, "control-newer",
                    fmt::format("the control schema is at version {}, this pgcarve knows up to {}",
                                applied.rbegin()->first, newest),
                    "use the newer pgcarve that upgraded it; nothing was touched"};
    std::vector<Migration> pending;
    for (auto const& migration : all) {
        auto const at = applied.find(migration.version);
        if (at == applied.end()) {
            pending.push_back(migration);
        } else if (at->second.checksum != checksum(session, migration.sql)) {
            throw Error{Exit::usage, "control-changed",
                        fmt::format("migration {} ({}) of the control schema was applied with other contents",
                                    migration.version, migration.name),
                        "use the release of pgcarve that applied it; nothing was touched"}
                .with("recorded: " + at->second.checksum)
                .with("embedded: " + checksum(session, migration.sql));
        }
    }
    return pending;
}

std::vector<Migration> migrate(pg::Session& session, std::span<Migration const> all) {
    std::vector<Migration> done;
    session.query(Sql{"SELECT pg_advisory_lock("}.number(migration_lock).add(")"));
    for (auto const& migration : pending_migrations(session, all)) {
        auto const sum = checksum(session, migration.sql);
        pg::Transaction transaction{session};
        session.run(migration.sql);
        session.query(Sql{"INSERT INTO pgcarve.migration (version, name, checksum) VALUES ("}
                          .number(migration.version)
                          .add(", ")
                          .bind(migration.name)
                          .add(", ")
                          .bind(sum)
                          .add(")"));
        transaction.commit();
        done.push_back(migration);
    }
    session.query(Sql{"SELECT pg_advisory_unlock("}.number(migration_lock).add(")"));
    return done;
}

void require_current(pg::Session& session, std::span<Migration const> all) {
    if (!installed(session))
        throw Error{Exit::usage, "not-initialised", "the shared database has no control schema \"pgcarve\"",
                    "run `pgcarve init`"}
            .with("server: " + session.describe());
    auto const pending = pending_migrations(session, all);
    if (!pending.empty())
        throw Error{Exit::usage, "control-older",
                    fmt::format("the control schema lacks {} migration(s), the next is {} ({})", pending.size(),
                                pending.front().version, pending.front().name),
                    "run `pgcarve init`"};
}

} // namespace pgcarve::control
