#include "mirrorgen/write_lock.hpp"

#include <set>

#include "mirrorgen/parts.hpp"

namespace pgcarve::mirrorgen {

using sql::Sql;

WriteLock write_lock_of(model::Table const& table, model::Catalog const& catalog, std::string message, std::string hint) {
    WriteLock lock;
    lock.table = table.name;
    lock.partitioned = table.kind == 'p';
    std::set<std::string> owners{table.owner};
    for (auto const* const part : catalog.partitions(table)) {
        lock.partitions.push_back(part->name);
        owners.insert(part->owner);
    }
    lock.owners.assign(owners.begin(), owners.end());
    lock.message = std::move(message);
    lock.hint = std::move(hint);
    return lock;
}

Machinery write_lock(WriteLock const& lock) {
    Machinery made;
    made.owners = lock.owners;
    auto const function = function_name(lock.table, "lock");
    Sql body{"\nBEGIN\n    IF coalesce(pg_catalog.current_setting('pgcarve.mirror', true), '') OPERATOR(pg_catalog.<>) 'on' THEN\n"
             "        RAISE EXCEPTION USING ERRCODE = 'PGC01',\n            MESSAGE = "};
    body.literal(lock.message).add(",\n            HINT = ").literal(lock.hint);
    body.add(";\n    END IF;\n    IF TG_OP OPERATOR(pg_catalog.=) 'DELETE' THEN\n        RETURN OLD;\n    END IF;\n    RETURN NEW;\nEND\n");
    made.functions.push_back({function, {}, body.text(), false});

    constexpr int writes = on_insert | on_update | on_delete;
    auto const truncate = [&](sql::QName const& table) {
        made.triggers.push_back({table, "pgcarve_lock_truncate", before | on_truncate, false, "", "", "", function, {}, {}, {}});
    };
    // As fences do: a row trigger is cloned to partitions, those to come as well.
    if (lock.partitioned)
        made.triggers.push_back({lock.table, "pgcarve_lock_row", on_row | before | writes, false, "", "", "", function, lock.partitions, {}, {}});
    else
        made.triggers.push_back({lock.table, "pgcarve_lock", before | writes, false, "", "", "", function, {}, {}, {}});
    truncate(lock.table);
    for (auto const& partition : lock.partitions)
        truncate(partition);
    return made;
}

} // namespace pgcarve::mirrorgen
