#include "catalog/reader.hpp"

#include <optional>

#include "base/error.hpp"
#include "catalog/parts.hpp"

namespace pgcarve::catalog {

std::uint32_t oid_of(pg::Row const& row, std::string_view column) {
    return static_cast<std::uint32_t>(row.integer(column));
}

sql::QName name_of(pg::Row const& row, std::string_view schema, std::string_view name) {
    return {row.text(schema), row.text(name)};
}

model::Table* Reading::table(pg::Row const& row, std::string_view column) const {
    auto const at = by_oid.find(oid_of(row, column));
    return at == by_oid.end() ? nullptr : at->second;
}

std::optional<std::string> Reading::comment(std::string const& catalog_name, std::uint32_t object, int column) const {
    auto const at = comments.find({catalog_name, object, column});
    return at == comments.end() ? std::nullopt : std::optional{at->second};
}

namespace {

// A partitioned table has no storage: it weighs what its leaves weigh.
void sum_partitions(model::Catalog& catalog) {
    for (auto& table : catalog.tables) {
        if (table.kind != 'p')
            continue;
        for (auto const* const part : catalog.partitions(table)) {
            if (part->kind == 'p')
                continue;
            table.estimated_rows += part->estimated_rows;
            table.bytes += part->bytes;
        }
    }
}

} // namespace

model::Catalog read_catalog(pg::Session& session) {
    std::optional<pg::Transaction> own;
    if (!session.in_transaction())
        own.emplace(session, pg::Isolation::repeatable_read, pg::Access::read_only);

    Reading reading{session, version_text(session.server_version()), {}, {}, {}};
    reading.catalog.server_version = session.server_version();
    read_database(reading);
    read_tables(reading);
    read_columns(reading);
    read_constraints(reading);
    read_indexes(reading);
    read_triggers(reading);
    read_policies(reading);
    read_statistics(reading);
    read_sequences(reading);
    read_grants(reading);
    read_publications(reading);
    read_dependencies(reading);
    if (own)
        own->commit();

    sum_partitions(reading.catalog);
    return std::move(reading.catalog);
}

} // namespace pgcarve::catalog
