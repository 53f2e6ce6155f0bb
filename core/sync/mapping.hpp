// Which table of the target follows which table of the source, column by column.
//
// Read when a stream begins and never guessed afterwards: when the source describes a relation that does not look like
// that any more, the stream stops with "schema-changed" before a row of the new shape is applied. Rows from before the
// reading may have an older shape: columns that came since take their default, those that went are left out.
// Pure. Threads: const use from any number.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/types.hpp"
#include "sql/ident.hpp"
#include "wire/relations.hpp"

namespace pgcarve::sync {

struct MappedColumn {
    std::string name;
    std::string type;       // at the target, as format_type prints it
    base::Oid source_type;  // at the source
    std::int32_t typmod = -1;
    bool key = false;
    bool always_identity = false; // at the target: GENERATED ALWAYS AS IDENTITY, which no UPDATE can set
};

// One ordinary table or leaf partition. Generated columns are not listed: each side makes its own.
struct MappedTable {
    sql::QName source;
    sql::QName target;
    std::vector<MappedColumn> columns; // in the source's order
    // Indexes into columns, in the key's order: of a unique index at both sides, all columns NOT NULL, whose columns are
    // in the source's replica identity. Not of a deferrable constraint: two rows may have one key there for a while, and
    // then a key does not say which row is meant.
    std::vector<std::size_t> key;
    std::vector<std::string> to_come; // columns that the target has got first: rows come without them
};

class Mapping {
public:
    // `as_of`: where the source's log was when the tables were read, or before.
    // `aside`: tables of the source that are left alone, whatever happens to them there.
    explicit Mapping(std::vector<MappedTable> tables, base::Lsn as_of = {}, std::set<sql::QName> aside = {});

    [[nodiscard]] std::vector<MappedTable> const& tables() const noexcept { return tables_; }

    // For a relation as the source describes it: the number of its table, and where each of the table's columns is in
    // the relation's rows (`absent`: in none); nullopt: it is set aside. Throws "schema-changed" (exit 5) naming what differs.
    // `committed`: where the transaction ends in which the source says so.
    static constexpr std::size_t absent = static_cast<std::size_t>(-1);
    struct Resolved {
        std::uint32_t table = 0;
        std::vector<std::size_t> at;
    };
    [[nodiscard]] std::optional<Resolved> resolve(wire::RelationShape const& shape, base::Lsn committed) const;

private:
    base::Lsn as_of_;
    std::vector<MappedTable> tables_;
    std::map<sql::QName, std::uint32_t> by_source_;
    std::set<sql::QName> aside_;
};

} // namespace pgcarve::sync
