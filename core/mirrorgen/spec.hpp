// What has to be known of two tables to keep one equal to the other, as plain values.
//
// The authority takes the writes, the follower is made equal. The same pair of tables gives
// two specs, one a direction, with the sides exchanged. Names are those that the tables bear
// while the direction is active: a source that is renamed in the switch (legacy = "view") is
// named by its later name in the reverse spec.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "model/catalog.hpp"
#include "sql/ident.hpp"

namespace pgcarve::mirrorgen {

enum class Direction {
    forward, // the shared schema's table is the authority
    reverse, // the service's table is
};

struct Partition {
    sql::QName name;
    bool partitioned = false;               // has partitions itself
    std::optional<sql::QName> counterpart;  // the follower's partition with the same bounds
};

struct KeyColumn {
    std::string name;
    std::string equals = "="; // or OPERATOR(schema.=), for types whose operators are not in pg_catalog
};

// A table of the follower's side which references the follower, with its own authority.
struct Referencing {
    sql::QName authority;
    sql::QName follower;
    std::vector<KeyColumn> key;
};

struct Unique {
    std::vector<KeyColumn> columns;
    std::optional<std::string> nullable; // one of them that may be NULL
    bool partial = false;
};

struct OutgoingKey {
    std::vector<std::string> columns;
    sql::QName referenced;
    std::vector<std::string> referenced_columns;
};

struct Spec {
    std::string service;
    Direction direction = Direction::forward;
    sql::QName authority;
    sql::QName follower;
    // Owners of the two: whoever adds a partition clones the row triggers, which takes EXECUTE on their functions.
    std::vector<std::string> owners;
    bool authority_partitioned = false;
    bool follower_partitioned = false;
    std::vector<Partition> authority_partitions; // all levels
    std::vector<Partition> follower_partitions;
    std::vector<std::string> columns; // live, not generated
    std::vector<KeyColumn> key;
    std::vector<std::string> fixed;   // GENERATED ALWAYS AS IDENTITY: an UPDATE cannot set them
    std::optional<sql::QName> deferrable_key; // the follower's constraint, when its key is deferrable
    std::vector<sql::QName> deferrable;       // constraints to defer while writing the follower, the key's included
    std::vector<Unique> other_uniques; // of the follower: immediate, of plain columns, not the key
    bool row_security = false;                // on either side
    bool repeats = false; // actions of foreign keys can update a row twice in one statement
    bool follower_referenced = false;         // foreign keys of other tables, or its own, point at the follower
    std::vector<OutgoingKey> outgoing;        // the follower's foreign keys
    std::vector<Referencing> referencing;     // all levels, grandchildren before children; without self references
    bool acted_on = true; // an action of a foreign key can write the follower without the mirror: see link()
    bool key_may_change_unseen = false; // a BEFORE trigger can change the authority's key though no UPDATE names it
};

// Reads a spec off two tables. `follower` may be a planned one: a copy of the authority with the names it will have.
// `catalog` gives partitions and foreign keys of existing tables; a table it does not know has none.
// REQUIRES: both have a usable key of the same columns (a bug otherwise).
// `referencing` stays empty: see link().
[[nodiscard]] Spec make_spec(std::string service, Direction direction, model::Table const& authority,
                             model::Table const& follower, model::Catalog const& catalog);

// Fills `referencing` of every spec of one service and direction, and `acted_on`: a foreign key with an action leads
// (through others of them) to a table that is not mirrored, so that a client's statement on that one reaches both sides.
void link(std::vector<Spec>& specs, model::Catalog const& catalog);

} // namespace pgcarve::mirrorgen
