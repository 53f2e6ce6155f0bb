// What a run of changes comes to, key by key: the fewest statements that have the same effect.
//
// Several changes of one row become one. Across rows the order is given up: all deletions of a table go first, then the
// updates, then the insertions. That is right as long as no constraint but the key looks at several rows; where one does
// (another unique index), the set-based statements may fail where the source's order did not, and the caller replays the
// changes one by one (applier.cpp).
//
// Pure. Everything points into the batches the changes came from, or into the arena given.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "sync/batch.hpp"
#include "sync/mapping.hpp"

namespace pgcarve::sync {

struct Net {
    std::vector<Cells> removed;  // rows whose key columns say which
    struct Updated {
        Cells row;               // key columns as they are found and stay; unchanged_toast: leave it
    };
    std::vector<Updated> updated;
    std::vector<Cells> inserted;
};

class Coalescer {
public:
    Coalescer(Mapping const& mapping, Arena& arena) : mapping_{mapping}, arena_{arena} {}

    // False when the change cannot be merged with what is there (an update of the key that leaves out a large value
    // which nobody here knows): apply net() first, then this change by itself, then go on with a new Coalescer.
    // Truncations are never merged.
    [[nodiscard]] bool add(Change const& change);

    struct Table {
        std::uint32_t table = 0;
        Net net;
    };
    // In the order of the mapping; tables without an effect are left out.
    [[nodiscard]] std::vector<Table> net() const;

private:
    enum class Effect : std::uint8_t { none, insert, update, remove, replace };
    struct Entry {
        Effect effect = Effect::none;
        bool fresh = false; // the row was not there before this run
        Cells row;          // remove: the key
        std::size_t order = 0;
    };
    using Keys = std::unordered_map<std::string, Entry>;

    [[nodiscard]] std::string key_of(MappedTable const& table, Cells row) const;
    Cells merged(Cells before, Cells after);
    bool insert(Entry& entry, Cells row);
    void update(Entry& entry, Cells row);
    void remove(Entry& entry, Cells key);

    Mapping const& mapping_;
    Arena& arena_;
    std::unordered_map<std::uint32_t, Keys> tables_;
    std::size_t changes_ = 0;
};

} // namespace pgcarve::sync
