// Which rows of a table have been copied, and as of when: what decides whether a change from the stream is in them already.
//
// A table is copied in ranges of its key's first column, each with a snapshot of its own, so that no snapshot lives as long as
// the copy and a kill costs only the ranges under way. A change (transaction X, key k) then is
//   left out  when the range of k is not copied yet: its snapshot will be younger than X …
//   left out  when the range's snapshot saw X: the rows have it
//   applied   otherwise.
// … which holds because the copier takes no snapshot that does not see a transaction which was left out (`Skipped`): a
// transaction's commit is in the log a moment before snapshots see it, with synchronous replication even long before.
//
// Integers and uuids are compared here as the server compares them. The ranges of other keys are copied one behind the other,
// and the source says where a key is among them (places.hpp). What has no order is one range.
// Pure. Threads: one at a time.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "sync/mapping.hpp"
#include "wire/types.hpp"

namespace pgcarve::sync {

// pg_current_snapshot(): xmin:xmax:xip,…; of no text, one that sees nothing.
class Snapshot {
public:
    [[nodiscard]] static Snapshot parse(std::string_view text); // anything else is a bug
    // Whether rows as of this snapshot have what the (top-level, committed) transaction did.
    [[nodiscard]] bool sees(wire::TransactionId xid) const;
    [[nodiscard]] std::string const& text() const noexcept { return text_; }
    [[nodiscard]] std::optional<std::uint32_t> end() const noexcept { return end_; } // the first that had not begun; nullopt: it sees nothing
    [[nodiscard]] std::vector<std::uint64_t> const& running() const noexcept { return running_; }

private:
    std::string text_;
    std::optional<std::uint32_t> end_; // xmax, without its epoch
    std::vector<std::uint64_t> running_;
};

enum class KeyOrder { none, integer, uuid, source, source_by_collation };
[[nodiscard]] KeyOrder key_order(MappedTable const& table); // by its type alone
[[nodiscard]] constexpr bool only_source_compares(KeyOrder order) noexcept {
    return order == KeyOrder::source || order == KeyOrder::source_by_collation;
}

// lo < key <= hi, in the text of the type; nullopt: no bound.
struct Range {
    std::optional<std::string> lo;
    std::optional<std::string> hi;
};

class TableChunks {
public:
    explicit TableChunks(KeyOrder order) : order_{order} {}

    // Ranges do not overlap. Where only the source compares, each begins where the one before it ends.
    void add(Range range, Snapshot snapshot);
    void clear();
    // All of it is there already and no change is in it: the stream's alone.
    void follow();
    // The first range that is not copied; nullopt when all are.
    [[nodiscard]] std::optional<Range> missing() const;
    [[nodiscard]] Snapshot const* snapshot_of(std::string_view key) const; // nullptr: not copied
    // The same where only the source compares: by the number of upper ends that are below the key.
    [[nodiscard]] Snapshot const* snapshot_at(std::size_t place) const;
    [[nodiscard]] std::vector<std::string> upper_ends() const;
    [[nodiscard]] KeyOrder order() const noexcept { return order_; }
    [[nodiscard]] bool none() const noexcept { return chunks_.empty(); }
    // Whether a copied range has what the transaction did.
    [[nodiscard]] bool any_sees(wire::TransactionId xid) const;

private:
    struct Chunk {
        Range range;
        Snapshot snapshot;
    };
    [[nodiscard]] std::strong_ordering compare(std::string_view a, std::string_view b) const;

    KeyOrder order_;
    std::vector<Chunk> chunks_; // in the key's order
};

} // namespace pgcarve::sync
