// Which tables are kept equal to another one now, and by what: what lint judges changes of their shape by.
// Read from the control schema (run/synced.hpp), or from what `pgcarve status --format json` printed.
#pragma once

#include <string>
#include <vector>

#include "sql/ident.hpp"

namespace pgcarve::model {

enum class KeptBy {
    mirror,      // triggers, in the writer's transaction
    application, // it writes both sides itself
    stream,      // logical replication into another database
};

struct SyncedSide {
    std::string database; // "": the shared one; else the service whose own database it is
    sql::QName table;
    auto operator<=>(SyncedSide const&) const = default;
};

struct SyncedTable {
    std::string service;
    std::string phase;
    KeptBy by = KeptBy::mirror;
    SyncedSide source; // takes the writes
    SyncedSide target; // follows
    std::vector<std::string> key; // columns; empty when it is not known
};

struct SyncState {
    std::vector<SyncedTable> tables;
};

[[nodiscard]] inline char const* text(KeptBy by) {
    return by == KeptBy::mirror ? "mirror" : by == KeptBy::application ? "application" : "stream";
}

} // namespace pgcarve::model
