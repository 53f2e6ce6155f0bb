// What notes at a table that a referenced key has gone or changed, for rows in another database that refer to it.
//
// The notes go into pgcarve.loose_queue in the writer's transaction; run/stream/loose.hpp works them off. Noted are deletes,
// changes of the referenced columns and TRUNCATE (each row of it), also of partitions, those to come as well but for a
// TRUNCATE of these alone. Writes of a stream are not: they were noted where they were made.
// Pure.
#pragma once

#include <string>
#include <vector>

#include "mirrorgen/mirrorgen.hpp"

namespace pgcarve::mirrorgen {

struct LooseParent {
    std::string service; // on whose behalf; several may hang on one table
    sql::QName table;    // a root
    bool partitioned = false;
    std::vector<sql::QName> partitions; // all levels
    std::vector<std::string> owners;
    bool row_security = false;
    std::vector<std::vector<std::string>> referenced; // column lists
};

// What a queue entry says of the key it is about: "public.customers (id)".
[[nodiscard]] std::string loose_reference(sql::QName const& parent, std::vector<std::string> const& referenced);

// The names that a service's triggers have, on whichever table.
[[nodiscard]] std::vector<std::string> loose_trigger_names(std::string const& service);

// For install(), drop() and drift(). Always enabled.
[[nodiscard]] Machinery loose_parent(LooseParent const& parent);

// Makes pgcarve.loose_queue in a database without a control schema, unless it is there. The control schema's own is
// migrations/*_loose_keys.sql.
[[nodiscard]] std::vector<std::string> loose_queue();

} // namespace pgcarve::mirrorgen
